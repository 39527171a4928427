"""Plays a planned show over HTTP, and adds up what the shop answers.

Listings are offered concurrently, for their order means nothing. Orders and cancellations take turns on every listing,
in file order: who was first decides who gets the last unit, at which price, and what a cancellation takes back.
"""

import asyncio
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from attrs import define, field

from api.auth import Role
from api.demo.matching import PaidLines, Taken
from api.demo.pace import Pace
from api.demo.plan import Host, Line, Offering, Order, Show, Step, TakeBack, allotment
from api.demo.rows import CURRENCY
from api.demo.screen import Screen
from api.demo.server import SUBJECTS
from api.demo.shop import Answer, Shop
from api.demo.tally import Tally
from api.demo.turns import Turn, Turns, side_by_side
from domain.values import frozen

HOLD_DAYS: Final = 14
PINS: Final = 3
PAYMENT_TOKEN: Final = "tok_ok"  # noqa: S105 - the sandbox's own, which always pays
BRAND, CLIENT, FINANCE = Role.BRAND, Role.CLIENT, Role.FINANCE


@frozen
class SoldLine:
    """A line that was paid, as the shop knows it."""

    order_id: str
    line_id: str
    unit_price_minor: int
    host_id: str


@define
class Stall:
    """A show on air: its listings by stock code, and what they cost now."""

    stream_id: str
    host_id: str
    listing_ids: dict[str, str] = field(factory=dict)
    prices_minor: dict[str, int] = field(factory=dict)


@define
class Player:
    """Plays shows one after another; what was bought in one may come back in a later one."""

    shop: Shop
    stock_share: Decimal
    pace: Pace
    screen: Screen
    tally: Tally = field(factory=Tally)
    stream_ids: dict[str, str] = field(factory=dict)
    """Every show that was played, and its host."""
    _paid: PaidLines[SoldLine] = field(factory=PaidLines)
    _delivered: set[str] = field(factory=set)

    async def play(self, show: Show) -> None:
        """Prepare a show, go on air, sell, and go off air."""
        stall = await self._prepare(show)
        await self._go_on_air(stall, show)
        self.tally.of(stall.host_id).shows += 1
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.pace.begin()
        self.screen.sell(show)
        turns = Turns()
        async with side_by_side() as group:
            for step in show.steps:
                await self.pace.until(step.at)
                group.create_task(self._step(stall, step, turns.queue(_shared(step))))
        self.tally.selling_seconds += loop.time() - began
        await self.shop.tell(BRAND, f"/v1/streams/{stall.stream_id}/end")

    async def _step(self, stall: Stall, step: Step, turn: Turn) -> None:
        async with turn:
            await self._order(stall, step) if isinstance(step, Order) else await self._take_back(step)
        self.screen.advance()

    # before the show

    async def _prepare(self, show: Show) -> Stall:
        created = await self.shop.tell(BRAND, "/v1/streams", _stream(show))
        stall = Stall(created["stream_id"], show.host.host_id)
        self.stream_ids[stall.stream_id] = stall.host_id
        async with side_by_side() as group:
            for offering in show.offerings:
                group.create_task(self._offer(stall, offering))
        return stall

    async def _offer(self, stall: Stall, offering: Offering) -> None:
        body = {
            "sku": offering.stock_code,
            "title": offering.title,
            "price": _money(offering.price_minor),
            "allotment": allotment(offering.demand, self.stock_share),
            "opens_at": _now(),
        }
        listed = await self.shop.tell(BRAND, f"/v1/streams/{stall.stream_id}/listings", body)
        stall.listing_ids[offering.stock_code] = listed["listing_id"]
        stall.prices_minor[offering.stock_code] = listed["price"]["amount_minor"]
        self.tally.listings += 1
        self.screen.advance()

    async def _go_on_air(self, stall: Stall, show: Show) -> None:
        """Start, with what sells best on the viewers' screen."""
        await self.shop.tell(BRAND, f"/v1/streams/{stall.stream_id}/start")
        best = sorted(show.offerings, key=lambda offering: offering.demand, reverse=True)
        for offering in best[:PINS]:
            pinned = {"listing_id": stall.listing_ids[offering.stock_code]}
            await self.shop.tell(BRAND, f"/v1/streams/{stall.stream_id}/pin", pinned)

    # selling

    async def _order(self, stall: Stall, order: Order) -> None:
        async with side_by_side() as group:
            for line in order.lines:
                group.create_task(self._reprice(stall, line))
        placed = await self.shop.ask(CLIENT, "/v1/orders", _asked(stall, order), key=f"order-{order.order_key}")
        if placed.problem:
            self.tally.refused(stall.host_id, placed.problem)
            return
        self.tally.orders_placed += 1
        await self._pay(stall, order, placed.body["order_id"])

    async def _pay(self, stall: Stall, order: Order, order_id: str) -> None:
        token = {"payment_token": PAYMENT_TOKEN}
        paid: Answer = await self.shop.ask(
            CLIENT, f"/v1/orders/{order_id}/payments", token, key=f"payment-{order.order_key}"
        )
        if paid.problem:
            self.tally.refusals[paid.problem] += 1
            return
        lines: Sequence[Mapping[str, Any]] = paid.body["lines"]
        self.tally.paid(stall.host_id, (line["quantity"] for line in lines), paid.body["captured_minor"])
        codes = {listing_id: code for code, listing_id in stall.listing_ids.items()}
        for line in lines:
            sold = SoldLine(order_id, line["line_id"], line["unit_price_minor"], stall.host_id)
            self._paid.add(order.customer, codes[line["listing_id"]], sold, line["quantity"])

    async def _reprice(self, stall: Stall, line: Line) -> None:
        """Follow the file's price: a cut at once; for a rise the window closes, and a new one opens."""
        now_minor = stall.prices_minor[line.stock_code]
        if line.price_minor == now_minor:
            return
        listing = f"/v1/listings/{stall.listing_ids[line.stock_code]}"
        rises = line.price_minor > now_minor
        if rises:
            await self.shop.tell(BRAND, f"{listing}/close")
        await self.shop.tell(BRAND, f"{listing}/price", {"price": _money(line.price_minor)})
        if rises:
            await self.shop.tell(BRAND, f"{listing}/open")
        stall.prices_minor[line.stock_code] = line.price_minor

    # what comes back

    async def _take_back(self, step: TakeBack) -> None:
        taken, unmatched = self._paid.take(step.customer, step.stock_code, step.quantity)
        self.tally.units_unmatched += unmatched
        for number, each in enumerate(taken, start=1):
            await self._deliver(each.line.order_id)
            await self._return(each)
            await self._refund(each, key=f"refund-{step.row}-{number}")

    async def _deliver(self, order_id: str) -> None:
        """Only what has arrived can be sent back."""
        if order_id not in self._delivered:
            await self.shop.tell(BRAND, f"/v1/orders/{order_id}/ship")
            await self.shop.tell(BRAND, f"/v1/orders/{order_id}/deliver")
            self._delivered.add(order_id)

    async def _return(self, taken: Taken[SoldLine]) -> None:
        order = f"/v1/orders/{taken.line.order_id}"
        asked = {"line_id": taken.line.line_id, "quantity": taken.quantity}
        return_id = (await self.shop.tell(CLIENT, f"{order}/returns", asked))["return_id"]
        received = await self.shop.tell(BRAND, f"{order}/returns/{return_id}/receive", {"disposition": "restock"})
        back = next(each for each in received["returns"] if each["return_id"] == return_id)
        self.tally.of(taken.line.host_id).units_returned += back["quantity"] if back["received"] else 0

    async def _refund(self, taken: Taken[SoldLine], key: str) -> None:
        amount_minor = taken.quantity * taken.line.unit_price_minor
        asked = {"line_id": taken.line.line_id, "amount_minor": amount_minor, "reason": "returned"}
        refunded = await self.shop.tell(FINANCE, f"/v1/orders/{taken.line.order_id}/refunds", asked, key=key)
        issued = {each["refund_id"]: each["amount_minor"] for each in refunded["order"]["refunds"]}
        self.tally.of(taken.line.host_id).refunds_minor += issued[refunded["refund_id"]]


def _stream(show: Show) -> Mapping[str, Any]:
    return {
        "title": f"Online Retail, {show.day.day} {show.day:%B %Y}",
        "host_id": show.host.host_id,
        "brand_id": SUBJECTS[BRAND],
        "scheduled_at": _now(),
        "currency": CURRENCY,
        "terms": _terms(show.host),
    }


def _terms(host: Host) -> Mapping[str, Any]:
    shares = [{"payee_id": payee, "share_bps": bps} for payee, bps in host.shares]
    return {"rate_bps": host.rate_bps, "hold_days": HOLD_DAYS, "shares": shares}


def _asked(stall: Stall, order: Order) -> Mapping[str, Any]:
    lines = [
        {
            "listing_id": stall.listing_ids[line.stock_code],
            "quantity": line.quantity,
            "unit_price_minor": line.price_minor,
        }
        for line in order.lines
    ]
    return {"stream_id": stall.stream_id, "buyer_id": order.buyer_id, "lines": lines}


def _money(amount_minor: int) -> Mapping[str, Any]:
    return {"amount_minor": amount_minor, "currency": CURRENCY}


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _shared(step: Step) -> Iterable[Hashable]:
    """Name what must not be touched by two steps at once."""
    if isinstance(step, Order):
        return [line.stock_code for line in step.lines]
    return [step.stock_code, ("returns of", step.customer)]
