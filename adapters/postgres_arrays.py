"""Arrays for PostgreSQL, packed in bulk.

psycopg dumps lists element by element, in Python, which costs the event loop more than all else of an append; it also
picks an integer array's type by its largest number, and so prepares one statement under several types. Packing whole
columns with ``struct``, with as much of it in C as there is, takes a quarter of the time, and the types are fixed.
None is null everywhere. ``UnicodeEncodeError`` for half a character, ``struct.error`` for a number beyond 64 bits.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct, pack
from typing import Any, ClassVar

from psycopg import AsyncConnection, Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEADER = Struct("!iiIii")
"""Dimensions, whether there are nulls, the type of the elements, their count, the index of the first."""
_LENGTH = Struct("!i").pack
_LONG = Struct("!iq").pack
_NULL = _LENGTH(-1)
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts the microseconds from here."""
_MICROSECOND = timedelta(microseconds=1)


class PackedArray:
    """An array in PostgreSQL's binary format."""

    element: ClassVar[int]
    """The type of its elements."""
    __slots__ = ("payload",)

    def __init__(self, count: int, items: bytes) -> None:
        self.payload = _HEADER.pack(1, 1, self.element, count, 1) + items


class TextArray(PackedArray):
    """``text[]``."""

    element = 25
    __slots__ = ()

    def __init__(self, items: Collection[str | None]) -> None:
        super().__init__(len(items), _texts([*items]))


class ByteaArray(PackedArray):
    """``bytea[]``."""

    element = 17
    __slots__ = ()

    def __init__(self, items: Collection[bytes]) -> None:
        super().__init__(len(items), _variable([*items]))


class BigintArray(PackedArray):
    """``bigint[]``."""

    element = 20
    __slots__ = ()

    def __init__(self, items: Collection[int | None]) -> None:
        super().__init__(len(items), _numbers([*items]))


class BooleanArray(PackedArray):
    """``boolean[]``."""

    element = 16
    __slots__ = ()

    def __init__(self, items: Collection[bool | None]) -> None:
        super().__init__(len(items), b"".join([_NULL if each is None else _TRUE if each else _FALSE for each in items]))


class InstantArray(PackedArray):
    """``timestamptz[]``."""

    element = 1184
    __slots__ = ()

    def __init__(self, items: Collection[datetime | None]) -> None:
        numbers = [None if each is None else (each - _EPOCH) // _MICROSECOND for each in items]
        super().__init__(len(items), _numbers(numbers))


def register(connection: AsyncConnection[Any] | Connection[Any]) -> None:
    """Teach a connection to take these arrays as parameters."""
    for kind, dumper in _DUMPERS.items():
        connection.adapters.register_dumper(kind, dumper)


def _texts(items: Sequence[str | None]) -> bytes:
    """Ids of a kind have one length: they are joined with it between them, and encoded in one go."""
    if None in items:
        return _variable([None if each is None else each.encode() for each in items])
    lengths = set(map(len, items))  # type: ignore[arg-type]  # there is no None
    if len(lengths) == 1:
        length = _LENGTH(*lengths).decode("latin-1")
        joined = length + length.join(items)  # type: ignore[arg-type]
        if joined.isascii():  # then a byte is a character, also in the length
            return joined.encode()
    return _variable([*map(str.encode, items)])  # type: ignore[arg-type]


def _variable(items: Sequence[bytes | None]) -> bytes:
    if None in items:
        return b"".join([_NULL if each is None else _LENGTH(len(each)) + each for each in items])
    pieces = [_NULL] * (2 * len(items))
    pieces[::2] = map(_LENGTH, map(len, items))  # type: ignore[arg-type]  # there is no None
    pieces[1::2] = items  # type: ignore[assignment]
    return b"".join(pieces)


def _numbers(items: Sequence[int | None]) -> bytes:
    if None in items:
        return b"".join([_NULL if each is None else _LONG(8, each) for each in items])
    fields = [8] * (2 * len(items))
    fields[1::2] = items  # type: ignore[assignment]  # there is no None
    return pack("!" + "iq" * len(items), *fields)


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: PackedArray) -> Buffer | None:
        return obj.payload


class _TextDumper(_PackedDumper):
    oid = 1009


class _ByteaDumper(_PackedDumper):
    oid = 1001


class _BigintDumper(_PackedDumper):
    oid = 1016


class _BooleanDumper(_PackedDumper):
    oid = 1000


class _InstantDumper(_PackedDumper):
    oid = 1185


_DUMPERS: dict[type[PackedArray], type[_PackedDumper]] = {
    TextArray: _TextDumper,
    ByteaArray: _ByteaDumper,
    BigintArray: _BigintDumper,
    BooleanArray: _BooleanDumper,
    InstantArray: _InstantDumper,
}
