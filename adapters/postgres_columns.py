"""How the columns of read models are kept in PostgreSQL: their types, and whole columns as packed arrays.

psycopg dumps lists element by element; packing a column with ``struct`` takes half the time (see ``postgres_arrays``).
A column of values is JSON: written and read by msgspec, which knows the classes in it.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, get_origin

import msgspec
from psycopg import AsyncConnection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from domain.values import frozen
from projections.tables import kind_of_column

_HEADER = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i")
_NULL = _LENGTH.pack(-1)
_LONG = struct.Struct("!iq")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts the microseconds from here."""
_MICROSECOND = timedelta(microseconds=1)
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"


@frozen
class Column:
    """A column of a row class, as PostgreSQL has it."""

    name: str
    sql_type: str
    """Of the table's column."""
    nullable: bool
    array_type: str
    """Of the parameter that carries many of its values."""
    pack: Callable[[Sequence[Any]], "Packed"]
    read: Callable[[Any], Any] | None = None
    """Makes the value of what the driver gives, if that is another."""


class Packed:
    """An array in PostgreSQL's binary format."""

    __slots__ = ("payload",)

    def __init__(self, element: int, count: int, items: bytes) -> None:
        self.payload = _HEADER.pack(1, 1, element, count, 1) + items


class Texts(Packed):
    """``text[]``."""


class Longs(Packed):
    """``bigint[]``."""


class Flags(Packed):
    """``boolean[]``."""


class Instants(Packed):
    """``timestamptz[]``."""


def column(name: str, annotation: Any) -> Column:
    """Return how a column of a row class is kept; ``TypeError`` for what no column can be."""
    kind, nullable = kind_of_column(annotation)
    if kind is str:
        return Column(name, 'text COLLATE "C"', nullable, "text[]", texts)
    if kind is int:
        return Column(name, "bigint", nullable, "bigint[]", longs)
    if kind is bool:
        return Column(name, "boolean", nullable, "boolean[]", flags)
    if kind is datetime:
        return Column(name, "timestamp with time zone", nullable, "timestamptz[]", instants)
    if get_origin(kind) is tuple and not nullable:
        return Column(name, "jsonb", nullable, "text[]", _documents, msgspec.json.Decoder(kind).decode)
    raise TypeError(f"{name} cannot be a column: {annotation}")


def texts(items: Sequence[str | None]) -> Texts:
    """Pack texts; ``UnicodeEncodeError`` for half a character."""
    return Texts(25, len(items), _variable([None if each is None else each.encode() for each in items]))


def longs(items: Sequence[int | None]) -> Longs:
    """Pack whole numbers; ``struct.error`` beyond 64 bits."""
    return Longs(20, len(items), _numbers(items))


def flags(items: Sequence[bool | None]) -> Flags:
    """Pack truth values."""
    return Flags(16, len(items), b"".join([_NULL if each is None else _TRUE if each else _FALSE for each in items]))


def instants(items: Sequence[datetime | None]) -> Instants:
    """Pack instants."""
    numbers = [None if each is None else (each - _EPOCH) // _MICROSECOND for each in items]
    return Instants(1184, len(items), _numbers(numbers))


def register(connection: AsyncConnection[Any]) -> None:
    """Teach a connection to take these arrays as parameters."""
    for kind, dumper in ((Texts, _TextsDumper), (Longs, _LongsDumper), (Flags, _FlagsDumper)):
        connection.adapters.register_dumper(kind, dumper)
    connection.adapters.register_dumper(Instants, _InstantsDumper)


def _documents(items: Sequence[Any]) -> Texts:
    encoded = [msgspec.json.encode(each) for each in items]
    return Texts(25, len(items), _variable(encoded))


def _variable(items: Sequence[bytes | None]) -> bytes:
    pieces = ((_NULL,) if item is None else (_LENGTH.pack(len(item)), item) for item in items)
    return b"".join(chain.from_iterable(pieces))


def _numbers(items: Sequence[int | None]) -> bytes:
    if None in items:
        return b"".join([_NULL if item is None else _LONG.pack(8, item) for item in items])
    numbers: Any = items
    return struct.pack("!" + "iq" * len(items), *chain.from_iterable((8, item) for item in numbers))


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Packed) -> Buffer | None:
        return obj.payload


class _TextsDumper(_PackedDumper):
    oid = 1009


class _LongsDumper(_PackedDumper):
    oid = 1016


class _FlagsDumper(_PackedDumper):
    oid = 1000


class _InstantsDumper(_PackedDumper):
    oid = 1185
