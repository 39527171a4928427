"""Read models of a replay, however many rows they have: in memory what is new, in a file what has not changed for long.

The file is a nameless SQLite database that is gone with the process. A row lies there as the line that its digest is
taken of, so at the end a read model is digested straight from the file, in the order of its key.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import islice
from typing import Any, Final

import msgspec

from domain.values import frozen
from projections.canonical import lines
from projections.catalogue import PROJECTIONS
from projections.memory import MemoryStore
from projections.projection import Projection
from projections.store import Found, Query, Snapshot, StoreError, Write
from projections.tables import Key, R, Table

KEPT_ROWS: Final = 20_000
"""Rows of a table that stay in memory, at the least."""
_MOVED_ROWS: Final = 5_000
"""Rows that are moved to the file together."""
_WALKED_ROWS: Final = 1_000
_SETTINGS: Final = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -16000")
"""Nothing in the file outlives the process, so nothing in it is worth protecting."""


class ScratchStore(MemoryStore):
    """A store for one replay, which may be longer than memory."""

    def __init__(self, projections: Iterable[Projection] = PROJECTIONS, *, kept_rows: int = KEPT_ROWS) -> None:
        super().__init__(projections)
        self._kept_rows = kept_rows
        self._file = sqlite3.connect("", isolation_level=None)
        for setting in _SETTINGS:
            self._file.execute(f"PRAGMA {setting}")
        self._away: set[Table[Any]] = set()
        """Tables of which rows lie in the file. Those also in memory are newer there."""

    def close(self) -> None:
        """Give the disk its room back."""
        self._file.close()

    async def load(self, table: Table[R], keys: Sequence[Key]) -> dict[Key, R]:
        """Return those rows that are there."""
        found = await super().load(table, keys)
        if table in self._away:
            find, read = f"SELECT line FROM {table.name} WHERE {_given(table)}", _reader(table)  # noqa: S608 - our names
            for key in keys:
                if key not in found and (line := self._file.execute(find, key).fetchone()):
                    found[key] = table.row(*read(line[0]))
        return found

    async def commit(self, write: Write) -> None:
        """Take a batch in, all or nothing."""
        await super().commit(write)
        for table, keys in write.drops.items():
            if table in self._away:
                self._file.executemany(f"DELETE FROM {table.name} WHERE {_given(table)}", keys)  # noqa: S608
        for table in write.puts:
            if len(self._rows[table]) >= self._kept_rows + _MOVED_ROWS:
                self._put_away(table, _MOVED_ROWS)

    async def find(self, query: Query[R]) -> Found[R]:
        """Refuse: what lies in the file is found by its key alone."""
        raise StoreError(f"{query.table.name} of a replay can be digested, not asked")

    @asynccontextmanager
    async def snapshot(self, projection: Projection) -> AsyncIterator[Snapshot]:
        """Hold a projection's rows still for as long as the block lasts, in which nothing is to be committed."""
        for table in self._away.intersection(projection.tables):
            while self._rows[table]:
                self._put_away(table, _MOVED_ROWS)
        async with super().snapshot(projection) as snapshot:
            yield _ScratchSnapshot(snapshot, self._file, self._away)

    def _put_away(self, table: Table[Any], count: int) -> None:
        """Move the rows that came first to the file."""
        rows = self._rows[table]
        keys = list(islice(rows, count))
        if table not in self._away:
            names = ", ".join(table.key)
            self._file.execute(f"CREATE TABLE {table.name} ({names}, line, PRIMARY KEY ({names})) WITHOUT ROWID")
            self._away.add(table)
        written = lines([table.values(rows.pop(key)) for key in keys])
        marks = ", ".join("?" * (len(table.key) + 1))
        self._file.execute("BEGIN")
        put = f"INSERT OR REPLACE INTO {table.name} VALUES ({marks})"  # noqa: S608 - our names
        self._file.executemany(put, sorted([(*key, line) for key, line in zip(keys, written, strict=True)]))
        self._file.execute("COMMIT")


@frozen
class _ScratchSnapshot:
    _memory: Snapshot
    _file: sqlite3.Connection
    _away: set[Table[Any]]

    @property
    def position(self) -> int:
        """How far the projection had come."""
        return self._memory.position

    async def chunks(self, table: Table[Any]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Walk a table in the order of its key, some rows at a time, each as its columns."""
        async for written in self.lines(table):
            yield list(map(_reader(table), written))

    async def lines(self, table: Table[Any]) -> AsyncIterator[Sequence[bytes]]:
        """Walk a table in the order of its key, some rows at a time, as ``canonical`` writes them."""
        if table not in self._away:
            async for written in self._memory.lines(table):
                yield written
            return
        walk = f"SELECT line FROM {table.name} ORDER BY {', '.join(table.key)}"  # noqa: S608 - our names
        cursor = self._file.execute(walk)
        while found := cursor.fetchmany(_WALKED_ROWS):
            yield [line for (line,) in found]


def _given(table: Table[Any]) -> str:
    return " AND ".join(f"{name} = ?" for name in table.key)


@cache
def _reader(table: Table[Any]) -> Any:
    """Return what makes a row's columns of its line."""
    kinds: Any = tuple(table.types[name] for name in table.columns)
    return msgspec.json.Decoder(tuple[kinds]).decode
