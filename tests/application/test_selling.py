"""What orders, listings and commissions owe each other, where one of them alone would not see it."""

from datetime import timedelta
from typing import Any

import pytest

from application import commands as c
from application.payments import Cashier
from application.ports import Payment
from domain.commission.facts import CommissionAccrued, CommissionExcluded
from domain.listing.commands import AdjustStock, AllotStock, ScheduleDiscount
from domain.listing.events import OversellCovered, UnitsReturned
from domain.listing.offer import Discount
from domain.listing.refusals import PurchaseLimitExceeded
from domain.listing.state import Listing
from domain.order.events import OrderExpired, PaymentCaptured
from domain.order.state import Stage
from domain.stream.commands import JoinCoHost, StartSegment
from domain.stream.events import EndReason
from domain.terms import Share
from tests.rehearsal import HOST, LISTING, STREAM, Rehearsal

OTHER = "listing-2"
HOLD_SECONDS = 60


async def _cut(shop: Rehearsal, delta: int, reference: str = "count-1") -> None:
    await shop.do(c.Tell(LISTING, AdjustStock(delta, "count", reference, shop.till.now(), force=True)))


async def _sold_and_lost(shop: Rehearsal, quantity: int) -> None:
    """Sell all there is, and find that none of it exists."""
    await shop.go_live()
    await shop.offer(quantity)
    await shop.order("order-1", quantity)
    await shop.pay("order-1")
    await _cut(shop, -quantity)


async def test_units_that_never_were_do_not_come_back() -> None:
    """Sold, found missing and called off: the gap is closed, and new units are as many as came."""
    async with Rehearsal().open() as shop:
        await _sold_and_lost(shop, 2)
        await shop.do(c.CancelOrder("order-1"))
        await shop.do(c.Tell(LISTING, AllotStock(2, "truck-1")))
        listing: Listing = await shop.state(LISTING)
        assert (listing.short, listing.units.available, listing.units.allotted) == (0, 2, 2)
        served = [await shop.order(f"order-{n}", buyer=f"buyer-{n}") for n in range(2, 6)]
        assert [each.refusal is None for each in served] == [True, True, False, False]


async def test_the_brand_gets_back_what_exists() -> None:
    """Called off after the show, with one of two units missing: one goes to the source, the other never was."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(2)
        await shop.order("order-1", 2)
        await shop.pay("order-1")
        await _cut(shop, -1)
        await shop.do(c.EndStream(STREAM, EndReason.HOST))
        await shop.do(c.CancelOrder("order-1"))
        listing: Listing = await shop.state(LISTING)
        units = listing.units
        assert (listing.short, units.returned_to_source, units.available, units.allotted) == (0, 1, 0, 1)
        back = [each.quantity for each in await shop.events(LISTING) if isinstance(each, UnitsReturned)]
        covered = [each.quantity for each in await shop.events(LISTING) if isinstance(each, OversellCovered)]
        assert (back, covered) == ([1, 1], [1])


class SlowProvider:
    """A provider that thinks while the world goes on."""

    def __init__(self, shop: Rehearsal, seconds: int, meanwhile: Any = None) -> None:
        self._shop, self._seconds, self._meanwhile = shop, seconds, meanwhile

    async def charge(self, *, key: str, order_id: str, token: str, amount_minor: int, currency: str) -> Payment:
        """Take the money, later."""
        del order_id, token, currency
        self._shop.clock.advance(self._seconds)
        if self._meanwhile is not None:
            await self._meanwhile()
        return Payment(f"pay-{key}", "succeeded", amount_minor)

    async def refund(self, *, key: str, payment_id: str, amount_minor: int) -> None:
        """Nothing is given back here."""
        raise AssertionError(key, payment_id, amount_minor)


async def _paid_slowly(shop: Rehearsal, seconds: int, meanwhile: Any = None) -> str:
    """Ask for a payment two seconds before the hold ends; say how it was answered."""
    await shop.go_live()
    await shop.offer(1, hold_seconds=HOLD_SECONDS)
    await shop.order("order-1")
    shop.clock.advance(HOLD_SECONDS - 2)
    cashier = Cashier(shop.till, SlowProvider(shop, seconds, meanwhile))
    return (await cashier.pay(shop.ticket(c.RequestPayment("order-1"), "pay-1"), "tok")).status


async def test_a_payment_that_was_asked_for_in_time_is_in_time() -> None:
    """The provider takes its time, and nobody else wants the unit: nothing in the record is before what it follows."""
    async with Rehearsal().open() as shop:
        assert await _paid_slowly(shop, 30) == "paid"
        captured = next(each for each in await shop.events("order-1") if isinstance(each, PaymentCaptured))
        assert not captured.late
        assert captured.captured_at == shop.clock.now()


async def test_a_unit_that_was_given_to_somebody_else_stays_theirs() -> None:
    """Asked for in time, but the hold was over and the next one was faster: the money goes back, at the time it is."""
    async with Rehearsal().open() as shop:

        async def another() -> None:
            await shop.order("order-2", buyer="buyer-2")

        assert await _paid_slowly(shop, 3, another) == "orphaned"
        expired = next(each for each in await shop.events("order-1") if isinstance(each, OrderExpired))
        assert expired.expired_at == shop.clock.now()


async def test_a_late_payment_gets_what_nobody_holds_any_more() -> None:
    """The next one's hold is over too by the time the provider answers."""
    async with Rehearsal().open() as shop:

        async def another() -> None:
            await shop.order("order-2", buyer="buyer-2")
            shop.clock.advance(HOLD_SECONDS)

        assert await _paid_slowly(shop, 3, another) == "paid"
        assert (await shop.state("order-1")).stage is Stage.PAID


FLASH = "flash"


async def _flash_sale(shop: Rehearsal) -> None:
    await shop.go_live()
    await shop.offer(10, hold_seconds=HOLD_SECONDS)
    now = shop.till.now()
    flash = Discount(FLASH, now, now + timedelta(hours=1), price_minor=999, total_limit=1)
    await shop.do(c.Tell(LISTING, ScheduleDiscount(flash)))


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_a_late_payment_counts_for_its_discount(meanwhile: bool) -> None:
    """One unit at the low price, whoever pays first; a late payment that finds it gone goes back."""
    async with Rehearsal().open() as shop:
        await _flash_sale(shop)
        await shop.order("order-1")
        shop.clock.advance(HOLD_SECONDS)
        if meanwhile:
            await shop.order("order-2", buyer="buyer-2")
        await shop.pay("order-1")
        if not meanwhile:
            await shop.order("order-2", buyer="buyer-2")
        await shop.pay("order-2")
        captured = [(await shop.state(each)).captured_minor for each in ("order-1", "order-2")]
        assert captured == ([0, 999] if meanwhile else [999, 1999])
        assert (await shop.state(LISTING)).discounted[FLASH] == 1


async def test_what_was_called_off_is_to_be_had_at_its_discount_again() -> None:
    """Paid or not makes no difference."""
    async with Rehearsal().open() as shop:
        await _flash_sale(shop)
        await shop.order("order-1")
        await shop.pay("order-1")
        await shop.do(c.CancelOrder("order-1"))
        await shop.order("order-2", buyer="buyer-2")
        assert (await shop.state("order-2")).due_minor == 999


@pytest.mark.parametrize("waited_seconds", [0, 61])
@pytest.mark.parametrize("quantity", [1, 2])
async def test_an_order_is_placed_once_whatever_its_keys(quantity: int, waited_seconds: int) -> None:
    """Under another key, whether its hold runs, is over or never was, it stays as it is, and nothing is held."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(1, hold_seconds=60)
        await shop.order("order-1", quantity)
        shop.clock.advance(waited_seconds)
        await shop.ask(c.ExpireOrder("order-1"))
        before = await shop.events()
        again = await shop.order("order-1", 1, key="another key")
        assert (again.refusal, again.events) == (None, ())
        assert await shop.events() == before


async def test_a_look_and_its_part_are_one_demand() -> None:
    """Four of a listing in one order are four, and the buyer is told that nothing is held yet."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(10, purchase_limit=3)
        await shop.offer(0, listing_id=OTHER, price_minor=2999, components=((LISTING, 2),))
        lines = (c.AskLine(OTHER, 1), c.AskLine(LISTING, 2))
        refused = await shop.ask(c.PlaceOrder("order-1", STREAM, "buyer-1", lines), "key-1")
        assert isinstance(refused.refusal, PurchaseLimitExceeded)
        assert (refused.refusal.limit, refused.refusal.held) == (3, 0)
        fitting = (c.AskLine(OTHER, 1), c.AskLine(LISTING, 1))
        placed = await shop.do(c.PlaceOrder("order-2", STREAM, "buyer-1", fitting))
        assert [facts.line.amount_minor for facts in placed.state.in_order()] == [2999, 1999]


async def test_an_order_that_costs_nothing_any_more_is_done() -> None:
    """A gift beside something that is called off: nobody would ever pay for it, and it would expire."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.offer(5, listing_id=OTHER, price_minor=0)
        lines = (c.AskLine(LISTING, 1), c.AskLine(OTHER, 1))
        await shop.do(c.PlaceOrder("order-1", STREAM, "buyer-1", lines))
        await shop.do(c.CancelLine("order-1", "cancel-1", "1", 1))
        assert (await shop.state("order-1")).stage is Stage.PAID
        assert (await shop.state(OTHER)).units.committed == 1


@pytest.mark.parametrize(("buyer", "earns"), [(HOST, False), ("cohost", False), ("agency", False), ("viewer", True)])
async def test_nobody_earns_on_what_they_buy_themselves(buyer: str, earns: bool) -> None:
    """Not the host while a co-host is on air, and not who has a share; then nobody earns on it."""
    async with Rehearsal().open() as shop:
        await shop.go_live(shares=(Share(HOST, 5000), Share("agency", 5000)))
        await shop.offer(5)
        await shop.do(c.Tell(STREAM, JoinCoHost("cohost")))
        await shop.do(c.Tell(STREAM, StartSegment("cohost", LISTING, shop.till.now())))
        await shop.order("order-1", buyer=buyer)
        await shop.pay("order-1")
        accrued = await shop.do(c.AccrueCommissions("order-1"))
        kinds = {type(event) for _, event in accrued.events}
        assert kinds == {CommissionAccrued if earns else CommissionExcluded}
