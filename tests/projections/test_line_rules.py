"""Between orders and listings: whatever way an order is served, both say so; where one is silent it is found."""

from typing import Any

import pytest
from attrs import evolve

from adapters.journal_memory import MemoryJournal
from application import commands
from domain.listing.events import DiscountScheduled
from domain.listing.offer import Discount
from domain.order.commands import FailPayment
from domain.order.events import PaymentCaptured
from projections.breach import Breach
from projections.verify import verify
from tests.builders import (
    at,
    line,
    live_show,
    open_listing,
    order_placed,
    payment_captured,
    units_committed,
    units_reserved,
)
from tests.projections.books import WIRE, Told, of, ring_up
from tests.rehearsal import LISTING, STREAM, Rehearsal

FIVE = order_placed(line(quantity=5))
HELD = units_reserved(quantity=5, amount_minor=5 * 1999)
SOLD = units_committed(quantity=5, amount_minor=5 * 1999)
PAID = payment_captured(amount_minor=5 * 1999, captured_at=at(60))


async def breach_in(*told: list[Told]) -> Breach | None:
    """Verify a journal of a show, a listing of ten, and what some commands tell."""
    journal = MemoryJournal()
    await ring_up(journal, of("stream-1", *live_show()), of("listing-1", *open_listing(10)), *told)
    return (await verify(journal, WIRE)).breach


@pytest.mark.parametrize("paid", [False, True])
async def test_an_order_that_no_listing_knows_of_is_found(paid: bool) -> None:
    """Five units are ordered, perhaps paid, and nobody has reserved any."""
    found = await breach_in(of("order-1", FIVE, *[PAID] * paid))
    assert found == Breach(
        9,
        "lines",
        "5 units of listing-1 at 9995 as order-1:1 of order-1, for buyer-1 by host-1 (1999 each, 1999 without "
        "discount, None), are not reserved",
    )


async def test_a_payment_for_which_no_units_were_given_is_found() -> None:
    """They are held still when the order is paid."""
    found = await breach_in([("listing-1", HELD), ("order-1", FIVE)], of("order-1", PAID))
    assert found == Breach(
        11, "lines", "5 units of listing-1 at 9995 as order-1:1 of order-1, for buyer-1 by host-1, are not sold"
    )


async def test_what_another_command_says_comes_too_late() -> None:
    """Units are reserved by the command that orders them or not at all."""
    found = await breach_in(of("listing-1", HELD), of("order-1", FIVE))
    assert found == Breach(
        9,
        "lines",
        "5 units of listing-1 at 9995 as order-1:1 of order-1, for buyer-1 by host-1 (1999 each, 1999 without "
        "discount, None), are reserved, and no order says so",
    )


async def test_a_line_is_reserved_once() -> None:
    """The order answers for one reservation; the same a second time keeps units from others for nobody."""
    found = await breach_in([("listing-1", HELD), ("listing-1", HELD), ("order-1", FIVE)])
    assert found is not None
    assert (found.rule, found.position) == ("lines", 11)


async def test_only_a_late_payment_reserves_again() -> None:
    """One in time sells what was held; holding it anew as well would keep it from others for ever."""
    again = units_reserved(quantity=5, amount_minor=5 * 1999, until=at(60))
    placed = [("listing-1", HELD), ("order-1", FIVE)]
    found = await breach_in(placed, [("listing-1", again), ("listing-1", SOLD), ("order-1", PAID)])
    assert found is not None
    assert (found.rule, found.position) == ("lines", 13)


@pytest.mark.parametrize("limits", [{"total_limit": 1}, {"per_buyer_limit": 1}, {}])
async def test_no_more_is_sold_at_a_discount_than_it_gives(limits: dict[str, int]) -> None:
    """Two units at half the price: of a discount without limits that is right."""
    half = Discount("half", at(0), at(600), percent_bps=5000, **limits)
    price = half.price(1999)
    priced: dict[str, Any] = {
        "quantity": 2, "unit_price_minor": price, "amount_minor": 2 * price, "discount_id": half.discount_id,
    }  # fmt: skip
    held, placed = units_reserved(**priced), order_placed(evolve(line(), **priced))
    found = await breach_in(of("listing-1", DiscountScheduled(half)), [("listing-1", held), ("order-1", placed)])
    assert (None if found is None else (found.rule, found.position)) == (("offer", 10) if limits else None)


async def test_every_honest_way_to_serve_an_order_holds() -> None:
    """A look of which a part is given up before it is paid, a free order, and payments that come late for either."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(9, price_minor=1000, hold_seconds=60)
        await shop.offer(9, listing_id="listing-2", price_minor=333, hold_seconds=600)
        await shop.offer(9, listing_id="listing-free", price_minor=0)
        await shop.offer(0, listing_id="listing-look", price_minor=999, components=((LISTING, 1), ("listing-2", 3)))
        await shop.order("order-free", listing_id="listing-free")
        for order_id in ("order-1", "order-2"):
            both = (commands.AskLine("listing-look", 1), commands.AskLine("listing-free", 1))
            await shop.do(commands.PlaceOrder(order_id, STREAM, "buyer-1", both))
            await shop.do(commands.CancelLine(order_id, "less", "2", 2))
            await shop.do(commands.Tell(order_id, FailPayment(f"declined-{order_id}", "declined")))
        await shop.pay("order-1")
        shop.clock.advance(100)
        await shop.do(commands.ExpireOrder("order-2"))
        await shop.pay("order-2")
        captured = [event.late for event in await shop.events() if isinstance(event, PaymentCaptured)]
        assert captured == [False, False, True]
        assert (await verify(shop.journal, shop.wire)).holds
