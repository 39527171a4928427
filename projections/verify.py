"""The certificate: walks the whole journal once and says whether everything that must hold does.

Nobody's word is taken for anything: events are folded from the stored bytes by the shop's own deciders, and what must
be true is checked after each. The same walk replays the read models, so that the live ones can be compared.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from attrs import Factory, frozen

from domain.record import Metadata, Record
from projections.applying import Applier
from projections.breach import RULES, Breach, BreachError
from projections.catalogue import PROJECTIONS
from projections.digest import Digest, digest
from projections.envelopes import EnvelopeRules, Once
from projections.memory import MemoryStore
from projections.projection import Projection
from projections.shop_rules import KEPT_STATES, ShopRules
from projections.store import Store, Wire

SLICE = 1_000
"""Records between two pauses in which others on the event loop get their turn."""
Advanced = Callable[[int, int], None]
"""Told how many records are verified, and of how many."""


class Archive(Protocol):
    """The journal, as far as a verification reads it."""

    async def head(self) -> int:
        """Return the last position; 0 when empty."""

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""

    def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Walk the journal in chunks, flat in memory."""

    async def load(self, tails: Mapping[str, int]) -> Sequence[Record]:
        """Return the records of each history after the given version, by history and version."""


class FullWire(Wire, Protocol):
    """How stored events and envelopes are read."""

    def decode_metadata(self, metadata: bytes) -> Metadata:
        """Read an envelope; ``UnreadableError`` when it cannot be read."""


@frozen
class Compared:
    """A read model beside what the journal says it must hold."""

    live: Digest
    replayed: Digest | None
    """None when the walk ended before it."""

    @property
    def same(self) -> bool:
        """Whether the live rows are what the journal says."""
        return self.live == self.replayed


@frozen
class Certificate:
    """What was verified, and the first breach if there is one."""

    position: int
    """The journal is verified up to here."""
    counts: Mapping[str, int]
    """How much was looked at: records, commands, and what ``ShopRules`` counts."""
    breach: Breach | None = None
    compared: tuple[Compared, ...] = ()
    rules: tuple[str, ...] = Factory(lambda: tuple(RULES))

    @property
    def differing(self) -> tuple[str, ...]:
        """Read models that do not hold what the journal says."""
        return tuple(each.live.name for each in self.compared if each.replayed is not None and not each.same)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return self.breach is None and not self.differing


async def verify(
    journal: Archive,
    wire: FullWire,
    store: Store | None = None,
    projections: Iterable[Projection] = PROJECTIONS,
    *,
    advanced: Advanced | None = None,
    kept_states: int = KEPT_STATES,
) -> Certificate:
    """Verify the journal up to its head, and the read models of ``store`` each at its own position.

    One pass. Memory holds the states of shows and listings, a bounded number of others, 16 bytes a command and a
    passing history, and with a store the replayed rows: about as much as the read models themselves.
    """
    live = [] if store is None else await digest(store, projections)
    end = max([await journal.head(), *(each.position for each in live)])
    walk = _Walk(journal, wire, live, tuple(projections), kept_states)
    breach = None
    try:
        async for records in journal.scan(0, end):
            await walk.take(records)
            if advanced is not None:
                advanced(walk.envelopes.position, end)
        await walk.finish(end)
    except BreachError as error:
        breach = error.breach
    return Certificate(walk.envelopes.position, walk.counts(), breach, await walk.compare(whole=breach is None))


class _Walk:
    """One pass over the journal: the rules, and the read models beside them."""

    def __init__(
        self,
        journal: Archive,
        wire: FullWire,
        live: Sequence[Digest],
        projections: tuple[Projection, ...],
        kept_states: int,
    ) -> None:
        self._journal, self._live = journal, live
        self.envelopes = EnvelopeRules(wire)
        self._shop = ShopRules(wire, journal, self.envelopes, kept=kept_states)
        self._replay = _Replay(wire, {each.name: each.position for each in live}, projections)

    async def take(self, records: Sequence[Record]) -> None:
        """Verify a chunk."""
        await self._shop.prepare(records)
        for begin in range(0, len(records), SLICE):
            part = records[begin : begin + SLICE]
            for record in part:
                self._shop.take(record, self.envelopes.take(record))
            await asyncio.sleep(0)
            await self._replay.take(part)
        self._shop.trim()

    async def finish(self, end: int) -> None:
        """Check what can only be said at the end: nothing is missing, nothing came twice."""
        self.envelopes.end()
        if self.envelopes.position < end:
            raise BreachError(self.envelopes.position + 1, "dense", f"the journal ends here, its head is {end}")
        await self._only_once(self.envelopes.commands, "command", lambda record: record.command_id or "")
        await self._only_once(self._shop.begun, "version", lambda record: record.history_id)

    async def _only_once(self, once: Once, rule: str, key_of: Callable[[Record], str]) -> None:
        """Compare the keys behind equal hashes."""
        for first, second in once.suspects():
            [a], [b] = await self._journal.read(first - 1, 1), await self._journal.read(second - 1, 1)
            if key_of(a) == key_of(b):
                raise BreachError(second, rule, f"{key_of(b)} was begun before, at position {first}")

    def counts(self) -> dict[str, int]:
        """Say how much was looked at."""
        return {
            "records": self.envelopes.position,
            "commands": len(self.envelopes.commands),
            **self._shop.counts,
        }

    async def compare(self, *, whole: bool) -> tuple[Compared, ...]:
        """Put the live read models beside the replayed ones; without those when the walk broke off."""
        replayed = {each.name: each for each in await self._replay.digests()} if whole and self._live else {}
        return tuple(Compared(each, replayed.get(each.name)) for each in self._live)


class _Replay:
    """Folds the read models anew, each up to the position at which the live one was digested."""

    def __init__(self, wire: Wire, ends: Mapping[str, int], projections: tuple[Projection, ...]) -> None:
        self._ends = ends
        self._projections = tuple(each for each in projections if each.name in ends)
        self._store = MemoryStore(self._projections)
        self._applier = Applier(wire, self._store, cached_rows=0)

    async def take(self, records: Sequence[Record]) -> None:
        """Apply records to the read models that live ones had taken in."""
        while records:
            marks = await self._store.marks()
            open_still = [each for each in self._projections if self._ends[each.name] >= records[0].position]
            if not open_still:
                return
            size = min(self._ends[each.name] for each in open_still) - records[0].position + 1
            await self._applier.apply(records[:size], {each: marks[each.name] for each in open_still})
            records = records[size:]

    async def digests(self) -> list[Digest]:
        """Digest what was replayed."""
        return await digest(self._store, self._projections)
