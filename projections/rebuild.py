"""Rebuilding a read model beside the live one, and switching when it has caught up. Blue and green.

The new tables are filled from position 0 while the follower goes on with the live ones. When nearly all is taken in,
the follower is held for a moment: the last records are applied, both are digested at the same position, the names are
swapped and the old tables dropped, in one transaction. A rebuild that is killed leaves the live read model as it was,
and the next one begins anew. Two rebuilds of one read model at once: the later one takes over, the earlier one fails.

After a mended fold the two may differ, and that is why one rebuilds; what differs is said, not judged.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from domain.record import Record
from domain.values import frozen
from projections.applying import Applier, require_dense
from projections.canonical import lines
from projections.digest import Digest, Digesting
from projections.projection import Projection
from projections.store import Feed, Mark, MarkMovedError, Snapshot, Store, Wire
from projections.tables import Key, Table

BATCH = 5_000
_LAPS = 10
SHOWN = 20
"""Differing keys that are listed."""
Advanced = Callable[[int, int], None]
"""Told how many records are taken in, and of how many."""


class Switch(Store, Protocol):
    """The new tables while the follower is held; all inside is one transaction."""

    async def live(self) -> Snapshot:
        """Return the live rows; they do not move."""

    async def rebuilt(self) -> Snapshot:
        """Return the new rows as they are now."""

    async def swap(self) -> None:
        """Let the new tables take over when the block ends."""


class Beside(Store, Protocol):
    """New tables of one projection, beside the live ones."""

    def switch(self) -> AbstractAsyncContextManager[Switch]:
        """Hold the follower for as long as the block lasts; undone if the block fails or does not swap."""


class Rebuildable(Store, Protocol):
    """A store whose read models can be rebuilt."""

    def beside(self, projection: Projection) -> AbstractAsyncContextManager[Beside]:
        """Make new, empty tables; what an earlier rebuild left is dropped."""


@frozen
class Rebuilt:
    """What a rebuild came to."""

    live: Digest
    """Of the read model that was replaced."""
    rebuilt: Digest
    differing: tuple[str, ...] = ()
    """Where they differ, ``table/key``; the first few."""

    @property
    def same(self) -> bool:
        """Whether the live read model was what the journal says."""
        return self.live == self.rebuilt


async def rebuild(
    feed: Feed,
    wire: Wire,
    store: Rebuildable,
    projection: Projection,
    *,
    advanced: Advanced | None = None,
    batch: int = BATCH,
) -> Rebuilt:
    """Rebuild a read model from the journal and let it take over; the follower may run meanwhile."""
    tell = advanced or _quietly
    async with store.beside(projection) as beside:
        mark = (await beside.marks())[projection.name]
        mark = await _fill(feed, store, Applier(wire, beside), {projection: mark}, batch, tell)
        async with beside.switch() as switch:
            live = await switch.live()
            await _take(feed, Applier(wire, switch), {projection: mark}, live.position)
            outcome = await _compared(projection, live, await switch.rebuilt())
            await switch.swap()
    tell(live.position, live.position)
    return outcome


async def _fill(
    feed: Feed, store: Rebuildable, applier: Applier, new: Mapping[Projection, Mark], batch: int, tell: Advanced
) -> Mark:
    """Take records in, lap after lap up to where the live read model is, until a lap is short; return the new mark.

    Should the follower be as fast as this, laps do not get shorter: after a few it is held all the same.
    """
    [(projection, mark)] = new.items()
    for _ in range(_LAPS):
        begin, upto = mark.position, (await store.marks())[projection.name].position
        while mark.position < upto:
            tell(mark.position, upto)
            records = await feed.read(mark.position, min(batch, upto - mark.position))
            mark = await _apply(applier, projection, mark, records)
        if upto - begin < batch:
            break
    return mark


async def _take(feed: Feed, applier: Applier, new: Mapping[Projection, Mark], upto: int) -> None:
    """Apply the last records; ``MarkMovedError`` when the live read model was begun anew and is behind."""
    [(projection, mark)] = new.items()
    if mark.position > upto:
        raise MarkMovedError(f"{projection.name} was begun anew meanwhile: nothing is left to rebuild")
    async for records in feed.scan(mark.position, upto):
        mark = await _apply(applier, projection, mark, records)


async def _apply(applier: Applier, projection: Projection, mark: Mark, records: Sequence[Record]) -> Mark:
    require_dense(records, mark.position)
    await applier.apply(records, {projection: mark})
    return Mark(records[-1].position, mark.generation)


async def _compared(projection: Projection, live: Snapshot, rebuilt: Snapshot) -> Rebuilt:
    ours, theirs = Digesting(), Digesting()
    differing: list[str] = []
    for table in projection.tables:
        ours.begin(table)
        theirs.begin(table)
        async for key, old, new in _side_by_side(table, live, rebuilt):
            if old is not None:
                ours.add([old])
            if new is not None:
                theirs.add([new])
            if old != new and len(differing) < SHOWN:
                differing.append("/".join((table.name, *map(str, key))))
    return Rebuilt(
        Digest(projection.name, live.position, ours.result()),
        Digest(projection.name, rebuilt.position, theirs.result()),
        tuple(differing),
    )


async def _side_by_side(
    table: Table[Any], live: Snapshot, rebuilt: Snapshot
) -> AsyncIterator[tuple[Key, bytes | None, bytes | None]]:
    """Walk both in the order of the key; a row that only one has comes alone."""
    olds, news = _lines(table, live), _lines(table, rebuilt)
    old, new = await anext(olds, None), await anext(news, None)
    while old is not None or new is not None:
        key = min(each[0] for each in (old, new) if each is not None)
        old_line = old[1] if old is not None and old[0] == key else None
        new_line = new[1] if new is not None and new[0] == key else None
        yield key, old_line, new_line
        old = old if old_line is None else await anext(olds, None)
        new = new if new_line is None else await anext(news, None)


async def _lines(table: Table[Any], snapshot: Snapshot) -> AsyncIterator[tuple[Key, bytes]]:
    async for rows in snapshot.chunks(table):
        for pair in zip(map(table.key_in, rows), lines(rows), strict=True):
            yield pair


def _quietly(_done: int, _total: int) -> None:
    """Nobody watches."""
