"""The till: the single writer in front of the journal.

Tickets that arrive while an append is in flight form the next batch; no timer is needed. Each command of a batch is
rung up over the states that the ones before it left, so buyers are judged in arrival order; a refused one fails alone.
The whole batch is one append, and nobody is answered before it is durable.

What can go wrong, and what is done:

- *Conflict*: somebody else moved a history the batch was decided on. The batch is rung up again holding the journal's
  lock (a *turn*), where it cannot lose a second time: where two tills meet on one listing, both go on making progress.
- *Seen*: the journal already holds a command of the batch. It gets its first answer from there.
- *Unavailable*: nothing was written. The batch waits for the database, for a bounded time.
- *Unknown*: the reply was lost, the append may stand. The journal is asked by command id, never written to blindly.
- *Rejected*: the data itself is refused. The batch is bisected, so that a poison command fails alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime

from attrs import define, evolve

from application.cache import Cache
from application.desk import DECIDERS, NotLoadedError, Versioned
from application.histories import Histories, empty
from application.ports import (
    Announcer,
    Appended,
    Clock,
    Conflict,
    Journal,
    JournalError,
    JournalRejectedError,
    JournalUnavailableError,
    Limits,
    OutcomeUnknownError,
    Wire,
)
from application.ringing import Arrival, Find, Rung, batch_of, recorded_refusal, rung, verdict_of
from application.tickets import IdempotencyConflict, OverloadedError, Ticket, Verdict
from domain.ids import kind_of
from domain.refusal import NotFound

RETRY_SECONDS = 0.2


@define
class TillCounts:
    """What the till has done since it was opened, for metrics."""

    accepted: int = 0
    refused: int = 0
    replayed: int = 0
    failures: int = 0
    batches: int = 0
    records: int = 0
    conflicts: int = 0
    unknown: int = 0
    outages: int = 0
    append_seconds: float = 0.0


class Till:
    """Rings up tickets in batches; one per process, several may share a journal."""

    def __init__(
        self,
        journal: Journal,
        wire: Wire,
        clock: Clock,
        announcer: Announcer,
        *,
        name: str = "till",
        limits: Limits | None = None,
    ) -> None:
        """Stand in front of a journal; ``run`` opens it."""
        self.limits = limits or Limits()
        self.counts = TillCounts()
        self.histories = Histories(wire, self.limits.cached_histories)
        self._journal, self._wire, self._clock, self._announcer, self._name = journal, wire, clock, announcer, name
        self._queue: deque[Arrival] = deque()
        self._in_flight: dict[str, Arrival] = {}
        self._answered: Cache[bool] = Cache(self.limits.cached_histories)
        self._arrived = asyncio.Event()
        self._arrivals = 0
        self._latest: datetime | None = None
        self._closed = False
        self._judged_on: tuple[str, ...] = ()

    @property
    def queued(self) -> int:
        """Tickets that wait for their batch."""
        return len(self._queue)

    def now(self) -> datetime:
        """Stamp an arrival: the clock's instant, never earlier than the one before."""
        now = self._clock.now()
        self._latest = now if self._latest is None or now > self._latest else self._latest
        return self._latest

    async def ring_up(self, ticket: Ticket) -> Verdict:
        """Queue a ticket and wait for its verdict.

        Raises ``OverloadedError`` when the queue is full, and a ``JournalError`` when the database did not come back
        in time: what happened is then unknown to the caller, who may ask again with the same key.
        """
        unknown = next((each for each in ticket.command.touches if kind_of(each) not in DECIDERS), None)
        if unknown is not None:
            return Verdict((), self.histories.position, refusal=NotFound("history", unknown))
        if ticket.keyed and (first := await self._first_answer(ticket)) is not None:
            return first
        if self._closed:
            raise JournalUnavailableError("the till is closed")
        if len(self._queue) >= self.limits.queue:
            raise OverloadedError
        self._arrivals += 1
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        arrival = Arrival(evolve(ticket, arrival=self._arrivals), answer)
        self._in_flight[ticket.command_id] = arrival
        self._queue.append(arrival)
        self._arrived.set()
        return await asyncio.shield(answer)

    async def _first_answer(self, ticket: Ticket) -> Verdict | None:
        """Answer a key that is in flight or was answered here; others are found out by the append."""
        first = self._in_flight.get(ticket.command_id)
        if first is not None:
            verdict = await asyncio.shield(first.answer)
            same = first.ticket.fingerprint == ticket.fingerprint
            return evolve(verdict, replayed=True) if same else _conflicting(verdict.position)
        return await self.recall(ticket) if ticket.command_id in self._answered else None

    async def recall(self, ticket: Ticket) -> Verdict | None:
        """Give the first answer of a command that the journal holds; None when it holds none."""
        records = await self._journal.of_commands([ticket.command_id])
        if not records:
            return None
        self.counts.replayed += 1
        position = records[-1].position
        if self._wire.decode_metadata(records[0].metadata).fingerprint != ticket.fingerprint:
            return _conflicting(position)
        events = tuple((record.history_id, self._wire.decode(record.topic, record.state)) for record in records)
        kind = kind_of(ticket.command.target)
        told = next((record for record in reversed(records) if kind_of(record.history_id) == kind), records[-1])
        target = await self.histories.at_version(self._journal, told.history_id, told.version)
        return Verdict(events, position, target.state, target.version, recorded_refusal(events), replayed=True)

    async def look(self, history_id: str) -> Versioned:
        """Return a history's newest state in the journal, whoever wrote it."""
        return await self.histories.newest(self._journal, history_id)

    async def glance(self, history_id: str) -> Versioned:
        """Return a state that this process knows, or else the newest: enough for what never changes, as whose it is."""
        known = self.histories.peek(history_id)
        return known if known is not None and known.version else await self.look(history_id)

    async def run(self) -> None:
        """Work until cancelled; what is queued then is failed, so that no caller waits for ever."""
        self._closed = False
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._queue:
                    size = min(len(self._queue), self.limits.batch)
                    await self._settle([self._queue.popleft() for _ in range(size)])
                    await asyncio.sleep(0)  # a journal that never waits must not keep others off the loop
        finally:
            self._closed = True
            self._fail_all(list(self._in_flight.values()), JournalUnavailableError("the till is closed"))

    async def _settle(self, batch: Sequence[Arrival]) -> None:
        """See a batch through to its verdicts, whatever happens on the way."""
        deadline = time.monotonic() + self.limits.outage_seconds
        attempt: Callable[[Sequence[Arrival]], Awaitable[Sequence[Arrival]]] = self._in_one_go
        pending = batch
        while pending:
            try:
                pending = await attempt(pending)
                attempt = self._in_turn
            except JournalRejectedError as error:
                await self._bisect(pending, error)
                return
            except JournalError as error:
                if isinstance(error, OutcomeUnknownError):
                    self.counts.unknown += 1
                    attempt = self._in_turn
                self.counts.outages += 1
                if time.monotonic() >= deadline:
                    self._fail_all([*pending, *self._queue], error)  # who is queued has waited for the same database
                    self._queue.clear()
                    return
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - the till must outlive every surprise; callers are told
                self._fail_all(pending, error)
                return

    async def _in_one_go(self, batch: Sequence[Arrival]) -> Sequence[Arrival]:
        """Append without holding the lock: right when nobody else writes to the same histories."""
        return await self._append(nullcontext(self._journal), batch, reread=())

    async def _in_turn(self, batch: Sequence[Arrival]) -> Sequence[Arrival]:
        """Answer what the journal already holds, and ring the rest up while nothing can move."""
        records = await self._journal.of_commands([arrival.ticket.command_id for arrival in batch])
        seen = {record.command_id for record in records if record.command_id}
        rest = [arrival for arrival in batch if arrival.ticket.command_id not in seen]
        for arrival in batch:
            if arrival.ticket.command_id in seen and (verdict := await self.recall(arrival.ticket)) is not None:
                self._answer(arrival, verdict)
        return await self._append(self._journal.turn(), rest, reread=self._judged_on) if rest else ()

    async def _append(
        self, turn: AbstractAsyncContextManager[Journal], batch: Sequence[Arrival], reread: Iterable[str]
    ) -> Sequence[Arrival]:
        """Ring a batch up and append it; return what must be rung up again because something has moved."""
        started = time.perf_counter()
        async with turn as held:
            await self.histories.load(held, reread)
            decided, states = await self._ring(held, batch)
            written = batch_of(decided, self._wire, self._name)
            self._judged_on = tuple(written.expected)
            result = await (held.append(written) if written.drafts else self._verified(held, written.expected))
        if isinstance(result, Conflict):
            self.counts.conflicts += 1
            self.histories.forget_beyond(result.moved)
            return batch
        self.counts.append_seconds += time.perf_counter() - started
        self._conclude(await self._without_repeated(decided), states, result)
        return ()

    async def _without_repeated(self, decided: Sequence[Rung]) -> Sequence[Rung]:
        """Give their first answer to keys whose command had nothing left to do, because it was done before.

        Commands that write are found out by the append; these wrote nothing, so the journal is asked.
        """
        silent = {each.arrival.ticket.command_id: each.arrival for each in decided if _is_silent(each)}
        if not silent:
            return decided
        records = await self._journal.of_commands(silent)
        seen = {record.command_id for record in records if record.command_id}
        for arrival in (silent[command_id] for command_id in seen):
            if (verdict := await self.recall(arrival.ticket)) is not None:
                self._answer(arrival, verdict)
        return [each for each in decided if each.arrival.ticket.command_id not in seen]

    async def _verified(self, journal: Journal, expected: Mapping[str, int]) -> Conflict | None:
        """Check that an answer which writes nothing is still true: another till may have moved what it rests on."""
        moved = {record.history_id: record.version for record in await journal.load(expected)}
        return Conflict(moved) if moved else None

    async def _ring(self, journal: Journal, batch: Sequence[Arrival]) -> tuple[list[Rung], dict[str, Versioned]]:
        """Let every command of a batch decide, in order, over what the ones before it left."""
        states: dict[str, Versioned] = {}
        fresh = {created for arrival in batch for created in arrival.ticket.command.creates}
        touched = {each for arrival in batch for each in arrival.ticket.command.touches}
        await self.histories.load(journal, self.histories.missing(touched - fresh))

        def find(history_id: str) -> Versioned | None:
            found = states.get(history_id) or self.histories.get(history_id)
            return empty(history_id) if found is None and history_id in fresh else found

        decided: list[Rung] = []
        for arrival in batch:
            decided.append(await self._ring_one(journal, arrival, find))
            states |= decided[-1].desk.changed
        return decided, states

    async def _ring_one(self, journal: Journal, arrival: Arrival, find: Find) -> Rung:
        while True:
            try:
                return rung(arrival, find)
            except NotLoadedError as missing:
                await self.histories.load(journal, missing.history_ids)

    def _conclude(self, decided: Iterable[Rung], states: dict[str, Versioned], result: Appended | None) -> None:
        """The batch is durable: keep its states, give everybody their verdict, wake the followers."""
        for history_id, versioned in states.items():
            self.histories.put(history_id, versioned)
        self.counts.batches += 1
        position = self.histories.position if result is None else result.first_position - 1
        for each in decided:
            position += len(each.desk.events)
            self.counts.records += len(each.desk.events)
            if each.failure is None:
                known = self.histories.peek(each.arrival.ticket.command.target)
                self._answer(each.arrival, verdict_of(each, position, known))
            else:
                self._fail(each.arrival, each.failure)
        self.histories.position = max(self.histories.position, position)
        if result is not None:
            self._announcer.appended(position)

    def _answer(self, arrival: Arrival, verdict: Verdict) -> None:
        if verdict.refusal is None:
            self.counts.accepted += 1
        else:
            self.counts.refused += 1
        if arrival.ticket.keyed and verdict.events:
            self._answered.put(arrival.ticket.command_id, value=True)
        self._in_flight.pop(arrival.ticket.command_id, None)
        if not arrival.answer.done():
            arrival.answer.set_result(verdict)

    def _fail(self, arrival: Arrival, error: Exception) -> None:
        self.counts.failures += 1
        self._in_flight.pop(arrival.ticket.command_id, None)
        if not arrival.answer.done():
            arrival.answer.set_exception(error)
            arrival.answer.exception()  # mark it seen: a caller who has gone away is no unhandled error

    def _fail_all(self, arrivals: Iterable[Arrival], error: Exception) -> None:
        for arrival in arrivals:
            self._fail(arrival, error)

    async def _bisect(self, batch: Sequence[Arrival], error: JournalRejectedError) -> None:
        """Find the command whose data the database refuses; the others go through."""
        if len(batch) == 1:
            self._fail(batch[0], error)
            return
        half = len(batch) // 2
        await self._settle(batch[:half])
        await self._settle(batch[half:])


def _is_silent(decided: Rung) -> bool:
    return decided.arrival.ticket.keyed and not decided.desk.events and decided.failure is None


def _conflicting(position: int) -> Verdict:
    return Verdict((), position, refusal=IdempotencyConflict())
