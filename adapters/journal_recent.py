"""The journal's newest records, kept at hand for everybody in this process who follows it.

The read models, both reactors, the relay and the live feed each read every record soon after it was written. Without
this module the same rows would be fetched and built five times, in the process that has just written them.

What is kept is an unbroken run of durable records. It grows by what this process appends and by what its followers
read, and only where that touches the run's end; what is beyond the end is always asked of the journal itself. So a run
may be behind but is never wrong, also when other processes write. It is forgotten as soon as the journal fails, for
after an outage it might not be the same journal any more.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime

from application.ports import Appended, Batch, Conflict, Journal, JournalError
from domain.record import Record

KEPT = 4_096
"""Records that are kept, at the least: a second of the hottest show, in about 10 MB."""

LOOK_SECONDS = 0.2
"""How often the journal is asked for records that nobody has announced."""


class Feed:
    """A journal for those who follow it: what is at hand is not read again."""

    def __init__(self, journal: Journal, announced: Callable[[], int], *, kept: int = KEPT) -> None:
        self._journal = journal
        self._announced = announced
        self._kept = kept
        self._looked_at = -LOOK_SECONDS
        self._first = 1
        """The position of the first record of the run."""
        self._run: list[Record] = []

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return at most ``limit`` records after a position, in order; fewer are not a sign that there are no more."""
        start = after + 1 - self._first
        if 0 <= start < len(self._run):
            return self._run[start : start + limit]
        if start == len(self._run) and self._has_just_looked(after):
            return ()
        with self.trusted():
            records = await self._journal.read(after, limit)
        if start == len(self._run):
            self._looked_at = time.monotonic()
        self.keep(records)
        return records

    def _has_just_looked(self, end: int) -> bool:
        """Tell whether nothing is beyond the end: nobody has announced any, and somebody has looked."""
        return self._announced() <= end and time.monotonic() - self._looked_at < LOOK_SECONDS

    def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Walk the journal in chunks, flat in memory, as of the moment of the call."""
        return self._journal.scan(after, upto)

    async def head(self) -> int:
        """Return the last position; 0 when empty."""
        return await self._journal.head()

    def keep(self, records: Sequence[Record]) -> None:
        """Let the run grow; records that lie beyond its end begin a new one."""
        if not records:
            return
        end = self._first + len(self._run)
        if not self._run or records[0].position > end:
            self._first, self._run = records[0].position, list(records)
        else:
            self._run += records[end - records[0].position :]
        if len(self._run) > 2 * self._kept:
            surplus = len(self._run) - self._kept
            self._first += surplus
            del self._run[:surplus]

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """Forget everything if the journal fails in this block."""
        try:
            yield
        except JournalError:
            self._run, self._looked_at = [], -LOOK_SECONDS
            raise


class RecentJournal:
    """A journal that hands what it appends to the followers of this process.

    ``announced`` tells the latest position that was announced to this process.
    """

    def __init__(self, journal: Journal, announced: Callable[[], int], *, kept: int = KEPT) -> None:
        self.feed = Feed(journal, announced, kept=kept)
        self._journal = journal

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Write a batch in one round trip; durable when it returns."""
        with self.feed.trusted():
            outcome = await self._journal.append(batch)
        if isinstance(outcome, Appended):
            self.feed.keep(_records(batch, outcome))
        return outcome

    def turn(self) -> AbstractAsyncContextManager[Journal]:
        """Hold the journal's lock; what is appended inside reaches the followers as what other processes write."""
        return self._journal.turn()

    async def load(self, tails: Mapping[str, int], limit: int | None = None) -> Sequence[Record]:
        """Return the records of each history after the given version, no more than ``limit`` of each."""
        return await self._journal.load(tails, limit)

    async def at(self, history_id: str, versions: Collection[int]) -> Sequence[Record]:
        """Return the records that a history has at some of its versions, by version."""
        return await self._journal.at(history_id, versions)

    async def of_commands(self, command_ids: Iterable[str]) -> Sequence[Record]:
        """Return all records of the commands that the journal holds, by position."""
        return await self._journal.of_commands(command_ids)

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""
        return await self._journal.read(after, limit)

    def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Walk the journal in chunks, flat in memory, as of the moment of the call."""
        return self._journal.scan(after, upto)

    async def head(self) -> int:
        """Return the last position; 0 when empty."""
        return await self._journal.head()

    async def position_at(self, instant: datetime) -> int:
        """Return the last position recorded at or before an instant; 0 when there is none."""
        return await self._journal.position_at(instant)


def _records(batch: Batch, appended: Appended) -> list[Record]:
    return [
        Record(
            position, draft.history_id, draft.version, draft.topic, draft.state, appended.recorded_at, draft.metadata,
            draft.command_id,
        )
        for position, draft in enumerate(batch.drafts, start=appended.first_position)
    ]  # fmt: skip
