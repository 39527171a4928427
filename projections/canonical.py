"""Rows as text, so that equal rows give equal bytes: what a digest is taken of.

A row is a JSON array of its columns, in ASCII, without blanks, instants in UTC. Many rows are written at once, column
by column: most of it then happens in C, in a tenth of the time that ``json.dumps`` takes a row (measured: 0.8 against
7 µs).
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import Any

from attrs import asdict

from projections.tables import Table, kind_of_column

Values = tuple[Any, ...]
"""A row as its columns."""
_Writer = Callable[[Sequence[Any]], Iterable[str]]


def lines(table: Table[Any], rows: Sequence[Values]) -> list[str]:
    """Write rows, a line each."""
    columns = [write(values) for write, values in zip(_writers(table), zip(*rows, strict=True), strict=False)]
    return [f"[{line}]" for line in map(",".join, zip(*columns, strict=True))]


@cache
def _writers(table: Table[Any]) -> tuple[_Writer, ...]:
    return tuple(_writer(table.types[name]) for name in table.columns)


def _writer(annotation: Any) -> _Writer:
    """Return what writes the values of a column."""
    kind, nullable = kind_of_column(annotation)
    write: Callable[[Any], str] = _SCALARS.get(kind, _document)

    def some(values: Sequence[Any]) -> Iterable[str]:
        return ["null" if each is None else write(each) for each in values] if None in values else map(write, values)

    return some if nullable else lambda values: map(write, values)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _instant(value: datetime) -> str:
    return f'"{value.astimezone(UTC).isoformat()}"'


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else asdict(value, recurse=False)


_encode = JSONEncoder(default=_plain, separators=(",", ":"), ensure_ascii=True, sort_keys=True).encode


def _document(value: tuple[Any, ...]) -> str:
    return _encode(value) if value else "[]"


_SCALARS: dict[Any, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: int.__repr__,
    bool: _flag,
    datetime: _instant,
}
