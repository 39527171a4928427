"""The read models agree with the aggregates: whatever happens in a shop, both tell the same story."""

from collections import defaultdict
from random import Random
from typing import Any

import pytest
from attrs import asdict

from domain.aggregates import DECIDERS
from domain.ids import kind_of
from domain.listing.events import UnitsReturned
from domain.listing.offer import Phase
from domain.order.events import PaymentCaptured
from domain.stream.state import Status
from projections.commissions import COMMISSIONS
from projections.deadlines import DEADLINES
from projections.leaderboards import STANDINGS
from projections.live_stock import LIVE_STOCK
from projections.orders import ORDERS
from projections.payouts import PAYOUTS
from projections.replay import as_of
from projections.streams import STREAMS
from tests.projections.books import WIRE, rows
from tests.projections.evening import Evening
from tests.rehearsal import Rehearsal

SEEDS = range(12)


@pytest.fixture(params=SEEDS)
async def told(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any], Any]:
    """A random evening: its read models, the states of all its aggregates, and its events by history."""
    async with Rehearsal().open() as shop:
        evening = Evening(shop, Random(request.param))
        await evening.begin()
        await evening.go_on(250)
        events: defaultdict[str, list[Any]] = defaultdict(list)
        for record in await shop.records():
            events[record.history_id].append(WIRE.decode(record.topic, record.state))
        deciders: dict[str, Any] = dict(DECIDERS)
        states = {each: deciders[kind_of(each)].fold(happened) for each, happened in events.items()}
        store = await as_of(shop.journal, WIRE, await shop.journal.head())
        assert not await store.parked()
        return store, states, (events, shop.till.now())


async def test_orders_stand_where_their_histories_say(told: Any) -> None:
    """Status, money and units of every order are those of the aggregate, refused orders included."""
    store, states, _ = told
    found = await rows(store, ORDERS)
    orders = {each: state for each, state in states.items() if kind_of(each) == "order"}
    assert {key[0] for key in found} == set(orders)
    for (order_id,), row in found.items():
        state = orders[order_id]
        assert (row.status, row.stage) == (state.status, state.stage)
        for money in ("captured_minor", "refunded_minor", "orphaned_minor"):
            assert getattr(row, money) == getattr(state, money)
        if state.refusal is None:
            assert row.units == sum(facts.kept for facts in state.lines.values())
        else:
            assert row.reason == state.refusal.reason


async def test_stock_lies_where_the_listings_say(told: Any) -> None:
    """Every bucket of every listing is the aggregate's, and so are offer, window and status."""
    store, states, (_, now) = told
    for (listing_id,), row in (await rows(store, LIVE_STOCK)).items():
        state = states[listing_id]
        assert {name: getattr(row, name) for name in asdict(state.units)} == asdict(state.units)
        offer = {name: getattr(row, name) for name in ("price_minor", "purchase_limit", "discounts", "components")}
        assert offer == {name: getattr(state.offer, name) for name in offer}
        assert (row.window, row.sold_out, row.status(now)) == (state.window, state.sold_out, state.status(now))


async def test_commissions_stand_where_their_histories_say(told: Any) -> None:
    """Status and amounts of every commission are the aggregate's."""
    store, states, _ = told
    found = await rows(store, COMMISSIONS)
    assert {key[0] for key in found} == {each for each in states if kind_of(each) == "commission"}
    for (commission_id,), row in found.items():
        state = states[commission_id]
        assert (row.status, row.payee_id, row.amount_minor) == (state.status, state.payee_id, state.amount_minor)
        if row.status != "out_of_terms":
            assert (row.base_minor, row.remaining_base_minor) == (state.base_minor, state.remaining_base_minor)


async def test_payouts_are_the_sum_of_the_commissions(told: Any) -> None:
    """Pending and payable are what stands of the commissions not yet and already locked, and nothing is lost."""
    store, states, _ = told
    sums: defaultdict[tuple[str, str], defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for history_id, state in states.items():
        if kind_of(history_id) == "commission" and state.status != "out_of_terms":
            sums[state.payee_id, state.currency][state.fund] += state.amount_minor
            sums[state.payee_id, state.currency]["accrued"] += state.accrued_minor
    found = await rows(store, PAYOUTS)
    assert set(found) == set(sums)
    for key, row in found.items():
        assert (row.pending_minor, row.payable_minor) == (sums[key]["pending"], sums[key]["payable"])
        assert row.accrued_minor == sums[key]["accrued"]
        assert row.pending_minor + row.payable_minor + row.paid_minor == row.accrued_minor - row.reversed_minor


async def test_boards_agree_with_each_other_and_with_the_orders(told: Any) -> None:
    """What listings sold, hosts sold and buyers bought is the same; refunds on it are those of the orders."""
    store, states, (events, _) = told
    totals: defaultdict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for row in (await rows(store, STANDINGS)).values():
        for place, name in enumerate(("units", "returned_units", "gmv_minor", "refunded_minor", "net_gmv_minor")):
            totals[row.board][place] += getattr(row, name)
    captured = [event for happened in events.values() for event in happened if isinstance(event, PaymentCaptured)]
    orders = [state for each, state in states.items() if kind_of(each) == "order"]
    refunded_minor = sum(state.refunded_minor for state in orders)
    gmv_minor = sum(event.amount_minor for event in captured)
    sold = sum(
        sale.quantity
        for each, state in states.items()
        if kind_of(each) == "listing"
        for sale in state.book.sales.values()
    )
    came_back = sum(
        event.quantity for happened in events.values() for event in happened if isinstance(event, UnitsReturned)
    )
    expected = [sold, came_back, gmv_minor, refunded_minor, gmv_minor - refunded_minor] if captured else None
    assert all(total == expected for total in totals.values())


async def test_shows_stand_where_their_histories_say(told: Any) -> None:
    """Status, pins and who is on air are the aggregate's."""
    store, states, _ = told
    for (stream_id,), row in (await rows(store, STREAMS)).items():
        state = states[stream_id]
        assert (row.status, row.running) == (state.status, state.status in (Status.LIVE, Status.INTERRUPTED))
        assert (row.pins, row.on_air, row.views) == (state.pins, state.on_air, state.views)
        assert (row.segment_listing_id, row.ended_at) == (state.segment_listing_id, state.ended_at)


async def test_everything_that_will_fall_due_is_known(told: Any) -> None:
    """There is a deadline for every unpaid order, unclosed window, open return window and interruption; no other."""
    store, states, _ = told
    expected = {}
    for history_id, state in states.items():
        match kind_of(history_id):
            case "order" if state.awaits_payment:
                expected[history_id, "expire_order"] = state.hold_expires_at
            case "order" if state.stage == "delivered":
                expected[history_id, "close_return_window"] = state.return_window_ends_at
            case "stream" if state.status == "interrupted":
                expected[history_id, "end_interrupted_stream"] = state.interrupted_until
            case "listing" if state.window is not None and (due_at := _next_boundary(state.window)) is not None:
                expected[history_id, "announce_window"] = due_at
    found = await rows(store, DEADLINES)
    assert {key: row.due_at for key, row in found.items()} == expected


def _next_boundary(window: Any) -> Any:
    """Return what the clock will make of a window next."""
    if window.announced is Phase.SCHEDULED:
        return window.counts_down_from
    return {Phase.COUNTDOWN: window.opens_at, Phase.OPEN: window.closes_at, Phase.CLOSED: None}[window.announced]
