"""What read models are asked."""

import pytest
from attrs import evolve

from domain.commission.facts import CommissionLocked, CommissionQualified, Fund
from domain.listing import events as li
from domain.listing.offer import Component
from domain.order import events as o
from domain.refusal import Invalid
from domain.stream import events as s
from projections import queries
from projections.leaderboards import Board
from projections.memory import MemoryStore
from projections.queries import Metric
from tests.builders import (
    accrued,
    at,
    days,
    delivered_order,
    line,
    listing_created,
    listing_of,
    live_show,
    open_listing,
    order_placed,
    paid_order,
    refund_issued,
    reversed_by,
    stream_scheduled,
    units_committed,
    units_reserved,
    units_returned,
    window_scheduled,
)
from tests.projections.books import Told, following, of


def sale(listing_id: str, number: int, *, amount_minor: int = 1000, buyer_id: str = "buyer-1") -> list[Told]:
    """A unit that is reserved and paid."""
    facts = {"reservation_id": f"order-{number}:1", "order_id": f"order-{number}", "buyer_id": buyer_id}
    return of(
        listing_id,
        units_reserved(amount_minor=amount_minor, **facts),
        units_committed(amount_minor=amount_minor, **facts),
    )


async def ranked(store: MemoryStore, board: Board, metric: Metric = Metric.GMV) -> list[tuple[int, str]]:
    """Rank and subject of each place."""
    page = await queries.leaderboard(store, "stream-1", board, metric)
    return [(each.rank, each.row.subject_id) for each in page.items]


TWO = [*of("listing-a", *listing_of(9)), *of("listing-b", *listing_of(9))]


async def test_of_two_with_equal_sales_the_one_that_got_there_first_is_ahead() -> None:
    """And it stays ahead until it is passed."""
    told = [*TWO, *sale("listing-b", 1), *sale("listing-a", 2)]
    assert await ranked(await following(*told), Board.LISTINGS) == [(1, "listing-b"), (2, "listing-a")]
    told += sale("listing-a", 3, amount_minor=1)
    assert await ranked(await following(*told), Board.LISTINGS) == [(1, "listing-a"), (2, "listing-b")]


async def test_each_metric_breaks_its_ties_by_its_own_way() -> None:
    """A refund makes a listing fall by net sales, but it got to its gross sales first all the same."""
    refund = refund_issued(allocations=(o.Allocation("1", "listing-a", 400),), amount_minor=400)
    told = [*TWO, *sale("listing-a", 1), *sale("listing-b", 2)]
    store = await following(*told, *of("order-1", *paid_order(), refund))
    assert await ranked(store, Board.LISTINGS, Metric.GMV) == [(1, "listing-a"), (2, "listing-b")]
    assert await ranked(store, Board.LISTINGS, Metric.NET_GMV) == [(1, "listing-b"), (2, "listing-a")]
    page = await queries.leaderboard(store, "stream-1", Board.LISTINGS, Metric.NET_GMV)
    assert [each.reached_position for each in page.items] == [8, 11]


async def test_ranks_fall_when_units_come_back() -> None:
    """A cancelled or returned sale no longer counts as a unit, on any board."""
    back = units_returned(reservation_id="order-1:1", order_id="order-1")
    told = [*TWO, *sale("listing-a", 1), *sale("listing-a", 2), *sale("listing-b", 3, buyer_id="buyer-2")]
    store = await following(*told, *of("listing-a", back))
    page = await queries.leaderboard(store, "stream-1", Board.LISTINGS, Metric.UNITS)
    assert [(each.row.subject_id, each.row.units) for each in page.items] == [("listing-b", 1), ("listing-a", 1)]
    page = await queries.leaderboard(store, "stream-1", Board.HOSTS, Metric.UNITS)
    assert [(each.row.subject_id, each.row.units) for each in page.items] == [("host-1", 2)]


async def test_a_refund_over_two_lines_counts_once_for_host_and_buyer() -> None:
    """Its parts go to their listings, its sum to who sold and who bought."""
    allocations = (o.Allocation("1", "listing-a", 300), o.Allocation("2", "listing-a", 200))
    refund = refund_issued(allocations=allocations, amount_minor=500)
    store = await following(*TWO, *sale("listing-a", 1), *of("order-1", *paid_order(), refund))
    for board in Board:
        [place] = (await queries.leaderboard(store, "stream-1", board, Metric.GMV)).items
        assert (place.row.gmv_minor, place.row.refunded_minor, place.row.net_gmv_minor) == (1000, 500, 500)


async def test_sales_per_thousand_views_are_computed_when_asked() -> None:
    """Rounded half up, from sums that are both shown; nothing can be said without views."""
    told = [*of("stream-1", *live_show()), *TWO, *sale("listing-a", 1, amount_minor=1001)]
    [place] = (await queries.leaderboard(await following(*told), "stream-1", Board.LISTINGS, Metric.GPM)).items
    assert (place.gpm_minor, place.views) == (None, None)
    told += of("stream-1", s.AudienceSampled(2_000, 5, 0, 0, at(9)))
    [place] = (await queries.leaderboard(await following(*told), "stream-1", Board.LISTINGS, Metric.GPM)).items
    assert (place.gpm_minor, place.views, place.row.gmv_minor) == (501, 2_000, 1001)


async def test_boards_come_in_pages() -> None:
    """Ranks go on from page to page, and the last one leads nowhere."""
    told = [each for n in range(5) for each in [*of(f"listing-{n}", *listing_of(1)), *sale(f"listing-{n}", n)]]
    store, cursor, seen = await following(*told), None, []
    for expected in (2, 2, 1):
        page = await queries.leaderboard(store, "stream-1", Board.LISTINGS, Metric.GMV, limit=2, cursor=cursor)
        assert len(page.items) == expected
        seen += [(each.rank, each.row.subject_id) for each in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == [(n + 1, f"listing-{n}") for n in range(5)]


async def test_a_look_has_as_many_as_its_scarcest_component() -> None:
    """Half a component is none; one that was withdrawn, or that nobody knows, makes the look unavailable."""
    parts = (Component("listing-a", 1), Component("listing-b", 4))
    told = [*TWO, *of("listing-look", listing_created(components=parts))]
    [_, _, look] = (await queries.stock_of_stream(await following(*told), "stream-1")).rows
    assert (look.available, look.is_look, look.row.available) == (2, True, 0)
    alone = await queries.stock_of_listing(await following(*told), "listing-look")
    assert alone == look
    withdrawn = [*told, *of("listing-a", li.ListingWithdrawn("broken"))]
    [_, _, look] = (await queries.stock_of_stream(await following(*withdrawn), "stream-1")).rows
    assert look.available == 0
    lost = of("listing-look", listing_created(components=(Component("listing-x", 1),)))
    [look] = (await queries.stock_of_stream(await following(*lost), "stream-1")).rows
    assert look.available == 0
    assert await queries.stock_of_listing(await following(*told), "listing-x") is None


async def test_stock_is_asked_by_show_and_tells_its_position() -> None:
    """Listings of other shows are not among it."""
    store = await following(*TWO, *of("listing-c", listing_created(stream_id="stream-2")))
    found = await queries.stock_of_stream(store, "stream-1")
    assert (found.position, [each.row.listing_id for each in found.rows]) == (5, ["listing-a", "listing-b"])


async def test_payouts_follow_commissions_from_pending_to_payable() -> None:
    """Reversals and corrections act on the sum that the commission is part of."""
    told = of(
        "commission-1",
        accrued(amount_minor=200),
        CommissionQualified(days(17)),
        reversed_by(amount_minor=50),
        CommissionLocked("host-1", "EUR", 150),
        reversed_by(amount_minor=30, fund=Fund.PAYABLE),
    )
    told += of("commission-2", accrued(order_id="order-2", amount_minor=7))
    [row] = (await queries.payout(await following(*told), "host-1", "EUR")).rows
    assert (row.pending_minor, row.payable_minor, row.paid_minor) == (7, 120, 0)
    assert (row.accrued_minor, row.reversed_minor) == (207, 80)
    [nothing] = (await queries.payout(await following(*told), "host-1", "JPY")).rows
    assert (nothing.pending_minor, nothing.position) == (0, 0)
    assert len((await queries.payouts(await following(*told), "host-1")).rows) == 1


async def test_commissions_are_asked_by_order_and_by_payee() -> None:
    """Page by page, each once."""
    told = [of(f"commission-{n}", accrued(order_id=f"order-{n % 2}", payee_id=f"host-{n % 3}"))[0] for n in range(9)]
    store = await following(*told)
    first = await queries.commissions_of_order(store, "order-0", limit=3)
    rest = await queries.commissions_of_order(store, "order-0", limit=3, cursor=first.next_cursor)
    assert [row.commission_id for row in (*first.items, *rest.items)] == [f"commission-{n}" for n in (0, 2, 4, 6, 8)]
    assert rest.next_cursor is None
    assert len((await queries.commissions_of_payee(store, "host-2")).items) == 3
    found = await queries.commission(store, "commission-4")
    assert found is not None
    assert (found.order_id, found.status) == ("order-0", "accrued")


async def test_orders_are_asked_by_show_and_by_buyer_with_those_that_were_refused() -> None:
    """Demand that went unserved is on the list, with its reason."""
    refused = o.OrderRefused("stream-1", "buyer-2", (o.AskedLine("listing-1", 3),), "sold_out", {}, 5, at(70))
    told = [*of("order-1", *paid_order()), *of("order-2", refused), *of("order-3", order_placed(stream_id="stream-2"))]
    store = await following(*told)
    page = await queries.orders_of_stream(store, "stream-1")
    assert [(row.order_id, row.status, row.reason, row.units) for row in page.items] == [
        ("order-1", "paid", "", 1),
        ("order-2", "refused", "sold_out", 3),
    ]
    assert [row.order_id for row in (await queries.orders_of_buyer(store, "buyer-1")).items] == ["order-1", "order-3"]
    assert list(await queries.orders(store, ["order-3", "order-9"])) == ["order-3"]


async def test_running_shows_are_those_on_air_or_expected_back() -> None:
    """An interruption is no end."""
    told = [
        *of("stream-1", *live_show()),
        *of("stream-2", *live_show(), s.StreamInterrupted(at(9), at(1809))),
        *of("stream-3", stream_scheduled()),
        *of("stream-4", *live_show(), s.StreamEnded(s.EndReason.HOST, at(99))),
    ]
    store = await following(*told)
    assert [row.stream_id for row in (await queries.running_streams(store)).items] == ["stream-1", "stream-2"]
    assert len((await queries.streams(store)).items) == 4
    show = await queries.stream(store, "stream-4")
    assert show is not None
    assert (show.status, show.ended_at) == ("ended", at(99))


async def test_what_is_due_comes_longest_overdue_first() -> None:
    """Up to the instant asked about; what is written down is no longer due."""
    told = [
        *of("order-1", order_placed(hold_expires_at=at(660))),
        *of("order-2", order_placed(hold_expires_at=at(600))),
        *of("order-3", *paid_order()),
        *of("order-4", *delivered_order(line())),
        *of("listing-1", *open_listing()),
        *of("listing-2", *listing_of(1), evolve(window_scheduled(), closes_at=None), li.WindowOpened(1, at(0))),
        *of("stream-1", *live_show(), s.StreamInterrupted(at(9), at(1809))),
    ]
    store = await following(*told)
    found = [(row.history_id, row.kind, row.number) for row in await queries.due(store, at(900))]
    assert found == [
        ("order-2", "expire_order", 0),
        ("order-1", "expire_order", 0),
        ("listing-1", "announce_window", 1),
    ]
    assert len(await queries.due(store, days(30))) == 5
    assert await queries.next_due(store) == at(600)
    assert await queries.next_due(MemoryStore()) is None


@pytest.mark.parametrize("cursor", ["nonsense", "W10", "WzFd", "bnVsbA", "é", "WyJhIiwiYiJd"])
async def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    """Nobody gets a wrong page for a wrong cursor."""
    with pytest.raises(Invalid):
        await queries.streams(MemoryStore(), cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_page_has_a_bounded_size(limit: int) -> None:
    """A page of nothing or of everything is refused."""
    with pytest.raises(Invalid):
        await queries.streams(MemoryStore(), limit=limit)
