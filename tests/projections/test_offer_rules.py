"""Orders against what was on offer: discounts and looks have prices of their own, and nothing else has."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from application import commands
from domain.listing import events as li
from domain.listing.commands import ScheduleDiscount
from domain.listing.offer import Discount
from domain.order.events import OrderPlaced
from domain.record import Record
from projections.verify import verify
from tests.projections.forging import WIRE, Written, first, read, rewrite
from tests.rehearsal import LISTING, STREAM, Rehearsal

LOOK = "listing-look"


@pytest.fixture
async def records() -> AsyncIterator[list[Record]]:
    """An order of two scarves at half their price, and of two looks of a scarf and three pins that are cheaper, too."""
    shop = Rehearsal()
    async with shop.open():
        await shop.go_live()
        await shop.offer(9, price_minor=1000)
        await shop.offer(9, listing_id="listing-pin", price_minor=333)
        await shop.offer(0, listing_id=LOOK, price_minor=999, components=((LISTING, 1), ("listing-pin", 3)))
        now = shop.till.now()
        for listing_id, percent_bps in ((LISTING, 5000), (LOOK, 1000), (LOOK, 500)):
            off = Discount(f"off-{percent_bps}", now, now + timedelta(seconds=60), percent_bps=percent_bps)
            await shop.do(commands.Tell(listing_id, ScheduleDiscount(off)))
        lines = (commands.AskLine(LISTING, 2), commands.AskLine(LOOK, 1), commands.AskLine(LOOK, 1))
        await shop.do(commands.PlaceOrder("order-1", STREAM, "buyer-1", lines))
        yield await shop.records()


def told(records: list[Record], number: int, **changes: Any) -> int:
    """Change a line of the order, and its units alike; return the order's position."""
    place = first(records, OrderPlaced)
    lines = list(read(records[place]).lines)
    units = {name: fact for name, fact in changes.items() if hasattr(li.UnitsReserved, name)}
    rewrite(records, first(records, li.UnitsReserved, reservation_id=f"order-1:{number}"), **units)
    lines[number - 1] = evolve(lines[number - 1], **changes)
    return rewrite(records, place, lines=tuple(lines), total_minor=sum(line.amount_minor for line in lines))


async def test_discounts_and_looks_hold(records: list[Record]) -> None:
    """The best discount of a look applies, and its parts share what that leaves."""
    lines = read(records[first(records, OrderPlaced)]).lines
    assert [line.amount_minor for line in lines[:1]] == [1000]
    assert sum(line.amount_minor for line in lines[1:]) == 2 * (999 - 100)
    assert (await verify(Written(records), WIRE)).holds


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        pytest.param(1, {"amount_minor": 500, "unit_price_minor": 250}, id="a discount that is larger than it was"),
        pytest.param(1, {"discount_id": None}, id="its price without its discount"),
        pytest.param(1, {"discount_id": "off-1000"}, id="the discount of another listing"),
        pytest.param(2, {"amount_minor": 1}, id="a look for less than its price"),
        pytest.param(2, {"look_id": None}, id="a part by itself at the price in the look"),
        pytest.param(3, {"quantity": 2}, id="a look with a part less"),
    ],
)
async def test_what_was_not_on_offer_is_found(records: list[Record], number: int, changes: Any) -> None:
    """The order and its units agree with each other, and with nothing else."""
    position = told(records, number, **changes)
    found = (await verify(Written(records), WIRE)).breach
    assert found is not None
    assert (found.rule, found.position) == ("offer", position), found.found
