"""The journal in memory: the same promises for as long as the process lives.

It serves the tests of everything above the journal, and rehearsals that need no disk. One contract suite runs on it
and on ``PostgresJournal``.
"""

from abc import ABC, abstractmethod
from asyncio import Lock
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from operator import attrgetter

from adapters.clocks import SystemClock
from adapters.journal_rules import refuse_malformed
from application.ports import Appended, Batch, Clock, Conflict, Draft
from domain.record import Record

CHUNK = 5_000
"""Records that ``scan`` yields at a time."""
_version = attrgetter("version")
_recorded_at = attrgetter("recorded_at")


class MemoryTable:
    """The rows and their two indexes. Rows beyond ``durable`` are of a turn that has not ended."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.rows: list[Record] = []
        self.durable = 0
        self.commands: dict[str, int] = {}
        self._histories: defaultdict[str, list[Record]] = defaultdict(list)
        self._clock = clock or SystemClock()

    def history(self, history_id: str, after: int = -1, upto: int | None = None) -> list[Record]:
        """Return a history's records after a version, by version; only positions up to ``upto`` if given."""
        rows = self._histories.get(history_id, [])
        rows = rows[bisect_right(rows, after, key=_version) :]
        return rows if upto is None else [row for row in rows if row.position <= upto]

    def version(self, history_id: str) -> int:
        """Return the version a history is at; 0 when there is none."""
        rows = self._histories.get(history_id)
        return rows[-1].version if rows else 0

    def insert(self, drafts: Sequence[Draft]) -> datetime:
        """Add records at the end, not durable yet; return when."""
        recorded_at = self._clock.now()
        if self.rows:
            recorded_at = max(recorded_at, self.rows[-1].recorded_at)
        for draft in drafts:
            self._insert(draft, recorded_at)
        return recorded_at

    def commit(self) -> None:
        """Make all rows durable."""
        self.durable = len(self.rows)

    def roll_back(self) -> None:
        """Remove what is not durable."""
        while len(self.rows) > self.durable:
            row = self.rows.pop()
            self._histories[row.history_id].remove(row)
            if row.command_id is not None:
                del self.commands[row.command_id]

    def _insert(self, draft: Draft, recorded_at: datetime) -> None:
        row = Record(
            position=len(self.rows) + 1,
            history_id=draft.history_id,
            version=draft.version,
            topic=draft.topic,
            state=draft.state,
            recorded_at=recorded_at,
            metadata=draft.metadata,
            command_id=draft.command_id,
        )
        self.rows.append(row)
        insort(self._histories[row.history_id], row, key=_version)
        if row.command_id is not None:
            self.commands[row.command_id] = row.position


class _Reading(ABC):
    """All that can be asked of a table, up to the position that the reader may see."""

    def __init__(self, table: MemoryTable) -> None:
        self.table = table

    @property
    @abstractmethod
    def _visible(self) -> int:
        """The last position that may be seen."""

    async def load(self, tails: Mapping[str, int], limit: int | None = None) -> Sequence[Record]:
        """Return the records of each history after the given version, no more than ``limit`` of each."""
        return [row for name in sorted(tails) for row in self.table.history(name, tails[name], self._visible)[:limit]]

    async def at(self, history_id: str, versions: Collection[int]) -> Sequence[Record]:
        """Return the records that a history has at some of its versions, by version."""
        after = min(versions, default=0) - 1
        return [row for row in self.table.history(history_id, after, self._visible) if row.version in versions]

    async def of_commands(self, command_ids: Iterable[str]) -> Sequence[Record]:
        """Return all records of the commands that the journal holds, by position."""
        firsts = sorted(self.table.commands.get(name, 0) for name in set(command_ids))
        return [row for first in firsts if 0 < first <= self._visible for row in self._command(first)]

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""
        return self.table.rows[after : min(after + limit, self._visible)]

    async def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Walk the journal in chunks, up to the head of this moment."""
        end = self._visible if upto is None else min(self._visible, upto)
        while after < end:
            records = self.table.rows[after : min(after + CHUNK, end)]
            yield records
            after += len(records)

    async def head(self) -> int:
        """Return the last position; 0 when empty."""
        return self._visible

    async def position_at(self, instant: datetime) -> int:
        """Return the last position recorded at or before an instant; 0 when there is none."""
        return bisect_right(self.table.rows, instant, hi=self._visible, key=_recorded_at)

    def _command(self, first: int) -> Iterable[Record]:
        """Yield the records of the command whose first is at a position: they follow and share one metadata."""
        head = self.table.rows[first - 1]
        yield head
        for row in self.table.rows[first : self._visible]:
            if row.command_id is not None or row.metadata != head.metadata:
                return
            yield row


class MemoryJournal(_Reading):
    """A journal that lives and dies with the process."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(MemoryTable(clock))
        self._appending = Lock()

    @property
    def _visible(self) -> int:
        return self.table.durable

    async def open(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to let go; what was written stays readable."""

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Write a batch, all or nothing; ``JournalRejectedError`` when it contradicts itself."""
        async with self.turn() as held:
            return await held.append(batch)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["_Turn"]:
        """Hold the lock; what is appended inside is seen by others after the block has ended without an error."""
        async with self._appending:
            try:
                yield _Turn(self.table)
                self.table.commit()
            finally:
                self.table.roll_back()


class _Turn(_Reading):
    """The journal inside ``turn``: sees what it has appended itself."""

    @property
    def _visible(self) -> int:
        return len(self.table.rows)

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Write a batch; it stands after the turn."""
        refuse_malformed(batch)
        conflict = self._conflict(batch)
        if conflict is not None:
            return conflict
        first_position = len(self.table.rows) + 1
        return Appended(first_position, self.table.insert(batch.drafts))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["_Turn"]:
        """Hold what is held already."""
        yield self

    def _conflict(self, batch: Batch) -> Conflict | None:
        versions = {name: self.table.version(name) for name in batch.expected}
        moved = {name: version for name, version in versions.items() if version != batch.expected[name]}
        seen = {draft.command_id for draft in batch.drafts if draft.command_id in self.table.commands}
        known = frozenset(command_id for command_id in seen if command_id is not None)
        return Conflict(moved, known) if moved or known else None
