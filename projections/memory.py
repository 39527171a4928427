"""Read models in memory: what any position of the past is asked from, and what tests run on.

It refuses what PostgreSQL would refuse, so that a replay parks the same records as the live tables did.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, get_origin

from attrs import astuple, has

from domain.values import frozen
from projections.canonical import lines
from projections.catalogue import PROJECTIONS
from projections.projection import Projection
from projections.store import Found, Mark, MarkMovedError, Parked, Query, RowsRefusedError, Snapshot, Write
from projections.tables import Key, R, Table, kind_of_column

_LARGEST = 2**63
_WALKED_ROWS = 1_000


class MemoryStore:
    """Tables, marks and parked records that live and die with the process."""

    def __init__(self, projections: Iterable[Projection] = PROJECTIONS) -> None:
        self._marks = {each.name: Mark() for each in projections}
        self._rows: defaultdict[Table[Any], dict[Key, Any]] = defaultdict(dict)
        self._parked: dict[tuple[str, int, str], Parked] = {}
        self._bookmarks: dict[str, int] = {}

    def fork(self) -> "MemoryStore":
        """Return a store that starts from what this one holds and goes its own way; rows are shared until changed."""
        fork = MemoryStore(())
        fork._marks = dict(self._marks)
        fork._rows.update((table, dict(rows)) for table, rows in self._rows.items())
        fork._parked = dict(self._parked)
        return fork

    async def marks(self) -> dict[str, Mark]:
        """Return the mark of each projection."""
        return dict(self._marks)

    async def parked(self) -> Sequence[Parked]:
        """Return what was parked, by projection, position and topic."""
        return [self._parked[key] for key in sorted(self._parked)]

    async def load(self, table: Table[R], keys: Sequence[Key]) -> dict[Key, R]:
        """Return those rows that are there."""
        rows = self._rows[table]
        return {key: rows[key] for key in keys if key in rows}

    async def commit(self, write: Write) -> None:
        """Take a batch in, all or nothing."""
        for name, (mark, _) in write.moves.items():
            if self._marks.get(name) != mark:
                raise MarkMovedError(f"The mark of {name} is no longer at {mark.position}: read the marks again")
        for table, rows in write.puts.items():
            _require_storable(table, rows)
        for table, rows in write.puts.items():
            self._rows[table].update((table.key_of(row), row) for row in rows)
        for table, keys in write.drops.items():
            for key in keys:
                self._rows[table].pop(key, None)
        self._parked.update((_parked_as(each), each) for each in write.parked)
        for name, (mark, position) in write.moves.items():
            self._marks[name] = Mark(position, mark.generation)

    async def find(self, query: Query[R]) -> Found[R]:
        """Return rows and their position."""
        rows = [row for row in self._rows[query.table].values() if _fits(row, query)]
        for name, descends in reversed(query.sorting):
            rows.sort(key=lambda row: getattr(row, name), reverse=descends)
        end = None if query.limit is None else query.offset + query.limit
        return Found(self._marks[query.table.owner].position, rows[query.offset : end])

    async def bookmark(self, name: str) -> int:
        """Return the position that was noted under a name; 0 at first."""
        return self._bookmarks.get(name, 0)

    async def set_bookmark(self, name: str, position: int) -> None:
        """Note a position."""
        self._bookmarks[name] = position

    async def park(self, parked: Parked) -> None:
        """Put something aside."""
        self._parked[_parked_as(parked)] = parked

    async def settle(self, parked: Parked) -> None:
        """Forget what was parked."""
        self._parked.pop(_parked_as(parked), None)

    @asynccontextmanager
    async def snapshot(self, projection: Projection) -> AsyncIterator[Snapshot]:
        """Hold a projection's rows still for as long as the block lasts."""
        rows = {table: dict(self._rows[table]) for table in projection.tables}
        yield MemorySnapshot(self._marks[projection.name].position, rows)


@frozen
class MemorySnapshot:
    """A projection's rows at one position."""

    position: int
    _rows: dict[Table[Any], dict[Key, Any]]

    async def chunks(self, table: Table[Any]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Walk a table in the order of its key, some rows at a time, each as its columns."""
        rows = self._rows[table]
        keys = sorted(rows)
        for begin in range(0, len(keys), _WALKED_ROWS):
            yield [table.values(rows[key]) for key in keys[begin : begin + _WALKED_ROWS]]

    async def lines(self, table: Table[Any]) -> AsyncIterator[Sequence[bytes]]:
        """Walk a table in the same way, its rows as ``canonical`` writes them."""
        async for rows in self.chunks(table):
            yield lines(rows)


def _parked_as(parked: Parked) -> tuple[str, int, str]:
    return parked.projection, parked.position, parked.topic


def _fits(row: Any, query: Query[Any]) -> bool:
    return (
        all(getattr(row, name) == value for name, value in query.equals.items())
        and all(getattr(row, name) <= value for name, value in query.at_most.items())
        and (query.after is None or query.table.key_of(row) > query.after)
    )


def _require_storable(table: Table[Any], rows: Sequence[Any]) -> None:
    """Refuse what PostgreSQL cannot hold; column by column, for value by value this was two fifths of a replay."""
    for name, values in zip(table.columns, zip(*map(table.values, rows), strict=True), strict=False):
        kind, nullable = kind_of_column(table.types[name])
        given = [each for each in values if each is not None] if nullable else values
        if kind is int:
            _require_small(table, given)
        elif kind is str:
            _require_texts(table, given)
        elif get_origin(kind) is tuple:
            _require_texts(table, _texts_in(given))


def _require_small(table: Table[Any], numbers: Sequence[int]) -> None:
    if numbers and (min(numbers) < -_LARGEST or max(numbers) >= _LARGEST):
        raise RowsRefusedError(f"{table.name} cannot hold a number beyond 64 bits")


def _require_texts(table: Table[Any], texts: Iterable[str]) -> None:
    together = "".join(texts)
    if "\0" in together or _has_surrogates(together):
        raise RowsRefusedError(f"{table.name} cannot hold a text with a zero byte or half a character")


def _texts_in(values: Iterable[Any]) -> Iterator[str]:
    """Yield the texts inside a column of values."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from _texts_in(value)
        elif has(type(value)):
            yield from _texts_in(astuple(value))


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
