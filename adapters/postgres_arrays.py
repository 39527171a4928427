"""Arrays for PostgreSQL, packed in bulk.

psycopg dumps lists element by element, in Python, which costs the event loop more than all else of an append; it also
picks an integer array's type by its largest number, and so prepares one statement under several types. Packing whole
columns with ``struct`` takes half the time, and the types are fixed.
"""

from collections.abc import Collection, Iterable
from itertools import chain
from struct import Struct, pack
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEADER = Struct("!iiIii")
"""Dimensions, whether there are nulls, the type of the elements, their count, the index of the first."""
_LENGTH = Struct("!i")
_NULL = _LENGTH.pack(-1)
_BYTEA, _BIGINT, _TEXT = 17, 20, 25


class _Packed:
    """An array in PostgreSQL's binary format."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class TextArray(_Packed):
    """``text[]``; None is null."""

    def __init__(self, items: Collection[str | None]) -> None:
        super().__init__(_variable(_TEXT, len(items), (None if item is None else item.encode() for item in items)))


class ByteaArray(_Packed):
    """``bytea[]``."""

    def __init__(self, items: Collection[bytes]) -> None:
        super().__init__(_variable(_BYTEA, len(items), items))


class BigintArray(_Packed):
    """``bigint[]``."""

    def __init__(self, items: Collection[int]) -> None:
        fields = chain.from_iterable((8, item) for item in items)
        super().__init__(_header(_BIGINT, len(items)) + pack("!" + "iq" * len(items), *fields))


def register(connection: AsyncConnection[Any] | Connection[Any]) -> None:
    """Teach a connection to take these arrays as parameters."""
    for kind, dumper in ((TextArray, _TextDumper), (ByteaArray, _ByteaDumper), (BigintArray, _BigintDumper)):
        connection.adapters.register_dumper(kind, dumper)


def _header(oid: int, count: int) -> bytes:
    return _HEADER.pack(1, 1, oid, count, 1)


def _variable(oid: int, count: int, items: Iterable[bytes | None]) -> bytes:
    parts = [_header(oid, count)]
    for item in items:
        if item is None:
            parts.append(_NULL)
        else:
            parts.append(_LENGTH.pack(len(item)))
            parts.append(item)
    return b"".join(parts)


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Packed) -> Buffer | None:
        return obj.payload


class _TextDumper(_PackedDumper):
    oid = 1009


class _ByteaDumper(_PackedDumper):
    oid = 1001


class _BigintDumper(_PackedDumper):
    oid = 1016
