"""The certificate: walks the whole journal and says whether everything that must hold does.

Nobody's word is taken for anything: events are folded from the stored bytes by the shop's own deciders, and what must
be true is checked after each. Beside the walk the read models are replayed, here or in another process, so that the
live ones can be compared.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from attrs import Factory

from domain.record import Metadata, Record
from domain.values import frozen
from projections.applying import Applier
from projections.breach import RULES, Breach, BreachError
from projections.catalogue import named
from projections.digest import Digest, digest
from projections.envelopes import EnvelopeRules
from projections.memory import MemoryStore
from projections.once import Once
from projections.owed import Owed
from projections.projection import Fact, Projection
from projections.ripening import Unripe
from projections.shop_rules import KEPT_STATES, Proofs, ShopRules
from projections.store import Parked, Store, Wire

F = TypeVar("F", bound=Fact)
CHUNK = 5_000
"""Records that are read at a time."""
SLICE = 1_000
"""Records between two pauses in which others on the event loop get their turn."""
Read = Callable[[int, int], Coroutine[Any, Any, Sequence[Fact]]]
"""Returns records after a position, up to a number of them, in order."""
Advanced = Callable[[int, int], None]
"""Told how many records are verified, and of how many."""


class Archive(Protocol):
    """The journal, as far as a verification reads it."""

    async def head(self) -> int:
        """Return the last position; 0 when empty."""

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""

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
    """None when the walk broke off."""

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
    reacted: int = 0
    """Commissions are compared with their orders up to here: the reactions had come so far."""
    owed: tuple[Owed | Unripe, ...] = ()
    """The first commissions that did not follow their orders."""
    parked: tuple[Parked, ...] = ()
    """Records that the read models do without. A replay does without them too, so it would not tell."""
    rules: tuple[str, ...] = Factory(lambda: tuple(RULES))

    @property
    def differing(self) -> tuple[str, ...]:
        """Read models that do not hold what the journal says."""
        return tuple(each.live.name for each in self.compared if each.replayed is not None and not each.same)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return self.breach is None and not self.differing and not self.owed and not self.parked


class Proofreader(Proofs, Protocol):
    """Compares chapters beside the walk."""

    async def begin(self) -> None:
        """Find out what was written down."""

    async def compare(self) -> None:
        """Compare what was taken."""


Compare = Callable[[], Awaitable[Sequence[Compared]]]
"""Replays the read models and says what they hold beside what they must."""


async def verify(
    journal: Archive,
    wire: FullWire,
    store: Store | None = None,
    *,
    compare: Compare | None = None,
    proofreader: Proofreader | None = None,
    advanced: Advanced | None = None,
    reacted: int = 0,
    kept_states: int = KEPT_STATES,
    chunk: int = CHUNK,
) -> Certificate:
    """Verify the journal up to its head, and the read models of ``store`` each at its own position.

    ``compare`` replays them, in another process perhaps; unless told they are replayed here, into memory. The walk
    itself holds the states of shows and listings and ``kept_states`` others. ``proofreader`` is shown what was written
    down of listings on the way. ``reacted`` is the bookmark of the reactions, read before this is called: what happened
    to orders up to there must have reached the commissions. Without it, as for a journal by itself, nobody is asked.
    """
    comparing = asyncio.create_task(_compared(journal, wire, store, compare))
    if proofreader is not None:
        await proofreader.begin()
    walk = _Walk(journal, wire, kept_states, chunk, advanced, proofreader, reacted)
    breach: Breach | None = None
    owed: tuple[Owed | Unripe, ...] = ()
    try:
        await walk.upto(await journal.head())
        compared = await comparing
        await walk.upto(max((each.live.position for each in compared), default=0))
        owed = await walk.finish()
    except BreachError as error:
        breach = error.breach
        compared = () if store is None else [Compared(each, None) for each in await digest(store)]
    finally:
        walk.close()
        comparing.cancel()
        await asyncio.gather(comparing, return_exceptions=True)
    parked = () if store is None else await _parked(store, {each.live.name for each in compared})
    return Certificate(walk.envelopes.position, walk.counts(), breach, tuple(compared), reacted, owed, parked)


async def _compared(journal: Archive, wire: Wire, store: Store | None, compare: Compare | None) -> Sequence[Compared]:
    if store is None:
        return ()
    return await compare() if compare is not None else await compared_with_replay(journal.read, wire, store)


async def compared_with_replay(read: Read, wire: Wire, store: Store, scratch: Store | None = None) -> list[Compared]:
    """Return what the read models hold, and what they must: each replayed to its own position."""
    live = await digest(store)
    replayed = await replay_to(read, wire, {each.name: each.position for each in live}, scratch)
    return [Compared(*pair) for pair in zip(live, replayed, strict=True)]


async def _parked(store: Store, names: Collection[str]) -> tuple[Parked, ...]:
    """Return what read models could not take in; what a reaction could not do is no part of a certificate."""
    return tuple(each for each in await store.parked() if each.projection in names)


async def replay_to(read: Read, wire: Wire, ends: Mapping[str, int], store: Store | None = None) -> list[Digest]:
    """Digest read models replayed from the journal alone, each to a position of its own.

    Unless told they are replayed into memory, which then grows with their rows.
    """
    projections = named(*ends)
    scratch = store or MemoryStore(projections)
    applier = Applier(wire, scratch, cached_rows=0)
    async for records in _chunks(read, 0, max(ends.values()), CHUNK):
        for begin in range(0, len(records), SLICE):
            await _apply(applier, scratch, projections, ends, records[begin : begin + SLICE])
            await asyncio.sleep(0)
    return await digest(scratch, projections)


async def _apply(
    applier: Applier,
    store: Store,
    projections: Sequence[Projection],
    ends: Mapping[str, int],
    records: Sequence[Fact],
) -> None:
    """Apply records to the read models that have not come to their end."""
    while records:
        marks = await store.marks()
        open_still = [each for each in projections if ends[each.name] >= records[0].position]
        if not open_still:
            return
        size = min(ends[each.name] for each in open_still) - records[0].position + 1
        await applier.apply(records[:size], {each: marks[each.name] for each in open_still})
        records = records[size:]


async def _chunks(
    read: Callable[[int, int], Coroutine[Any, Any, Sequence[F]]], after: int, end: int, chunk: int
) -> AsyncGenerator[Sequence[F], None]:
    """Read the journal from one position to another; the next chunk is on its way while the caller works on one."""
    if after >= end:
        return
    reading = asyncio.create_task(read(after, min(chunk, end - after)))
    try:
        while records := await reading:
            after = records[-1].position
            if after < end:
                reading = asyncio.create_task(read(after, min(chunk, end - after)))
            yield records
            if after >= end:
                return
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Walk:
    """One pass over the journal under all rules."""

    def __init__(
        self,
        journal: Archive,
        wire: FullWire,
        kept_states: int,
        chunk: int,
        advanced: Advanced | None,
        proofreader: Proofreader | None,
        reacted: int,
    ) -> None:
        self._journal, self._chunk, self._advanced, self._proofreader = journal, chunk, advanced, proofreader
        self._end = 0
        self.envelopes = EnvelopeRules(wire)
        self._shop = ShopRules(wire, journal, self.envelopes, kept=kept_states, proofs=proofreader, reacted=reacted)

    async def upto(self, end: int) -> None:
        """Walk on to a position, if that lies ahead."""
        self._end = max(end, self._end)
        async with aclosing(_chunks(self._journal.read, self.envelopes.position, self._end, self._chunk)) as chunks:
            async for records in chunks:
                await self._take(records)
                if self._advanced is not None:
                    self._advanced(self.envelopes.position, self._end)

    async def _take(self, records: Sequence[Record]) -> None:
        before, sound = self.envelopes.position, self.envelopes.in_order(records)
        await self._shop.prepare(records)
        try:
            for begin in range(0, sound, SLICE):
                for record in records[begin : min(begin + SLICE, sound)]:
                    self._shop.take(record, self.envelopes.take(record))
                await asyncio.sleep(0)
            if sound < len(records):
                self.envelopes.refuse(records[sound])
        finally:  # also where the walk breaks off, it says how much it has looked at
            self.envelopes.note(records[: self.envelopes.position - before])
        self._shop.note(records)
        self._shop.trim()
        if self._proofreader is not None:
            await self._proofreader.compare()

    async def finish(self) -> tuple[Owed | Unripe, ...]:
        """Check what can only be said at the end: nothing is missing, nothing came twice; return what is owed.

        A read model may stand within a command, for it follows in batches of records: the command is walked to its end.
        """
        await self.upto(self.envelopes.position + self.envelopes.left)
        self.envelopes.end()
        if self.envelopes.position < self._end:
            raise BreachError(self.envelopes.position + 1, "dense", f"the journal ends here, its head is {self._end}")
        await self._only_once(self.envelopes.commands, "command", lambda record: record.command_id)
        await self._only_once(
            self._shop.begun, "version", lambda record: record.history_id if record.version == 1 else None
        )
        return self._shop.owed()

    async def _only_once(self, once: Once, rule: str, key_of: Callable[[Record], str | None]) -> None:
        """Where hashes were equal, walk again and compare the keys themselves."""
        twice = once.twice()
        if not twice:
            return
        seen: dict[str, int] = {}
        async with aclosing(_chunks(self._journal.read, 0, self.envelopes.position, CHUNK)) as chunks:
            async for records in chunks:
                for record in records:
                    key = key_of(record)
                    if key is not None and hash(key) in twice:
                        first = seen.setdefault(key, record.position)
                        if first != record.position:
                            raise BreachError(record.position, rule, f"{key} was begun before, at position {first}")

    def close(self) -> None:
        """Let go of what lies on disk."""
        self.envelopes.commands.close()
        self._shop.close()

    def counts(self) -> dict[str, int]:
        """Say how much was looked at."""
        return {
            "records": self.envelopes.position,
            "commands": len(self.envelopes.commands),
            **self._shop.counts,
        }
