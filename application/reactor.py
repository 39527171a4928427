"""The reactor follows the journal and does what follows from it; the timekeeper does what is due.

One process leads at a time. A batch of records is done concurrently, but for one target in order, and only then is the
bookmark moved: after a crash the tail is done again, which command ids make harmless. So it need not be moved at once
over records from which nothing follows; while a show sells those are nearly all, and noting them costs a commit.
What cannot be done is parked with its reason and an alarm; a database, read model or payment provider that is away is
waited for.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

import attrs
from attrs import define, field

from application import commands as c
from application.payments import Cashier
from application.ports import (
    Agenda,
    Announcer,
    Bookmarks,
    JournalUnavailableError,
    Leadership,
    OutcomeUnknownError,
    Parking,
    ProviderError,
    Wire,
)
from application.reactions import CloseWindowsOf, React, ReturnMoney, on_deadline
from application.tickets import OverloadedError, Ticket
from application.till import Till
from domain.record import Record, UnreadableError

log = logging.getLogger(__name__)

BATCH = 500
IDLE_SECONDS = 1.0
TICK_SECONDS = 0.5
BACKOFF_SECONDS = 0.5
NOTE_SECONDS = 0.5
"""How long the bookmark may stay behind records from which nothing follows."""

PASSING = (JournalUnavailableError, OutcomeUnknownError, OverloadedError, ProviderError, OSError)
"""What passes by itself and is waited for; read models that are away or behind are an ``OSError``."""

Task = tuple[Record, int, Any]
"""A record, the number of its reaction, and what is to be done."""


class Feed(Protocol):
    """What the reactor needs of the journal."""

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return at most ``limit`` records after a position, in order; none when there are none yet."""


@define
class Reactor:
    """Does what follows from the records, once each in effect."""

    name: str
    table: Mapping[type, React]
    feed: Feed
    wire: Wire
    till: Till
    cashier: Cashier
    agenda: Agenda
    bookmarks: Bookmarks
    parking: Parking
    announcer: Announcer
    leadership: Leadership
    position: int = 0
    parked: int = 0
    _noted: int = 0
    _noted_at: float = 0.0
    _ignored: set[str] = field(factory=set)
    """Topics that nothing follows from; their records need not be read."""

    async def run(self) -> None:
        """Work whenever this process has the lead, until cancelled."""
        while True:
            try:
                async with self.leadership.lead(self.name):
                    self.position = self._noted = await self.bookmarks.get(self.name)
                    while True:
                        await self._step()
            except Exception as error:  # noqa: BLE001 - whoever stops reacting is worse than any error it meets
                log.warning("%s stopped, standing again: %s: %s", self.name, type(error).__name__, error)
                await asyncio.sleep(BACKOFF_SECONDS)

    async def _step(self) -> None:
        records = await self.feed.read(self.position, BATCH)
        acted = await self.catch_up(records)
        self.position = records[-1].position if records else self.position
        if acted or time.monotonic() - self._noted_at >= NOTE_SECONDS:
            await self._note()
        if not records:
            await self.announcer.wait(self.position, IDLE_SECONDS if self._noted == self.position else NOTE_SECONDS)

    async def _note(self) -> None:
        if self._noted != self.position:
            await self.bookmarks.set(self.name, self.position)
            self._noted, self._noted_at = self.position, time.monotonic()

    async def catch_up(self, records: Sequence[Record]) -> bool:
        """Do everything that follows from some records, and tell whether anything did.

        What must be waited for is raised when all else is done.
        """
        lanes: dict[str, list[Task]] = defaultdict(list)
        for record in records:
            if record.topic not in self._ignored:
                for number, task in enumerate(await self._tasks(record)):
                    lanes[_lane(task)].append((record, number, task))
        outcomes = await asyncio.gather(*(self._in_order(lane) for lane in lanes.values()), return_exceptions=True)
        for error in outcomes:
            if error is not None:
                raise error
        return bool(lanes)

    async def _tasks(self, record: Record) -> list[Any]:
        try:
            event = self.wire.decode(record.topic, record.state)
        except UnreadableError as error:
            await self._park(record, error)
            return []
        react = self.table.get(type(event))
        if react is None:
            self._ignored.add(record.topic)
            return []
        return react(record, event)

    async def _in_order(self, lane: Iterable[Task]) -> None:
        for record, number, task in lane:
            try:
                await self._do(record, number, task)
            except PASSING:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the show goes on and somebody looks
                await self._park(record, error)

    async def _do(self, record: Record, number: int, task: Any) -> None:
        match task:
            case ReturnMoney():
                await self.cashier.give_back(task)
            case CloseWindowsOf(stream_id):
                listing_ids = await self.agenda.listings_of(stream_id, record.position)
                closing = [c.CloseWindow(each, because_stream_ended=True) for each in listing_ids]
                await asyncio.gather(*(self._ring(record, f"{number}-{each.target}", each) for each in closing))
            case _:
                await self._ring(record, str(number), task)

    async def _ring(self, record: Record, number: str, command: Any) -> None:
        metadata = self.wire.decode_metadata(record.metadata)
        ticket = Ticket(
            command=command,
            actor=f"reaction:{self.name}",
            command_id=f"{self.name}-{record.position}-{number}",
            ingress_at=max(self.till.now(), metadata.ingress_at),  # another server's clock may be ahead of ours
            correlation_id=metadata.correlation_id,
            causation=record.position,
        )
        verdict = await self.till.ring_up(ticket)
        if verdict.refusal is not None:
            raise verdict.refusal

    async def _park(self, record: Record, error: Exception) -> None:
        self.parked += 1
        await self.parking.park(self.name, record.position, record.topic, f"{type(error).__name__}: {error}")


def _lane(task: Any) -> str:
    """Tell what must stay in order: everything that concerns one order or show."""
    return str(attrs.astuple(task, recurse=False)[0])


@define
class Timekeeper:
    """Rings up what is due: holds that are over, windows that open and close, return windows that end."""

    till: Till
    agenda: Agenda
    leadership: Leadership
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> None:
        """Work whenever this process has the lead, until cancelled."""
        while True:
            try:
                async with self.leadership.lead("timekeeper"):
                    while True:
                        done = await self.tick()
                        await self.pause(await self._seconds_to_next(done))
            except Exception as error:  # noqa: BLE001 - whoever stops reacting is worse than any error it meets
                log.warning("%s stopped, standing again: %s: %s", "timekeeper", type(error).__name__, error)
                await asyncio.sleep(BACKOFF_SECONDS)

    async def tick(self) -> int:
        """Ring up everything that is due now; return how much it was."""
        now = self.till.now()
        due = await self.agenda.due(now, BATCH)
        return sum(await asyncio.gather(*(self._ring(*each) for each in due)))

    async def _ring(self, history_id: str, kind: str, number: int) -> bool:
        """Ring one deadline up; one that cannot be is said in the log and must not hold up the others."""
        now = self.till.now()
        command = on_deadline(history_id, kind, number, now)
        ticket = Ticket(command, "reaction:timekeeper", f"timekeeper-{uuid4().hex}", now, correlation_id=history_id)
        try:
            await self.till.ring_up(ticket)
        except PASSING:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one history, the others are due as well
            log.warning("the deadline %s of %s cannot be met: %s: %s", kind, history_id, type(error).__name__, error)
            return False
        return True

    async def _seconds_to_next(self, done: int) -> float:
        """Sleep until the next deadline, a tick at most; briefly when the read models have yet to see what was done."""
        next_due = await self.agenda.next_due()
        if done or next_due is None:
            return TICK_SECONDS / 5 if done else TICK_SECONDS
        return min(max((next_due - self.till.now()).total_seconds(), 0.01), TICK_SECONDS)
