"""Long answers come in pages; the cursor that leads to the next one means something to us alone."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from domain.refusal import Invalid
from domain.values import frozen
from projections.store import Query, Tables
from projections.tables import Key, R, Table

MAX_LIMIT = 1_000
T = TypeVar("T")


@frozen
class Page(Generic[T]):
    """Part of an answer, true at a position of the journal."""

    position: int
    items: Sequence[T]
    next_cursor: str | None = None
    """Leads to the next page; None on the last."""


async def page_by_key(
    tables: Tables, table: Table[R], equals: dict[str, object], limit: int, cursor: str | None
) -> Page[R]:
    """Return a page of rows in the order of the key; what changes meanwhile makes none be left out or come twice."""
    after = key_in(cursor, table)
    found = await tables.find(Query(table, equals, after=after, limit=bounded(limit) + 1))
    rows = found.rows[:limit]
    following = cursor_of(table.key_of(rows[-1])) if len(found.rows) > limit else None
    return Page(found.position, rows, following)


def bounded(limit: int) -> int:
    """Return a page's size, or refuse it."""
    if not 0 < limit <= MAX_LIMIT:
        raise Invalid("limit", f"must be between 1 and {MAX_LIMIT}")
    return limit


def cursor_of(values: Sequence[Any]) -> str:
    """Write a cursor."""
    return urlsafe_b64encode(json.dumps(list(values), separators=(",", ":")).encode()).decode().rstrip("=")


def values_in(cursor: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    """Read a cursor, or refuse one that no page gave."""
    try:
        values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        values = None
    if not isinstance(values, list) or [type(each) for each in values] != list(kinds) or not _storable(values):
        raise Invalid("cursor", "must be one that an earlier page gave")
    return tuple(values)


def _storable(values: Sequence[Any]) -> bool:
    """Tell whether a database could be asked for them: a zero byte or half a character is in no key."""
    return all(each.isascii() and each.isprintable() for each in values if isinstance(each, str))


def key_in(cursor: str | None, table: Table[Any]) -> Key | None:
    """Read a cursor that holds a key of text columns."""
    return None if cursor is None else values_in(cursor, [str] * len(table.key))


def offset_in(cursor: str | None) -> int:
    """Read a cursor that holds how many were shown before."""
    if cursor is None:
        return 0
    (offset,) = values_in(cursor, [int])
    if offset < 0 or offset >= 2**31:
        raise Invalid("cursor", "must be one that an earlier page gave")
    return int(offset)
