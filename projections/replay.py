"""How it was: read models as of any position, folded from the journal into memory by the code that keeps them live."""

import asyncio
from asyncio import Lock
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from domain.record import Record
from projections.applying import Applier, require_dense
from projections.catalogue import NAMES, named
from projections.memory import MemoryStore
from projections.projection import Projection
from projections.store import Feed, Wire

CHUNK = 2_000
KEPT = 4


async def as_of(
    feed: Feed,
    wire: Wire,
    position: int,
    projections: Iterable[Projection | str] = NAMES,
    *,
    start: MemoryStore | None = None,
) -> MemoryStore:
    """Return read models as they were when the journal ended at ``position``.

    ``start`` is an earlier state of the same read models to go on from. Others on the event loop get their turn
    every few milliseconds, however long it takes.
    """
    chosen = _projections(projections)
    store = MemoryStore(chosen) if start is None else start.fork()
    applier = Applier(wire, store, cached_rows=0)
    marks = await store.marks()
    after = min(marks[each.name].position for each in chosen)
    async for records in feed.scan(after, position):
        for begin in range(0, len(records), CHUNK):
            await _take(applier, store, chosen, records[begin : begin + CHUNK])
            await asyncio.sleep(0)
    return store


async def _take(
    applier: Applier, store: MemoryStore, projections: Sequence[Projection], records: Sequence[Record]
) -> None:
    marks = await store.marks()
    require_dense(records, marks[projections[0].name].position)
    await applier.apply(records, {each: marks[each.name] for each in projections})


def _projections(projections: Iterable[Projection | str]) -> tuple[Projection, ...]:
    given = tuple(projections)
    by_name = named(*(each for each in given if isinstance(each, str)))
    return (*by_name, *(each for each in given if isinstance(each, Projection)))


class Past:
    """Answers questions about the past; keeps the last few answers, and goes on from an earlier one if it has it.

    One replay at a time: a second one would only make both slower.
    """

    def __init__(self, feed: Feed, wire: Wire, *, kept: int = KEPT) -> None:
        self._feed = feed
        self._wire = wire
        self._size = kept
        self._kept: OrderedDict[tuple[tuple[str, ...], int], MemoryStore] = OrderedDict()
        self._replaying = Lock()

    async def as_of(self, position: int, names: Iterable[str] = NAMES) -> MemoryStore:
        """Return the named read models as they were at ``position``; at the head if that is earlier."""
        chosen = tuple(each.name for each in named(*names))
        async with self._replaying:
            position = min(position, await self._feed.head())
            store = self._kept.get((chosen, position))
            if store is None:
                store = await as_of(self._feed, self._wire, position, chosen, start=self._earlier(chosen, position))
            self._keep(chosen, position, store)
            return store

    def _earlier(self, names: tuple[str, ...], position: int) -> MemoryStore | None:
        """Return the latest state that is kept of the same read models and not after a position."""
        positions = [at for of, at in self._kept if of == names and at <= position]
        return self._kept[names, max(positions)] if positions else None

    def _keep(self, names: tuple[str, ...], position: int, store: MemoryStore) -> None:
        self._kept[names, position] = store
        self._kept.move_to_end((names, position))
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
