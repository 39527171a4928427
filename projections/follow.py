"""The follower: feeds every read model from the journal, exactly once in effect, whatever crashes.

One process at a time leads. It reads a batch once, decodes it once and folds it into all projections that are behind;
the changed rows and each projection's mark are one transaction. So after a crash the rows and the mark are of the
same position, and the next leader goes on from there. A mark moves only from where it was last seen: a leader that
was cut off and acts once more changes nothing.

A record that a projection cannot take in is parked with its error and the show goes on. A projection that is far
behind (new, or parked away) catches up beside the others and does not hold them back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NoReturn, Protocol

from domain.record import Record
from projections.applying import Applier, grouped, require_dense
from projections.catalogue import PROJECTIONS
from projections.folding import CACHED_ROWS
from projections.progress import Progress
from projections.projection import Projection
from projections.store import Feed, Mark, MarkMovedError, Parked, Store, Wire
from projections.tasks import ended

LEAD = "followers"
BATCH = 2_000
POLL_SECONDS = 0.5
"""How often the journal is looked at when no wake-up comes."""
_PAUSES_SECONDS = (0.05, 0.2, 1.0, 5.0)
"""How long to wait after the first, second … failure in a row."""
_log = logging.getLogger(__name__)


class Announcer(Protocol):
    """Says when the journal may have grown."""

    async def wait(self, after: int, timeout: float) -> None:  # noqa: ASYNC109 - the port's parameter
        """Return when the journal may have grown beyond ``after``, or after ``timeout`` seconds."""


class Leadership(Protocol):
    """Lets one process at a time do a job."""

    def lead(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for the lead of ``name`` and hold it."""


class Follower:
    """Keeps the read models of a store up with the journal."""

    def __init__(
        self,
        feed: Feed,
        wire: Wire,
        store: Store,
        projections: Iterable[Projection] = PROJECTIONS,
        *,
        batch: int = BATCH,
        cached_rows: int = CACHED_ROWS,
    ) -> None:
        self._feed = feed
        self._store = store
        self._projections = tuple(projections)
        self._batch = batch
        self._applier = Applier(wire, store, cached_rows=cached_rows)
        self._ahead = _ReadAhead(feed)
        self._marks: dict[str, Mark] = {}
        self.progress = Progress(store)

    async def run(
        self, announcer: Announcer, leadership: Leadership, *, poll_seconds: float = POLL_SECONDS
    ) -> NoReturn:
        """Follow until cancelled: stand for the lead, follow, and after any failure stand again."""
        failures = 0
        while True:
            try:
                async with leadership.lead(LEAD), self._leaving_off():
                    await self._begin()
                    failures = 0
                    await self._follow(announcer, poll_seconds)
            except Exception as error:  # noqa: BLE001 - a follower that ends is worse than any error it meets
                pause_seconds = _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)]
                failures += 1
                _log.warning("Following stopped, next try in %s s: %s", pause_seconds, error)
                await asyncio.sleep(pause_seconds)

    async def catch_up(self) -> int:
        """Follow to the head of the journal and return it. For tools and tests: nobody leads meanwhile."""
        async with self._leaving_off():
            await self._begin()
            while await self._round():
                continue
        return min(mark.position for mark in self._marks.values())

    async def wait_for(self, position: int, names: Collection[str], timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until the named read models hold ``position``; False if they do not within ``timeout`` seconds."""
        return await self.progress.wait(position, names, timeout)

    async def positions(self) -> dict[str, int]:
        """Return how far each read model has come."""
        marks = await self._store.marks()
        return {each.name: marks[each.name].position for each in self._projections}

    async def lag(self) -> dict[str, int]:
        """Return how many records each read model is behind the journal."""
        positions = await self.positions()
        head = await self._feed.head()
        return {name: max(0, head - position) for name, position in positions.items()}

    async def parked(self) -> Sequence[Parked]:
        """Return the records that read models could not take in."""
        return await self._store.parked()

    async def _begin(self) -> None:
        """Go on from what the store says, and from nothing that is remembered."""
        await self._leave_off()
        marks = await self._store.marks()
        self._marks = {each.name: marks[each.name] for each in self._projections}
        self._tell()

    @asynccontextmanager
    async def _leaving_off(self) -> AsyncIterator[None]:
        """Leave nothing behind at the end of the block: no reading, and no writing without the lead."""
        try:
            yield
        finally:
            await self._leave_off()

    async def _leave_off(self) -> None:
        try:
            await self._applier.forget()
        finally:
            await self._ahead.drop()

    async def _follow(self, announcer: Announcer, poll_seconds: float) -> NoReturn:
        while True:
            try:
                moved = await self._round()
            except MarkMovedError:  # A rebuilt read model took over, or a leader that was cut off was still writing.
                await self._begin()
                continue
            if not moved:
                await announcer.wait(min(mark.position for mark in self._marks.values()), poll_seconds)

    async def _round(self) -> bool:
        """Take in one batch for each group of projections at one position; return whether anything moved."""
        groups = grouped(self._projections, self._marks)
        moved, next_position = False, None
        for position, group in groups.items():
            limit = self._batch if next_position is None else min(self._batch, next_position - position)
            moved = await self._advance(position, group, limit) or moved
            next_position = position
        if not moved:
            self._note(await self._applier.finish())
        return moved

    async def _advance(self, position: int, group: Mapping[Projection, Mark], limit: int) -> bool:
        """Take in the next batch; a full one is still being written when the one after it is read and folded."""
        records = await self._ahead.read(position, limit)
        if not records:
            return False
        require_dense(records, position)
        is_full = len(records) == self._batch
        if is_full:
            self._ahead.begin(records[-1].position, self._batch)
        self._note(await self._applier.begin(records, group))
        for projection, mark in group.items():
            self._marks[projection.name] = Mark(records[-1].position, mark.generation)
        if not is_full:
            self._note(await self._applier.finish())
        return True

    def _note(self, parked: Iterable[Parked]) -> None:
        """Say how far everything stands, and what is missing."""
        for each in parked:
            _log.error("%s cannot take in record %s: %s", each.projection, each.position, each.error)
        self._tell()

    def _tell(self) -> None:
        self.progress.tell({name: mark.position for name, mark in self._marks.items()})


class _ReadAhead:
    """Reads the next batch while this one is folded and stored."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._wanted = (-1, 0)
        self._task: asyncio.Task[Sequence[Record]] | None = None

    def begin(self, after: int, limit: int) -> None:
        """Start reading, unless another reading is under way."""
        if self._task is None:
            self._wanted = (after, limit)
            self._task = asyncio.ensure_future(self._feed.read(after, limit))

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return what was asked for, from the reading under way if that is the same."""
        if self._task is not None and self._wanted[0] == after:
            task, self._task = self._task, None
            return (await task)[:limit]
        return await self._feed.read(after, limit)

    async def drop(self) -> None:
        """End a reading that nobody will ask for."""
        if self._task is not None:
            task, self._task = self._task, None
            await ended(task)
