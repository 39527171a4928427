"""Takes batches in, exactly once in effect, and finds the record to park when the store refuses what one comes to.

The next batch is folded while the one before it is written: over what that will leave, which holds only if it does get
written. If it does not, what was folded over it is thrown away.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from domain.values import frozen
from projections.folding import CACHED_ROWS, Folder
from projections.projection import Fact, Projection
from projections.store import Mark, Parked, RowsRefusedError, Store, Wire, Write
from projections.tasks import ended


class Applier:
    """Applies records to the projections of a store; rows, marks and parked records in one transaction."""

    def __init__(self, wire: Wire, store: Store, *, cached_rows: int = CACHED_ROWS) -> None:
        self._folder = Folder(wire, store, cached_rows=cached_rows)
        self._store = store
        self._flight: _Flight | None = None

    async def apply(self, records: Sequence[Fact], projections: Mapping[Projection, Mark]) -> list[Parked]:
        """Take records in for projections whose marks stand at the record before them; return what was parked."""
        parked = await self.begin(records, projections)
        return parked + await self.finish()

    async def begin(self, records: Sequence[Fact], projections: Mapping[Projection, Mark]) -> list[Parked]:
        """Fold records and set out to write them; what was begun before stands then, and what it parked is returned."""
        before, parked = self._flight, list[Parked]()
        try:
            write = await self._folder.fold(records, projections)
            parked += await self.finish()
            if before is not None and before.failed:
                write = await self._folder.fold(records, projections)
        except RowsRefusedError as error:  # of a row that was looked up; what is on its way is sound
            parked += await self.finish()
            self._folder.forget()
            return parked + await self._apart(records, projections, error)
        except BaseException:
            await self.forget()
            raise
        self._flight = _Flight(records, projections, write, asyncio.create_task(self._store.commit(write)))
        return parked

    async def finish(self) -> list[Parked]:
        """Wait until what was begun stands; return what it parked."""
        flight, self._flight = self._flight, None
        if flight is None:
            return []
        try:
            await flight.writing
        except RowsRefusedError as error:
            self._folder.forget()
            return await self._apart(flight.records, flight.projections, error)
        except BaseException:
            self._folder.forget()
            raise
        return list(flight.write.parked)

    async def forget(self) -> None:
        """Call off what was begun, and trust no row that is remembered: somebody else may have written."""
        flight, self._flight = self._flight, None
        self._folder.forget()
        if flight is not None:
            await ended(flight.writing)

    async def _apart(
        self, records: Sequence[Fact], projections: Mapping[Projection, Mark], error: RowsRefusedError
    ) -> list[Parked]:
        """Halve the batch, then take one projection at a time, until it is clear what is refused."""
        if len(records) > 1:
            middle = len(records) // 2
            parts = [(records[:middle], projections), (records[middle:], _at(projections, records[middle - 1]))]
        elif len(projections) > 1:
            parts = [(records, {projection: mark}) for projection, mark in projections.items()]
        else:
            return await self._park(records[0], projections, error)
        return [parked for part in parts for parked in await self.apply(*part)]

    async def _park(
        self, record: Fact, projections: Mapping[Projection, Mark], error: RowsRefusedError
    ) -> list[Parked]:
        parked = [Parked(each.name, record.position, record.topic, str(error)) for each in projections]
        moves = {each.name: (mark, record.position) for each, mark in projections.items()}
        await self._store.commit(Write(moves, parked=parked))
        return parked


@frozen(eq=False)
class _Flight:
    """A batch on its way to the store."""

    records: Sequence[Fact]
    projections: Mapping[Projection, Mark]
    write: Write
    writing: asyncio.Task[None]

    @property
    def failed(self) -> bool:
        """Whether it came to nothing, so that nothing may rest on it."""
        return self.writing.cancelled() or self.writing.exception() is not None


def _at(projections: Mapping[Projection, Mark], record: Fact) -> dict[Projection, Mark]:
    return {each: Mark(record.position, mark.generation) for each, mark in projections.items()}


class GapError(Exception):
    """The journal misses a position: it was tampered with or damaged, and nobody may go on as if it were not."""


def require_dense(records: Sequence[Fact], after: int) -> None:
    """Raise ``GapError`` unless the records follow each other from the one after ``after`` on."""
    if records[0].position != after + 1 or records[-1].position != after + len(records):
        raise GapError(f"The journal has a gap after position {after}: restore it from a backup")


def grouped(projections: Iterable[Projection], marks: Mapping[str, Mark]) -> dict[int, dict[Projection, Mark]]:
    """Put projections that have come to the same position together, the furthest first."""
    groups: dict[int, dict[Projection, Mark]] = {}
    for projection in sorted(projections, key=lambda each: -marks[each.name].position):
        mark = marks[projection.name]
        groups.setdefault(mark.position, {})[projection] = mark
    return groups
