"""A shop without its door: the till on a real journal, in this process, for benches of what lies behind HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from attrs import Factory, define

from api import idempotency
from api.bench.stage import PRICE_MINOR, UNITS
from api.compose import Opened, till_on
from application import commands as c
from application.tickets import Ticket, Verdict
from application.till import Till
from domain.listing.commands import CreateListing
from domain.order.events import OrderPlaced
from domain.stream.commands import ScheduleStream
from domain.terms import Terms
from domain.values import frozen

HOLD_SECONDS: Final = 86_400
OPENS_AT: Final = datetime(2020, 1, 1, tzinfo=UTC)
CALLERS: Final = 2_048
"""Orders under way at once: thousands of viewers, one till."""


@frozen
class Sold:
    """What came of selling for a while."""

    orders: int
    seconds: float
    used_seconds: float
    """Processor time of this process: the till's, and a little of the callers'."""
    batches: int

    @property
    def orders_per_s(self) -> float:
        """Orders a second."""
        return self.orders / self.seconds


@define
class Floor:
    """An open show in a journal, and a till to sell at."""

    parts: Opened
    till: Till
    stream_id: str
    listing_ids: Sequence[str]
    _number: "count[int]" = Factory(count)

    async def order(self) -> Verdict:
        """Order one unit."""
        number = next(self._number)
        now = self.till.now()
        line = c.AskLine(self.listing_ids[number % len(self.listing_ids)], 1, None)
        placing = c.PlaceOrder(idempotency.new_id("order", now), self.stream_id, f"buyer-{number}", (line,))
        return await self.ring(placing, f"key-{self.stream_id}-{number}", now)

    async def ring(self, command: Any, command_id: str, now: datetime) -> Verdict:
        """Have the till ring something up, as the edge would."""
        ticket = Ticket(command, "client:bench", command_id, now, keyed=True, fingerprint=_FINGERPRINT)
        verdict = await self.till.ring_up(ticket)
        if verdict.refusal is not None:
            raise verdict.refusal
        return verdict

    async def sell(self, *, seconds: float = 0.0, orders: int = 0, paid_every: int = 0) -> Sold:
        """Sell for a time, or a number of orders; every so many of them are paid as well."""
        began, used, batches, sold = time.perf_counter(), time.process_time(), self.till.counts.batches, 0
        tickets = iter(range(orders)) if orders else count()

        async def caller() -> None:
            nonlocal sold
            for number in tickets:
                if seconds and time.perf_counter() - began >= seconds:
                    return
                verdict = await self.order()
                sold += 1
                if paid_every and number % paid_every == 0:
                    await self._pay(verdict)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        spent, used = time.perf_counter() - began, time.process_time() - used
        return Sold(sold, spent, used, self.till.counts.batches - batches)

    async def _pay(self, verdict: Verdict) -> None:
        """Pay an order and let it earn its commissions: what the provider and the reactor would ask for."""
        order_id, placed = next(each for each in verdict.events if isinstance(each[1], OrderPlaced))
        now = self.till.now()
        paying = c.CapturePayment(order_id, f"payment-{order_id}", placed.total_minor)
        await self.ring(paying, f"paid-{order_id}", now)
        await self.ring(c.AccrueCommissions(order_id), f"accrued-{order_id}", now)


_FINGERPRINT: Final = "0" * 64


@asynccontextmanager
async def floor(parts: Opened, *, listings: int = 1) -> AsyncIterator[Floor]:
    """Open a show with listings that do not sell out, and its till, for as long as the block lasts."""
    till = till_on(parts)
    running = asyncio.gather(till.run(), till.chapters.run())
    try:
        opened = Floor(parts, till, f"stream-{time.time_ns():x}", ())
        opened.listing_ids = await _show(opened, listings)
        yield opened
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _show(floor: Floor, listings: int) -> list[str]:
    now, stream_id = floor.till.now(), floor.stream_id
    scheduled = ScheduleStream("Bench", f"host-{stream_id}", "brand", now, "EUR", Terms(1000, 14), now)
    await floor.ring(c.Tell(stream_id, scheduled, new=True), f"scheduled-{stream_id}", now)
    await floor.ring(c.StartStream(stream_id), f"started-{stream_id}", now)
    ids = [f"listing-{stream_id}-{number}" for number in range(listings)]
    for number, listing_id in enumerate(ids):
        offered = CreateListing(
            stream_id, f"sku-{number}", f"Product {number}", "EUR", PRICE_MINOR, UNITS, HOLD_SECONDS
        )
        offering = c.CreateListing(listing_id, offered, c.Period(OPENS_AT, None))
        await floor.ring(offering, f"offered-{listing_id}", now)
    return ids
