"""A random evening in a real shop: buyers order, pay, cancel, return; hosts open and close; all by the shop's rules."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

from attrs import Factory, define

from application import commands as c
from application.reactions import SHOP
from domain.listing import commands as lc
from domain.listing.offer import Discount
from domain.listing.units import Disposition
from domain.order import commands as oc
from domain.record import Record
from domain.stream import commands as sc
from domain.stream.events import EndReason
from domain.terms import Share
from tests.rehearsal import HOST, STREAM, Rehearsal

SHARES = (Share("agency-1", 3334), Share(HOST, 3333), Share("stylist-1", 3333))
LISTINGS = ("listing-1", "listing-2", "listing-3")
BUYERS = (HOST, "buyer-1", "buyer-2", "buyer-3")


@define
class Evening:
    """Does one random thing after another; what the shop refuses is part of it."""

    shop: Rehearsal
    random: Random
    orders: list[str] = Factory(list)
    seen: int = 0
    number: int = 0

    async def begin(self, *, most_units: int = 12) -> None:
        """Go on air with three listings and a look of two of them."""
        shares = SHARES if self.random.random() < 0.5 else ()
        await self.shop.go_live(hold_days=self.random.choice((0, 14)), shares=shares)
        for listing_id in LISTINGS:
            allotment = self.random.randint(1, most_units)
            await self.shop.offer(allotment, listing_id=listing_id, price_minor=self.random.choice((0, 333, 1999)))
        await self.shop.offer(0, listing_id="listing-look", components=(("listing-1", 1), ("listing-2", 2)))

    async def go_on(self, steps: int) -> None:
        """Do some random things, and what the shop makes of them."""
        doings: list[Callable[[], Awaitable[Any]]] = [self._order, self._order, self._pay, self._pay, self._end]
        doings += [self._after, self._after, self._after, self._host]
        for _ in range(steps):
            self.number += 1
            self.shop.clock.advance(self.random.choice((1, 20, 120)))
            await self.random.choice(doings)()
            await self._react()

    async def _order(self) -> None:
        self.orders.append(f"order-{self.number:06}")
        chosen = self.random.sample((*LISTINGS, "listing-look"), self.random.randint(1, 2))
        lines = tuple(c.AskLine(each, self.random.randint(1, 2)) for each in chosen)
        await self.shop.ask(c.PlaceOrder(self.orders[-1], STREAM, self.random.choice(BUYERS), lines))

    async def _pay(self) -> None:
        order_id = self._some_order()
        if self.random.random() < 0.15:
            await self.shop.ask(c.Tell(order_id, oc.FailPayment(f"failed-{self.number}", "declined")))
        else:
            await self.shop.pay(order_id, self.random.choice(("", f"again-{self.number}")))

    async def _end(self) -> None:
        order_id = self._some_order()
        calls = [c.CancelOrder(order_id), c.ExpireOrder(order_id), c.CancelLine(order_id, f"c-{self.number}", "1", 1)]
        await self.shop.ask(self.random.choice(calls))

    async def _after(self) -> None:
        """Send, deliver, give back: what is possible, and often what is not."""
        order_id, now, line_id = self._some_order(), self.shop.till.now(), self.random.choice("12")
        commands = [
            c.ShipOrder(order_id),
            c.ShipOrder(order_id),
            c.DeliverOrder(order_id),
            c.Tell(order_id, oc.IssueRefund(f"refund-{self.number}", line_id, 500, "goodwill")),
            c.Tell(order_id, oc.RequestReturn(f"return-{order_id}", line_id, 1, now)),
            c.ReceiveReturn(order_id, f"return-{order_id}", self.random.choice(list(Disposition))),
            c.Tell(order_id, oc.CloseReturnWindow(now)),
        ]
        await self.shop.ask(self.random.choice(commands))

    async def _host(self) -> None:
        now, listing_id = self.shop.till.now(), self.random.choice(LISTINGS)
        later = now + timedelta(seconds=200)
        discount = Discount(f"off-{self.number}", now, later, percent_bps=self.random.choice((1000, 10_000)))
        commands = [
            c.Tell(listing_id, lc.AllotStock(2, f"more-{self.number}")),
            c.Tell(listing_id, lc.ReturnAllotment(1, f"less-{self.number}", now)),
            c.Tell(listing_id, lc.AdjustStock(-1, "count", f"count-{self.number}", now, force=True)),
            c.Tell(listing_id, lc.SetPrice(200, now)),
            c.Tell(listing_id, lc.SetPurchaseLimit(self.random.choice((None, 5)))),
            c.Tell(listing_id, lc.ScheduleDiscount(discount)),
            c.Tell(listing_id, lc.ScheduleWindow(later, later + timedelta(seconds=900), 60, now)),
            c.Tell(listing_id, lc.AnnounceWindow(self.random.randint(1, 3), now)),
            c.Tell(listing_id, lc.ExtendWindow(now + timedelta(hours=1), now)),
            c.CloseWindow(listing_id),
            c.OpenWindow(listing_id, countdown_seconds=self.random.choice((0, 30))),
            c.PinListing(STREAM, listing_id),
            c.Tell(STREAM, sc.UnpinListing(listing_id)),
            c.Tell(STREAM, sc.SampleAudience(self.number, 1, 2, 3, now)),
            c.Tell(STREAM, sc.JoinCoHost("host-2")),
            c.Tell(STREAM, sc.LeaveCoHost("host-2")),
            c.Tell(STREAM, sc.StartSegment("host-2", listing_id, now)),
            c.Tell(STREAM, sc.InterruptStream(now)),
            c.Tell(STREAM, sc.ResumeStream(now)),
            *[c.StartStream(STREAM, restart=True)] * 4,
        ]
        if self.random.random() < 0.05:
            commands = [c.EndStream(STREAM, EndReason.HOST)]
        await self.shop.ask(self.random.choice(commands))

    async def _react(self) -> None:
        """Do what follows from what happened."""
        while self.seen < await self.shop.journal.head():
            records = await self.shop.journal.read(self.seen, 1_000)
            self.seen = records[-1].position
            for record in records:
                event = self.shop.wire.decode(record.topic, record.state)
                for command in SHOP.get(type(event), _nothing)(record, event):
                    if hasattr(command, "target"):
                        await self.shop.ask(command)

    def _some_order(self) -> str:
        """Pick one of the latest orders, so that they get somewhere."""
        return self.random.choice(self.orders[-8:]) if self.orders else "order-0"


def _nothing(_record: Record, _event: Any) -> list[Any]:
    return []
