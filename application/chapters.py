"""Chapters: how a long history starts without being folded from its first record.

At every so-manieth version of a history, what the stretch before it has changed in the state is written down as a
*chapter*. A cold start merges the chapters and folds the few records after the last. A chapter is small and is written
once, so all chapters together are as long as the history, and no write is big. They end at the same versions whoever
writes them, so several servers write the same bytes.

Chapters are derived from the journal and never the truth. One counts only in a journal that holds the very record it
ends with, so none outlives a journal that was set back, and only if none is missing before it. From the first that does
not count, the records are folded instead, and the chapters are written anew on the way.

Writing is in nobody's way: whoever passes the end of a chapter says so, and a job of its own does the rest.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Any, Final

from attrs import define

from application.desk import Versioned, decider_of
from application.ports import (
    Binding,
    Chapter,
    Draft,
    Journal,
    JournalError,
    JournalUnavailableError,
    Snapshot,
    Snapshots,
)
from domain.ids import kind_of
from domain.record import Record, UnreadableError
from domain.values import frozen

EVERY: Final = 2_000
"""Records from one chapter to the next: some milliseconds' work to write one."""
AT_A_TIME: Final = 16
"""Chapters that are read at once."""
WAITING: Final = 128
"""Chapters that may wait to be written; one more, and the oldest is left to the next cold start."""
RETRY_SECONDS: Final = 1.0
NOTHING: Final[Mapping[str, Binding]] = {}
BOND_BYTES: Final = 16

log = logging.getLogger(__name__)

Included = Callable[[Record], bool]
"""Whether a record is to be part of a state; if one is, all before it are."""


@frozen
class Begun:
    """A state from chapters, and the position of its last record; version 0 if there are none."""

    versioned: Versioned
    position: int = 0


@frozen(eq=False)
class Passed:
    """A stretch of a history that somebody has come to the end of, all of it durable."""

    history_id: str
    before: Any
    now: Versioned
    bond: bytes


@define
class ChapterCounts:
    """What became of chapters, for metrics."""

    written: int = 0
    failures: int = 0


class Chapters:
    """Reads chapters when a history starts, and writes new ones while it grows; ``run`` does the writing."""

    def __init__(
        self, snapshots: Snapshots | None = None, bindings: Mapping[str, Binding] = NOTHING, every: int = EVERY
    ) -> None:
        """Keep chapters of the kinds of history that have a binding; of none, where there is no place for them."""
        self.counts = ChapterCounts()
        self.every = every
        self._snapshots, self._bindings = snapshots, bindings if snapshots else NOTHING
        self._last: dict[str, Versioned] = {}
        self._waiting: deque[Passed] = deque(maxlen=WAITING)
        self._some = asyncio.Event()

    def ends(self, history_id: str, version: int) -> bool:
        """Tell whether a chapter ends at a version."""
        return version % self.every == 0 and kind_of(history_id) in self._bindings

    def topic(self, kind: str) -> str:
        """Name the format of a kind's chapters, and how long they are."""
        return f"{self._bindings[kind].topic}.{self.every}"

    def bind(self, passed: Passed) -> Snapshot:
        """Write a stretch down."""
        kind, now = kind_of(passed.history_id), passed.now
        state = self._bindings[kind].bind(passed.before, now.state, passed.bond)
        return Snapshot(passed.history_id, now.version, self.topic(kind), state)

    # reading

    async def histories(self) -> list[str]:
        """Return the histories that have chapters."""
        if self._snapshots is None:
            return []
        return [each for kind in self._bindings for each in await self._snapshots.histories(self.topic(kind))]

    async def row(self, history_id: str, after: int) -> Snapshot | None:
        """Return the next chapter after a version, as it is written; whether it counts is another matter."""
        assert self._snapshots is not None
        rows = await self._snapshots.read(history_id, self.topic(kind_of(history_id)), after, 1)
        return rows[0] if rows else None

    async def read(self, journal: Journal, history_id: str, included: Included) -> Begun:
        """Return the state that the chapters give, up to the last included record; the loop has its turn meanwhile."""
        binding = self._bindings.get(kind_of(history_id))
        if binding is None:
            return Begun(_initial(history_id))
        merging, version, position = binding.merging(), 0, 0
        async with aclosing(self._counting(journal, history_id)) as counting:
            async for record, chapter in counting:
                if not included(record):
                    break
                merging.add(chapter)
                version, position = record.version, record.position
                await asyncio.sleep(0)
        return Begun(Versioned(await merging.state(), version), position) if version else Begun(_initial(history_id))

    async def _counting(self, journal: Journal, history_id: str) -> AsyncGenerator[tuple[Record, Chapter], None]:
        """Walk the chapters from the first to the last that counts, each with the record it ends with."""
        version = 0
        try:
            async with aclosing(self._pages(history_id)) as pages:
                async for rows in pages:
                    found = await journal.at(history_id, [row.version for row in rows])
                    records = {record.version: record for record in found}
                    for row in rows:
                        record = records.get(version + self.every)
                        chapter = self._opened(row) if record and record.version == row.version else None
                        if record is None or chapter is None or chapter.bond != bond_of(record):
                            return
                        version = record.version
                        yield record, chapter
        except JournalError as error:
            log.warning("The chapters of %s cannot be read, its records are folded: %s", history_id, error)

    async def _pages(self, history_id: str) -> AsyncGenerator[Sequence[Snapshot], None]:
        """Read a history's chapters; the next ones are on their way while the caller works on some."""
        assert self._snapshots is not None
        read, topic = self._snapshots.read, self.topic(kind_of(history_id))
        reading = asyncio.create_task(read(history_id, topic, 0, AT_A_TIME))
        try:
            while rows := await reading:
                reading = asyncio.create_task(read(history_id, topic, rows[-1].version, AT_A_TIME))
                yield rows
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _opened(self, row: Snapshot) -> Chapter | None:
        try:
            return self._bindings[kind_of(row.history_id)].open(row.state)
        except UnreadableError as error:
            log.warning("The chapter of %s at version %d is left out: %s", row.history_id, row.version, error)
            return None

    # writing

    def begin(self, history_id: str, last: Versioned) -> None:
        """Go on from a state that the chapters gave: the next one starts there."""
        self._last[history_id] = last

    def forget(self, history_id: str) -> None:
        """Go on no longer: nobody holds the state."""
        self._last.pop(history_id, None)

    def passed(self, history_id: str, now: Versioned, end: Draft | Record) -> None:
        """Have the chapter written that ends with a state and its last record, if its beginning was passed as well."""
        before, self._last[history_id] = self._last.get(history_id), now
        if now.version == self.every:
            before = _initial(history_id)
        if before is not None and before.version == now.version - self.every:
            self._waiting.append(Passed(history_id, before.state, now, bond_of(end)))
            self._some.set()

    async def run(self) -> None:
        """Write what was passed until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                passed = self._waiting.popleft()
                try:
                    await self._write(self.bind(passed))
                except Exception:
                    self.counts.failures += 1
                    log.exception("Chapter %d of %s was not written", passed.now.version, passed.history_id)

    async def _write(self, snapshot: Snapshot) -> None:
        """Write one chapter; a database that is away is waited for."""
        assert self._snapshots is not None
        while True:
            try:
                await self._snapshots.write(snapshot)
            except JournalUnavailableError:
                self.counts.failures += 1
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.counts.written += 1
                return


def bond_of(record: Draft | Record) -> bytes:
    """Hash what tells a record from any other: its envelope names its command, its till and its time."""
    parts = (record.topic.encode(), record.state, record.metadata)
    return sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).digest()[:BOND_BYTES]


def _initial(history_id: str) -> Versioned:
    return Versioned(decider_of(history_id).initial, 0)
