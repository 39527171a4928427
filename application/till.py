"""The till: the single writer in front of the journal.

Tickets that arrive while an append is in flight form the next batch; no timer is needed. Each command of a batch is
rung up over the states that the ones before it left, so buyers are judged in arrival order; a refused one fails alone.
The whole batch is one append, and nobody is answered before it is durable.

The database and the till work at the same time: while a batch is in flight, the next one is rung up *ahead*, over the
states that the one in flight leaves. There is never more than one append in flight. The next sets out only when the one
before it stands, so whoever is answered was judged on what is durable; if it does not stand, all that was rung up over
it is forgotten, and those tickets are again the first in the queue.

What can go wrong, and what is done:

- *Conflict*: somebody else moved a history the batch was decided on. The batch is rung up again holding the journal's
  lock (a *turn*), where it cannot lose a second time: where two tills meet on one listing, both go on making progress.
- *Seen*: the journal already holds a command of the batch. It gets its first answer from there.
- *Unavailable*: nothing was written. The batch waits for the database, for a bounded time.
- *Unknown*: the reply was lost, the append may stand. The journal is asked by command id, never written to blindly.
- *Rejected*: the data itself is refused. The batch is bisected, so that a poison command fails alone.
- *Damaged*: the journal contradicts itself. Callers are told at once; waiting mends nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime

from application.answers import Answers, TillCounts
from application.chapters import Chapters
from application.desk import NotLoadedError, Versioned
from application.histories import Histories, empty
from application.ports import (
    Announcer,
    Appended,
    Batch,
    Clock,
    Conflict,
    Journal,
    JournalDamagedError,
    JournalError,
    JournalRejectedError,
    JournalUnavailableError,
    Limits,
    OutcomeUnknownError,
    Wire,
)
from application.ringing import Arrival, Find, Rung, RungBatch, batch_of, rung, verdict_of
from application.tickets import OverloadedError, Ticket, Verdict
from domain.aggregates import DECIDERS
from domain.ids import kind_of
from domain.refusal import NotFound
from domain.values import frozen

RETRY_SECONDS = 0.2
AT_A_TIME = 32
"""Commands that are rung up before others get onto the event loop: the append in flight, and callers."""


Attempt = Callable[[Sequence[Arrival]], Awaitable[Sequence[Arrival]]]
"""A way to get a batch through; it returns those that must be rung up again because something has moved."""
NOTHING: Mapping[str, Versioned] = {}
Result = Appended | Conflict | None
"""What the journal says to a batch; None when nothing had to be written and all that was read still holds."""


@frozen
class Flight:
    """A batch on its way to the journal."""

    batch: RungBatch
    result: "asyncio.Task[Result]"

    @property
    def stands(self) -> bool:
        """Whether it has arrived, and what it left is durable."""
        landed = self.result.done() and not self.result.cancelled() and self.result.exception() is None
        return landed and not isinstance(self.result.result(), Conflict)


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
        chapters: Chapters | None = None,
    ) -> None:
        """Stand in front of a journal; ``run`` opens it."""
        self.limits = limits or Limits()
        self.counts = TillCounts()
        self.chapters = chapters or Chapters()
        self.histories = Histories(wire, self.limits.cached_histories, self.chapters)
        self.answers = Answers(journal, wire, self.histories, self.counts, self.limits.cached_histories)
        self._journal, self._wire, self._clock, self._announcer, self._name = journal, wire, clock, announcer, name
        self._queue: deque[Arrival] = deque()
        self._arrived = asyncio.Event()
        self._arrivals = 0
        self._latest: datetime | None = None
        self._closed = False
        self._judged_on: tuple[str, ...] = ()
        self._flight: Flight | None = None

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
        touches = ticket.command.touches
        for each in touches:
            if kind_of(each) not in DECIDERS:
                return Verdict((), self.histories.position, refusal=NotFound("history", each))
        if ticket.keyed and ticket.command_id in self.answers:
            first = await self.answers.first(ticket)
            if first is not None:
                return first
        if self._closed:
            raise JournalUnavailableError("the till is closed")
        if len(self._queue) >= self.limits.queue:
            raise OverloadedError
        self._arrivals += 1
        arrival = Arrival(ticket, self._arrivals, touches)
        answer = self.answers.expect(arrival)
        self._queue.append(arrival)
        self._arrived.set()
        return await answer

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
                while self._flight or self._queue:
                    batch = self._flight.batch.arrivals if self._flight else self._taken()
                    await self._settle(batch, self._overlapping)
                    await asyncio.sleep(0)  # a journal that never waits must not keep others off the loop
        finally:
            self._closed = True
            self.answers.fail_all(JournalUnavailableError("the till is closed"))
            await self._call_back()

    def _taken(self) -> list[Arrival]:
        """Take the next batch off the queue."""
        return [self._queue.popleft() for _ in range(min(len(self._queue), self.limits.batch))]

    def _put_back(self, batch: Sequence[Arrival]) -> None:
        """Make a batch the first in the queue again, in its order."""
        self._queue.extendleft(reversed(batch))

    async def _settle(self, batch: Sequence[Arrival], attempt: Attempt) -> None:
        """See a batch through to its verdicts, whatever happens on the way."""
        deadline = time.monotonic() + self.limits.outage_seconds
        pending = batch
        while pending:
            try:
                pending = await attempt(pending)
                attempt = self._in_turn
            except JournalRejectedError as error:
                await self._bisect(pending, error)
                return
            except JournalDamagedError as error:
                self.answers.fail(pending, error)
                return
            except JournalError as error:
                if isinstance(error, OutcomeUnknownError):
                    self.counts.unknown += 1
                    attempt = self._in_turn
                self.counts.outages += 1
                if time.monotonic() >= deadline:
                    self.answers.fail([*pending, *self._queue], error)  # who is queued has waited for the same database
                    self._queue.clear()
                    return
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - the till must outlive every surprise; callers are told
                self.answers.fail(pending, error)
                return

    async def _overlapping(self, batch: Sequence[Arrival]) -> Sequence[Arrival]:
        """Append without holding the lock, and ring up the next batch meanwhile.

        The batch is one that was rung up ahead and is in flight already, or else it sets out now.
        """
        flight = self._flight or self._launch(await self._rung_up(self._journal, batch))
        following = await self._rung_up_ahead(flight.batch.leaves)
        await asyncio.wait([flight.result])
        self._flight = None
        if following and flight.stands:
            self._launch(following)  # before callers are answered, so that the database goes on while they are
        elif following:
            self._put_back(following.arrivals)
        self._judged_on = tuple(flight.batch.written.expected)
        return self._concluded(flight.batch, await flight.result)

    def _launch(self, batch: RungBatch) -> Flight:
        """Send a batch on its way, behind nobody."""
        self._flight = Flight(batch, asyncio.create_task(self._written(batch)))
        return self._flight

    async def _rung_up_ahead(self, over: Mapping[str, Versioned]) -> RungBatch | None:
        """Ring up the next batch over what the one in flight leaves; None when there is none, or it cannot be done."""
        await asyncio.sleep(0)  # the one in flight sets out first
        batch = self._taken()
        try:
            return await self._rung_up(self._journal, batch, over) if batch else None
        except Exception:  # noqa: BLE001 - it happens again, and is dealt with, when they are the first
            self._put_back(batch)
            return None

    async def _call_back(self) -> None:
        """Leave no append behind when the till closes; what became of it is for the journal to say."""
        if self._flight is not None:
            self._flight.result.cancel()
            await asyncio.wait([self._flight.result])
            self._flight = None

    async def _in_one_go(self, batch: Sequence[Arrival]) -> Sequence[Arrival]:
        """Append without holding the lock: right when nobody else writes to the same histories."""
        return await self._append(nullcontext(self._journal), batch, reread=())

    async def _in_turn(self, batch: Sequence[Arrival]) -> Sequence[Arrival]:
        """Answer what the journal already holds, and ring the rest up while nothing can move."""
        await self.answers.give_first_answers(batch)
        rest = [arrival for arrival in batch if not arrival.answered]
        return await self._append(self._journal.turn(), rest, reread=self._judged_on) if rest else ()

    async def _append(
        self, turn: AbstractAsyncContextManager[Journal], batch: Sequence[Arrival], reread: Iterable[str]
    ) -> Sequence[Arrival]:
        """Ring a batch up and append it; return what must be rung up again because something has moved."""
        async with turn as held:
            await self.histories.load(held, reread)
            rung_up = await self._rung_up(held, batch)
            self._judged_on = tuple(rung_up.written.expected)
            result = await self._write(held, rung_up.written)
        if not isinstance(result, Conflict):
            await self.answers.give_repeated(rung_up.decided)
        return self._concluded(rung_up, result)

    async def _written(self, batch: RungBatch) -> Result:
        """Append a batch that was rung up; nothing is left to ask when it stands."""
        result = await self._write(self._journal, batch.written)
        if not isinstance(result, Conflict):
            await self.answers.give_repeated(batch.decided)
        return result

    async def _write(self, journal: Journal, batch: Batch) -> Result:
        started = time.perf_counter()
        result = await (journal.append(batch) if batch.drafts else self._verified(journal, batch.expected))
        self.counts.append_seconds += time.perf_counter() - started
        return result

    async def _verified(self, journal: Journal, expected: Mapping[str, int]) -> Conflict | None:
        """Check that an answer which writes nothing is still true: another till may have moved what it rests on."""
        moved = {record.history_id: record.version for record in await journal.load(expected)}
        return Conflict(moved) if moved else None

    async def _rung_up(
        self, journal: Journal, batch: Sequence[Arrival], over: Mapping[str, Versioned] = NOTHING
    ) -> RungBatch:
        """Let every command of a batch decide, in order, over what the ones before it left, and those in flight.

        What was looked at once stays as it was seen, whatever is loaded meanwhile: a batch rests on one version of a
        history and on what it makes of it.
        """
        seen: dict[str, Versioned] = {}
        leaves: dict[str, Versioned] = {}
        fresh = {created for arrival in batch for created in arrival.ticket.command.creates}
        touched = {each for arrival in batch for each in arrival.touches}
        await self.histories.load(journal, self.histories.missing(touched - fresh - over.keys()))

        def find(history_id: str) -> Versioned | None:
            found = seen.get(history_id)
            if found is None:
                found = over.get(history_id) or self.histories.get(history_id)
                if found is None and history_id in fresh:
                    found = empty(history_id)
                if found is not None:
                    seen[history_id] = found
            return found

        decided: list[Rung] = []
        for number, arrival in enumerate(batch, 1):
            decided.append(await self._ring_one(journal, arrival, find))
            leaves |= decided[-1].desk.changed
            seen |= decided[-1].desk.changed
            if not number % AT_A_TIME:
                await asyncio.sleep(0)
        return RungBatch(decided, leaves, batch_of(decided, self._wire, self._name))

    async def _ring_one(self, journal: Journal, arrival: Arrival, find: Find) -> Rung:
        while True:
            try:
                return rung(arrival, find)
            except NotLoadedError as missing:
                await self.histories.load(journal, missing.history_ids)

    def _concluded(self, batch: RungBatch, result: Result) -> Sequence[Arrival]:
        """Give everybody their verdict on a batch that stands; return those of one that does not."""
        if isinstance(result, Conflict):
            self.counts.conflicts += 1
            self.histories.forget_beyond(result.moved)
            return batch.arrivals
        self._conclude(batch, result)
        return ()

    def _conclude(self, batch: RungBatch, result: Appended | None) -> None:
        """The batch is durable: keep its states, give everybody their verdict, wake the followers."""
        self.histories.keep(batch.leaves, batch.written.drafts, [each.desk.changed for each in batch.decided])
        self.counts.batches += 1
        position = self.histories.position if result is None else result.first_position - 1
        for each in batch.decided:
            position += len(each.desk.events)
            self.counts.records += len(each.desk.events)
            if each.arrival.answered:
                continue  # it was told its first answer
            if each.failure is None:
                self.answers.give(each.arrival, verdict_of(each, position, self.histories.peek))
            else:
                self.answers.fail([each.arrival], each.failure)
        self.histories.position = max(self.histories.position, position)
        if result is not None:
            self._announcer.appended(position)

    async def _bisect(self, batch: Sequence[Arrival], error: JournalRejectedError) -> None:
        """Find the command whose data the database refuses; the others go through."""
        if len(batch) == 1:
            self.answers.fail(batch, error)
            return
        half = len(batch) // 2
        await self._settle(batch[:half], self._in_one_go)
        await self._settle(batch[half:], self._in_one_go)
