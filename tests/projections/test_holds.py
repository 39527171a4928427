"""Holds and their time: who was promised units until an instant had them until then, or gave them up."""

from typing import Any

import pytest

from adapters.clocks import ManualClock
from adapters.journal_memory import MemoryJournal
from domain.listing import events as li
from domain.order import events as o
from projections.breach import Breach
from projections.verify import verify
from tests.builders import at, live_show, open_listing, order_placed, units_reserved
from tests.projections.books import WIRE, Told, of, ring_up
from tests.rehearsal import Rehearsal

FREE = ("listing-1", li.UnitsReleased("order-1:1", 1, "expired"))
CANCELLED = o.OrderCancelled(at(60))
OTHERS = {"order_id": "order-2", "reservation_id": "order-2:1"}


async def breach_in(*told: list[Told]) -> Breach | None:
    """Verify a journal of a show, a listing, two orders whose units are held, and what some commands tell."""
    journal = MemoryJournal()
    orders = [
        [("listing-1", units_reserved()), ("order-1", order_placed())],
        [("listing-1", units_reserved(**OTHERS)), ("order-2", order_placed())],
    ]
    await ring_up(journal, of("stream-1", *live_show()), of("listing-1", *open_listing()), *orders, *told)
    return (await verify(journal, WIRE)).breach


async def test_an_order_may_give_up_what_is_held_for_it() -> None:
    """Called off, its units are free before their time."""
    assert await breach_in([("order-1", CANCELLED), FREE]) is None


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([[FREE]], id="nobody"),
        pytest.param([[("order-2", CANCELLED), FREE]], id="another order"),
    ],
)
async def test_what_is_free_before_its_time_without_the_word_of_its_order_is_found(told: list[list[Told]]) -> None:
    """Somebody else could buy what was promised."""
    position = 12 + sum(map(len, told))
    expected = f"1 units of order-1:1, held until {at(660)}, are free before"
    assert await breach_in(*told) == Breach(position, "deadlines", expected)


@pytest.mark.parametrize(
    ("position", "held", "placed"),
    [
        pytest.param(9, {"until": at(661)}, {}, id="longer"),
        pytest.param(9, {"until": at(65)}, {}, id="shorter"),
        pytest.param(10, {"until": at(60)}, {}, id="not at all"),
        pytest.param(10, {}, {"hold_expires_at": at(659)}, id="not as the order says"),
        pytest.param(10, {}, {"placed_at": at(61)}, id="from another time on"),
    ],
)
async def test_units_are_held_for_the_time_of_their_listing(
    position: int, held: dict[str, Any], placed: dict[str, Any]
) -> None:
    """Given another time in the listing or the order, it is found there."""
    journal = MemoryJournal()
    order = [("listing-1", units_reserved(**held)), ("order-1", order_placed(**placed))]
    await ring_up(journal, of("stream-1", *live_show()), of("listing-1", *open_listing()), order)
    found = (await verify(journal, WIRE)).breach
    assert found is not None
    assert found.position == position


@pytest.mark.parametrize(
    ("order_id", "event"),
    [
        ("order-3", o.OrderRefused("stream-1", "buyer-3", (), "price_changed", {}, 1, at(61))),
        ("order-1", o.PaymentRequested("key", 1999, at(59))),
        ("order-1", o.OrderExpired(at(660))),
    ],
)
async def test_what_says_when_its_command_came_tells_the_truth(order_id: str, event: Any) -> None:
    """Its envelope says it, too."""
    found = await breach_in([(order_id, event)])
    assert found is not None
    assert (found.position, found.rule) == (13, "deadlines")
    assert f"its command came at {at(60)}" in found.found


async def test_what_an_order_gives_up_is_free_by_the_same_command() -> None:
    """Freed by a later one, it is found where its order has given it up."""
    found = "1 units of order-1:1 are given up, and its listing does not say so"
    assert await breach_in([("order-1", CANCELLED)], [FREE]) == Breach(13, "lines", found)


async def test_no_more_is_free_than_an_order_gives_up() -> None:
    """What others hold covers it in the ledger of the listing, and it would be sold a second time."""
    found = "1 units of order-1:1 are given up, and its order does not say so"
    more = ("listing-1", li.UnitsReleased("order-1:1", 2, "cancelled"))
    assert await breach_in([("order-1", CANCELLED), more]) == Breach(14, "lines", found)


async def test_an_order_that_a_faster_clock_robbed_is_no_breach() -> None:
    """Another server's clock is ahead: it gave the unit away, so a payment that was in time here came for nothing."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(1, hold_seconds=60)
        await shop.order("order-1")
        fast = ManualClock(shop.clock.now())
        fast.advance(61)
        async with Rehearsal(journal=shop.journal, clock=fast, name="till-2").open() as ahead:
            await ahead.order("order-2", buyer="buyer-2")
        await shop.pay("order-1")
        assert any(isinstance(event, o.OrderExpired) for event in await shop.events("order-1"))
        assert (await verify(shop.journal, shop.wire)).holds
