"""The stock that a listing is sold from: what the brand gives, takes back and counts."""

from domain.listing import LISTING
from domain.listing import commands as lc
from domain.listing import events as li
from domain.listing.offer import Component
from domain.listing.refusals import StockIsPromised
from domain.refusal import Invalid
from tests.builders import (
    at,
    cut_stock,
    listing_created,
    listing_of,
    open_listing,
    units_committed,
    units_reserved,
)
from tests.scenario import given


def test_stock_moves_are_booked_once_by_their_reference() -> None:
    """A delivery note that arrives twice is one delivery."""
    more = lc.AllotStock(5, "truck-1")
    given(LISTING, *listing_of(10)).when(more).then(li.StockAllotted(5, "truck-1"))
    given(LISTING, *listing_of(10), li.StockAllotted(5, "truck-1")).when(more).changes_nothing()
    given(LISTING, *listing_of(10)).when(lc.AllotStock(0, "truck-2")).refused(Invalid, field="quantity")


def test_a_reference_stands_for_one_movement() -> None:
    """With another number of units it is a mistake, not a repetition; a forced cut is known by all it cut."""
    noted = [*listing_of(10), li.StockAllotted(5, "truck-1"), li.AllotmentReturned(2, "truck-1")]
    given(LISTING, *noted).when(lc.AllotStock(6, "truck-1")).refused(Invalid, field="reference")
    given(LISTING, *noted).when(lc.ReturnAllotment(5, "truck-1", at(0))).refused(Invalid, field="reference")
    given(LISTING, *noted).when(lc.ReturnAllotment(2, "truck-1", at(0))).changes_nothing()
    forced = [
        *open_listing(3), units_reserved(),
        li.StockAdjusted(-2, "count", "count-1"), li.OversellDeclared(1, ("order-1",), "count-1"),
    ]  # fmt: skip
    given(LISTING, *forced).when(cut_stock(delta=-3, force=True)).changes_nothing()
    given(LISTING, *forced).when(cut_stock(delta=-2, force=True)).refused(Invalid, field="reference")


def test_new_stock_ends_being_sold_out() -> None:
    """Viewers are told that there is something again."""
    gone = [*open_listing(1), units_reserved(), li.ListingSoldOut()]
    given(LISTING, *gone).when(lc.AllotStock(5, "truck-1")).then(
        li.StockAllotted(5, "truck-1"), li.ListingBackInStock()
    )


def test_only_units_that_nobody_holds_go_back_to_the_brand() -> None:
    """What is promised stays; the last free unit that goes back sells the listing out."""
    held = [*open_listing(3), units_reserved()]
    given(LISTING, *held).when(lc.ReturnAllotment(3, "truck-2", at(0))).refused(
        StockIsPromised, available=2, promised=1
    )
    given(LISTING, *held).when(lc.ReturnAllotment(2, "truck-2", at(0))).then(
        li.AllotmentReturned(2, "truck-2"), li.ListingSoldOut()
    ).leaves({"units.returned_to_source": 2, "units.allotted": 3})


def test_a_count_is_corrected_both_ways() -> None:
    """Found units are sold, missing ones are not; a correction of nothing is none."""
    given(LISTING, *listing_of(3)).when(cut_stock(delta=2)).then(li.StockAdjusted(2, "count", "count-1"))
    given(LISTING, *listing_of(3)).when(cut_stock(delta=-3)).then(
        li.StockAdjusted(-3, "count", "count-1"), li.ListingSoldOut()
    )
    given(LISTING, *listing_of(3)).when(cut_stock(delta=0)).refused(Invalid, field="delta")


def test_a_cut_below_what_is_promised_is_refused() -> None:
    """Two are free and one is held: three cannot be taken."""
    held = [*open_listing(3), units_reserved()]
    given(LISTING, *held).when(cut_stock(delta=-3)).refused(StockIsPromised, available=2, promised=1)


def test_a_forced_cut_declares_whose_orders_it_breaks() -> None:
    """The newest hold misses out first, then the newest sale; who was there earliest is served."""
    promised = [
        *open_listing(4),
        units_reserved(),
        units_committed(),
        units_reserved(reservation_id="order-2:1", order_id="order-2", until=at(700)),
        units_reserved(reservation_id="order-3:1", order_id="order-3", until=at(720)),
    ]
    given(LISTING, *promised).when(cut_stock(delta=-3, force=True)).then(
        li.StockAdjusted(-1, "count", "count-1"),
        li.ListingSoldOut(),
        li.OversellDeclared(2, ("order-3", "order-2"), "count-1"),
    )
    given(LISTING, *promised).when(cut_stock(delta=-4, force=True)).then(
        li.StockAdjusted(-1, "count", "count-1"),
        li.ListingSoldOut(),
        li.OversellDeclared(3, ("order-3", "order-2", "order-1"), "count-1"),
    )


def test_units_that_do_not_exist_are_never_sold_again() -> None:
    """When a broken promise comes free, its units fill the gap that the forced cut has shown; nobody else gets them."""
    short = [
        *open_listing(1),
        units_reserved(),
        li.ListingSoldOut(),
        li.StockAdjusted(0, "count", "count-1"),
        li.OversellDeclared(1, ("order-1",), "count-1"),
    ]
    given(LISTING, *short).when(lc.ReleaseUnits("order-1:1", "cancelled")).then(
        li.UnitsReleased("order-1:1", 1, "cancelled"), li.OversellCovered(1)
    )
    given(LISTING, *short).when(lc.AllotStock(3, "truck-1")).then(
        li.StockAllotted(3, "truck-1"), li.OversellCovered(1), li.ListingBackInStock()
    )


def test_a_forced_cut_names_an_order_once_and_spares_what_was_sent() -> None:
    """Two lines of one order are one broken order; units on their way exist."""
    sent = [
        *open_listing(4),
        units_reserved(),
        units_committed(),
        li.UnitsShipped("order-1:1", 1),
        units_reserved(reservation_id="order-2:1", order_id="order-2"),
        units_reserved(reservation_id="order-2:2", order_id="order-2"),
    ]
    given(LISTING, *sent).when(cut_stock(delta=-3, force=True)).then(
        li.StockAdjusted(-1, "count", "count-1"),
        li.ListingSoldOut(),
        li.OversellDeclared(2, ("order-2",), "count-1"),
    )


def test_nothing_more_can_be_missing_than_was_there() -> None:
    """Even by force: beyond what is free and promised there are no units to lose."""
    held = [*open_listing(3), units_reserved()]
    given(LISTING, *held).when(cut_stock(delta=-4, force=True)).refused(Invalid, field="delta")


def test_a_look_has_no_stock() -> None:
    """Its units are those of its components."""
    look = [listing_created(components=(Component("listing-2", 1),))]
    given(LISTING, *look).when(lc.AllotStock(1, "truck-1")).refused(Invalid, field="quantity")
