"""Who gets the units: reserved, committed, released, shipped, returned."""

from datetime import timedelta

import pytest

from domain.listing import LISTING
from domain.listing import commands as lc
from domain.listing import events as li
from domain.listing.refusals import (
    HoldExpired,
    ListingIsWithdrawn,
    PriceChanged,
    PurchaseLimitExceeded,
    SoldOut,
    WindowIsClosed,
    WindowNotOpen,
)
from domain.listing.units import Bucket, Disposition, Units
from domain.refusal import Invalid, NotAllowedNow, NotFound
from tests.builders import (
    at,
    commit_units,
    listing_of,
    open_listing,
    reacquire_units,
    release_units,
    reserve_units,
    return_units,
    schedule_window,
    units_committed,
    units_reserved,
    units_returned,
    want,
    window_scheduled,
)
from tests.scenario import given, told

UNTIL = at(660)
"""When the builders' hold ends: reserved at 60, held for 600 seconds."""


def sold(units: int = 10, quantity: int = 1, *, shipped: bool = False) -> list[li.Event]:
    """Return the history of a listing that sold some units in one reservation."""
    amount_minor = 1999 * quantity
    gone = [li.ListingSoldOut()] if units == quantity else []
    return [
        *open_listing(units),
        units_reserved(quantity=quantity, amount_minor=amount_minor),
        *gone,
        units_committed(quantity=quantity, amount_minor=amount_minor),
        *([li.UnitsShipped("order-1:1", quantity)] if shipped else []),
    ]


# reserving, in the window


def test_reserving_holds_the_units_at_the_price_of_now() -> None:
    """The hold says who, how many, for how much and until when."""
    given(LISTING, *open_listing()).when(reserve_units()).then(units_reserved(until=UNTIL)).leaves(
        {"units.available": 9, "units.reserved": 1}
    )


@pytest.mark.parametrize(("seconds", "open_"), [(-0.001, False), (0, True), (899.999, True), (900, False)])
def test_the_window_accepts_from_its_opening_until_just_before_its_closing(seconds: float, open_: bool) -> None:
    """``opens_at <= now < closes_at``: the first instant is in, the last is out."""
    outcome = given(LISTING, *open_listing()).when(reserve_units(now=at(seconds)))
    assert (outcome.refusal is None) is open_


def test_the_recorded_times_decide_and_not_the_announcements() -> None:
    """A timer that never fired keeps nobody out, and one that did not close lets nobody in."""
    silent = [*listing_of(10), window_scheduled()]
    given(LISTING, *silent).when(reserve_units(now=at(0))).then(units_reserved(until=at(600)))
    given(LISTING, *silent).when(reserve_units(now=at(-1))).refused(WindowNotOpen, opens_at=at(0))
    given(LISTING, *silent).when(reserve_units(now=at(900))).refused(WindowIsClosed, closed_at=at(900))


def test_a_listing_without_a_window_sells_nothing() -> None:
    """What was never offered cannot be bought."""
    given(LISTING, *listing_of(10)).when(reserve_units()).refused(WindowNotOpen, opens_at=None)


def test_a_window_without_an_end_stays_open_until_it_is_closed() -> None:
    """Without a deadline only the host or the end of the show closes it."""
    endless = [*listing_of(10), window_scheduled(closes_at=None)]
    given(LISTING, *endless).when(reserve_units(now=at(86_400))).then(units_reserved(until=at(87_000)))
    closed = [*endless, li.WindowClosed(1, at(100), "host")]
    given(LISTING, *closed).when(reserve_units(now=at(100))).refused(WindowIsClosed, closed_at=at(100))


def test_a_withdrawn_listing_sells_nothing() -> None:
    """Withdrawn is for good, whatever its window says."""
    given(LISTING, *open_listing(), li.ListingWithdrawn("recall")).when(reserve_units()).refused(ListingIsWithdrawn)


def test_an_unknown_listing_sells_nothing() -> None:
    """Units need a listing."""
    given(LISTING).when(reserve_units()).refused(NotFound, what="listing")


# how many


@pytest.mark.parametrize("quantity", [0, -1, 10**9 + 1])
def test_a_quantity_is_a_positive_count(quantity: int) -> None:
    """Nothing, less than nothing and more than any warehouse holds cannot be asked for."""
    given(LISTING, *open_listing()).when(reserve_units(want(quantity=quantity))).refused(Invalid, field="quantity")


def test_demand_is_summed_over_the_lines() -> None:
    """Two lines that fit one by one but not together are refused together, whole."""
    both = reserve_units(want(quantity=2), want(reservation_id="order-1:2", quantity=2))
    given(LISTING, *open_listing(3)).when(both).refused(SoldOut, available=3)
    given(LISTING, *open_listing(4)).when(both).leaves({"units.available": 0, "units.reserved": 4, "sold_out": True})


def test_one_reservation_cannot_be_two_lines_of_a_command() -> None:
    """Units are held by reservation: the same name twice would hold one line's units for nobody."""
    given(LISTING, *open_listing()).when(reserve_units(want(), want())).refused(Invalid, field="reservation_id")


def test_the_last_unit_goes_to_whoever_comes_first() -> None:
    """The next buyer is told that none is left."""
    first = given(LISTING, *open_listing(1)).when(reserve_units())
    first.then(units_reserved(), li.ListingSoldOut())
    second = reserve_units(want(reservation_id="order-2:1"), order_id="order-2", buyer_id="buyer-2")
    given(LISTING, *open_listing(1), *first.events).when(second).refused(SoldOut, available=0)


def test_sold_out_with_units_in_checkout_is_told_apart() -> None:
    """Nothing is available but everything is held, not sold: a viewer may still hope."""
    held = given(LISTING, *open_listing(2)).when(reserve_units(want(quantity=2)))
    held.leaves({"units.available": 0, "units.reserved": 2, "units.committed": 0})
    held.gives(lambda listing: listing.status(at(61)), "sold_out")


def test_the_same_reservation_again_is_the_same_reservation() -> None:
    """Held or sold already: no new event, whatever the window or the stock say by now."""
    given(LISTING, *open_listing(1), units_reserved()).when(reserve_units(now=at(5000))).changes_nothing()
    given(LISTING, *sold(1)).when(reserve_units(now=at(5000))).changes_nothing()


def test_what_an_order_held_and_has_just_lost_it_gets_with_the_rest() -> None:
    """A hold of the same order that expired meanwhile is made anew beside the new one, so that once is enough."""
    both = reserve_units(want(), want(reservation_id="order-1:2"), now=UNTIL)
    again = given(LISTING, *open_listing(2), units_reserved()).when(both)
    again.leaves({"units.available": 0, "units.reserved": 2})
    given(LISTING, *open_listing(2), units_reserved(), *again.events).when(both).changes_nothing()


def test_what_an_order_has_just_lost_it_does_not_get_from_a_closed_window() -> None:
    """Its part of a look is served by the look's window; what it wants by itself is not, whoever held it before."""
    both = reserve_units(want(), want(reservation_id="order-1:2", amount_minor=1000), now=at(900))
    given(LISTING, *open_listing(2), units_reserved()).when(both).refused(WindowIsClosed, closed_at=at(900))


def test_a_command_that_is_half_done_does_the_other_half() -> None:
    """Only the lines that hold nothing yet are reserved."""
    both = reserve_units(want(), want(reservation_id="order-1:2"))
    given(LISTING, *open_listing(), units_reserved()).when(both).then(units_reserved(reservation_id="order-1:2"))


# expired holds


def test_a_hold_lasts_until_just_before_its_deadline() -> None:
    """A millisecond before ``until`` the units are still somebody else's."""
    other = reserve_units(
        want(reservation_id="order-2:1"), order_id="order-2", buyer_id="buyer-2", now=UNTIL - timedelta(milliseconds=1)
    )
    held = [*open_listing(1), units_reserved(), li.ListingSoldOut()]
    given(LISTING, *held).when(other).refused(SoldOut, available=0)


def test_an_expired_hold_is_released_before_the_next_buyer_is_judged() -> None:
    """At ``until`` exactly the units are free, and the release stands before the new reservation."""
    other = reserve_units(want(reservation_id="order-2:1"), order_id="order-2", buyer_id="buyer-2", now=UNTIL)
    held = [*open_listing(1), units_reserved(), li.ListingSoldOut()]
    given(LISTING, *held).when(other).then(
        li.UnitsReleased("order-1:1", 1, "expired"),
        li.ListingBackInStock(),
        units_reserved(
            reservation_id="order-2:1", order_id="order-2", buyer_id="buyer-2", until=UNTIL + timedelta(seconds=600)
        ),
        li.ListingSoldOut(),
    )


def test_a_refused_buyer_releases_nothing() -> None:
    """A refusal writes nothing, not even what was true anyway: the next accepted command writes it."""
    held = [*open_listing(2), units_reserved()]
    greedy = reserve_units(want(reservation_id="order-2:1", quantity=3), buyer_id="buyer-2", now=UNTIL)
    given(LISTING, *held).when(greedy).refused(SoldOut, available=2).leaves({"units.reserved": 1})


def test_a_hold_that_was_released_and_made_again_expires_once() -> None:
    """Two deadlines of one name at one instant are one hold: its units come back once."""
    earlier = units_reserved(reservation_id="order-0:1", until=at(600))
    again: list[li.Event] = [units_reserved(), li.UnitsReleased("order-1:1", 1, "cancelled"), units_reserved()]
    late = reserve_units(want(reservation_id="order-2:1"), buyer_id="buyer-2", now=at(700))
    given(LISTING, *open_listing(3), earlier, *again).when(late).leaves({"units.available": 2, "units.reserved": 1})


# paying


def test_a_payment_wins_until_just_before_the_deadline() -> None:
    """Its ingress decides: a millisecond before ``until`` it wins, at ``until`` it does not."""
    held = [*open_listing(), units_reserved()]
    given(LISTING, *held).when(commit_units(now=UNTIL - timedelta(milliseconds=1))).then(units_committed())
    given(LISTING, *held).when(commit_units(now=UNTIL)).refused(HoldExpired, until=UNTIL)


def test_a_payment_counts_once() -> None:
    """Providers call twice."""
    given(LISTING, *sold()).when(commit_units(now=at(9999))).changes_nothing()


def test_a_payment_for_units_nobody_holds_is_refused() -> None:
    """There is no deadline to name."""
    given(LISTING, *open_listing()).when(commit_units()).refused(HoldExpired, until=None)


def test_a_hold_outlives_the_window_and_the_withdrawal() -> None:
    """Whoever was promised units in time may pay for them."""
    closed = [*open_listing(), units_reserved(), li.WindowClosed(1, at(100), "stream_ended")]
    given(LISTING, *closed).when(commit_units()).then(units_committed())
    withdrawn = [*open_listing(), units_reserved(), li.ListingWithdrawn("recall")]
    given(LISTING, *withdrawn).when(commit_units()).then(units_committed())


def test_the_price_is_frozen_at_reservation() -> None:
    """A price that changes meanwhile changes nothing for who holds."""
    cheaper = [*open_listing(), units_reserved(), li.PriceSet(999)]
    given(LISTING, *cheaper).when(commit_units()).then(units_committed(amount_minor=1999))


def test_a_buyer_who_saw_another_price_is_told_both() -> None:
    """Up or down: nobody pays what they did not see."""
    seen = reserve_units(want(unit_price_seen=2499))
    given(LISTING, *open_listing()).when(seen).refused(PriceChanged, seen=2499, now=1999)
    given(LISTING, *open_listing()).when(reserve_units(want(unit_price_seen=0))).refused(PriceChanged, seen=0)
    given(LISTING, *open_listing()).when(reserve_units(want(unit_price_seen=1999))).then(units_reserved())


# paying too late


def test_a_late_payment_gets_its_units_back_at_the_frozen_price() -> None:
    """The units are still there: it is served as if the hold had lasted, after the window and at the old price."""
    expired = [*open_listing(), units_reserved(), li.UnitsReleased("order-1:1", 1, "expired"), li.PriceSet(2999)]
    given(LISTING, *expired).when(reacquire_units(now=at(1000))).then(
        units_reserved(until=at(1000), list_price_minor=2999), units_committed()
    ).leaves({"units.committed": 1, "units.reserved": 0})


def test_a_late_payment_releases_its_own_expired_hold_first() -> None:
    """Nobody noticed the expiry: it is written down, then the units are taken anew."""
    held = [*open_listing(1), units_reserved(), li.ListingSoldOut()]
    given(LISTING, *held).when(reacquire_units(now=UNTIL)).then(
        li.UnitsReleased("order-1:1", 1, "expired"),
        li.ListingBackInStock(),
        units_reserved(until=UNTIL),
        units_committed(),
        li.ListingSoldOut(),
    )


def test_a_late_payment_takes_nobody_elses_units() -> None:
    """When they are gone it is refused, and its money goes back."""
    gone = [
        *open_listing(1),
        units_reserved(),
        li.UnitsReleased("order-1:1", 1, "expired"),
        units_reserved(reservation_id="order-2:1", order_id="order-2", buyer_id="buyer-2", until=at(1300)),
    ]
    given(LISTING, *gone).when(reacquire_units()).refused(SoldOut, available=0)


def test_a_late_payment_respects_the_purchase_limit() -> None:
    """The buyer has bought the limit meanwhile."""
    bought = [
        *open_listing(),
        li.PurchaseLimitSet(1),
        units_reserved(),
        li.UnitsReleased("order-1:1", 1, "expired"),
        units_reserved(reservation_id="order-2:1", order_id="order-2", until=at(1300)),
    ]
    given(LISTING, *bought).when(reacquire_units()).refused(PurchaseLimitExceeded, limit=1, held=1)


def test_a_late_payment_counts_once_and_never_for_a_withdrawn_listing() -> None:
    """Sold already: nothing to do. Withdrawn: nothing to sell."""
    given(LISTING, *sold()).when(reacquire_units()).changes_nothing()
    withdrawn = [*open_listing(), li.ListingWithdrawn("recall")]
    given(LISTING, *withdrawn).when(reacquire_units()).refused(ListingIsWithdrawn)


def test_a_payment_that_was_thought_late_and_is_not_uses_its_hold() -> None:
    """The hold still stands: it is committed, not doubled."""
    given(LISTING, *open_listing(), units_reserved()).when(reacquire_units(now=at(300))).then(units_committed())


# purchase limits


def test_the_purchase_limit_counts_what_is_held() -> None:
    """Unpaid units count, or a limit of two would be two per minute."""
    held = [*open_listing(), li.PurchaseLimitSet(2), units_reserved(quantity=2, amount_minor=3998)]
    more = reserve_units(want(reservation_id="order-2:1"), order_id="order-2")
    given(LISTING, *held).when(more).refused(PurchaseLimitExceeded, limit=2, held=2)


def test_the_purchase_limit_counts_units_that_were_sent() -> None:
    """Shipping is no way around a limit."""
    sent = [*sold(quantity=2, shipped=True), li.PurchaseLimitSet(2)]
    more = reserve_units(want(reservation_id="order-2:1"), order_id="order-2")
    given(LISTING, *sent).when(more).refused(PurchaseLimitExceeded, limit=2, held=2)


def test_the_purchase_limit_is_each_buyers_own() -> None:
    """One buyer's units are not another's, and those that came back count no more."""
    sent = [*sold(quantity=2, shipped=True), li.PurchaseLimitSet(2)]
    other = reserve_units(want(reservation_id="order-2:1", quantity=2), order_id="order-2", buyer_id="buyer-2")
    given(LISTING, *sent).when(other).leaves({"units.reserved": 2})
    back = [*sent, units_returned(quantity=2)]
    again = reserve_units(want(reservation_id="order-3:1", quantity=2), order_id="order-3")
    given(LISTING, *back).when(again).leaves({"units.reserved": 2})


def test_the_purchase_limit_sums_the_lines_of_a_command() -> None:
    """Two lines of one are two."""
    both = reserve_units(want(), want(reservation_id="order-1:2"))
    given(LISTING, *open_listing(), li.PurchaseLimitSet(1)).when(both).refused(PurchaseLimitExceeded, limit=1, held=0)


# releasing


def test_releasing_gives_the_units_to_the_next_viewer() -> None:
    """What was sold out is back, and says so."""
    held = [*open_listing(1), units_reserved(), li.ListingSoldOut()]
    given(LISTING, *held).when(release_units()).then(
        li.UnitsReleased("order-1:1", 1, "cancelled"), li.ListingBackInStock()
    ).leaves({"units.available": 1, "units.reserved": 0})


def test_releasing_what_nobody_holds_changes_nothing() -> None:
    """Released already, or never reserved."""
    given(LISTING, *open_listing()).when(release_units()).changes_nothing()


def test_releasing_what_is_paid_is_refused() -> None:
    """That is a return."""
    given(LISTING, *sold()).when(release_units()).refused(NotAllowedNow, action="release_units", status="committed")


def test_part_of_a_hold_may_be_released() -> None:
    """Down to what is kept; saying it again releases no more; a negative rest is nonsense."""
    held = [*open_listing(), units_reserved(quantity=3, amount_minor=5997)]
    part = li.UnitsReleased("order-1:1", 2, "cancelled")
    given(LISTING, *held).when(release_units(keep=1)).then(part)
    given(LISTING, *held, part).when(release_units(keep=1)).changes_nothing()
    given(LISTING, *held).when(release_units(keep=-1)).refused(Invalid, field="keep")


def test_what_is_left_of_a_hold_costs_its_part_of_the_whole() -> None:
    """A look's share of 1000 for three units does not divide: two of them cost 666, one 333, and none is invented."""
    held = [*open_listing(), units_reserved(quantity=3, unit_price_minor=333, amount_minor=1000)]
    two = [*held, li.UnitsReleased("order-1:1", 1, "cancelled")]
    given(LISTING, *two).when(commit_units()).then(units_committed(quantity=2, amount_minor=666))
    one = [*two, li.UnitsReleased("order-1:1", 1, "cancelled")]
    given(LISTING, *one).when(commit_units()).then(units_committed(quantity=1, amount_minor=333))


# looks


def test_a_component_of_a_look_is_sold_by_the_looks_window_and_price() -> None:
    """Its own window is closed and its own price is another: the look decides, its share is what it costs."""
    in_look = reserve_units(want(quantity=3, amount_minor=1000))
    given(LISTING, *listing_of(10)).when(in_look).then(
        units_reserved(quantity=3, unit_price_minor=333, amount_minor=1000)
    )


def test_a_component_of_a_look_is_still_counted() -> None:
    """Stock and purchase limit are the component's own."""
    in_look = reserve_units(want(quantity=3, amount_minor=1000))
    given(LISTING, *listing_of(2)).when(in_look).refused(SoldOut, available=2)
    given(LISTING, *listing_of(9), li.PurchaseLimitSet(2)).when(in_look).refused(PurchaseLimitExceeded, limit=2)


# sending and taking back


def test_sold_units_are_sent_once() -> None:
    """Shipping moves what was committed, all of it, one time."""
    given(LISTING, *sold(quantity=2)).when(lc.ShipUnits("order-1:1")).then(li.UnitsShipped("order-1:1", 2)).leaves(
        {"units.committed": 0, "units.shipped": 2}
    )
    given(LISTING, *sold(shipped=True)).when(lc.ShipUnits("order-1:1")).changes_nothing()


def test_only_sold_units_are_sent() -> None:
    """A hold is not a sale."""
    given(LISTING, *open_listing(), units_reserved()).when(lc.ShipUnits("order-1:1")).refused(
        NotFound, what="reservation"
    )


def test_units_cancelled_before_shipping_do_not_ship() -> None:
    """What is left is sent; when nothing is left nothing is sent."""
    cancelled = units_returned(source=Bucket.COMMITTED)
    given(LISTING, *sold(quantity=2), cancelled).when(lc.ShipUnits("order-1:1")).then(li.UnitsShipped("order-1:1", 1))
    given(LISTING, *sold(quantity=1), cancelled).when(lc.ShipUnits("order-1:1")).changes_nothing()


def test_sound_goods_go_back_on_sale_while_the_show_runs() -> None:
    """Received and fit to sell: the listing is back in stock."""
    given(LISTING, *sold(1, shipped=True)).when(return_units()).then(units_returned(), li.ListingBackInStock()).leaves(
        {"units.available": 1, "units.shipped": 0}
    )


def test_sound_goods_go_to_the_brand_when_the_show_is_over() -> None:
    """There is nobody to sell them to; the same for a withdrawn listing."""
    given(LISTING, *sold(1, shipped=True)).when(return_units(show_is_over=True)).then(
        units_returned(target=Bucket.RETURNED_TO_SOURCE)
    )
    withdrawn = [*sold(1, shipped=True), li.ListingWithdrawn("recall")]
    given(LISTING, *withdrawn).when(return_units()).then(units_returned(target=Bucket.RETURNED_TO_SOURCE))


def test_damaged_goods_are_put_aside() -> None:
    """Whether the show runs or not, nobody gets them."""
    for over in (False, True):
        damaged = return_units(disposition=Disposition.DAMAGED, show_is_over=over)
        given(LISTING, *sold(1, shipped=True)).when(damaged).then(
            units_returned(disposition=Disposition.DAMAGED, target=Bucket.UNAVAILABLE)
        ).leaves({"units.unavailable": 1, "units.available": 0, "sold_out": True})


def test_a_return_counts_once() -> None:
    """The same return again is the same return; another one takes the rest."""
    back = [*sold(quantity=2, shipped=True), units_returned()]
    given(LISTING, *back).when(return_units()).changes_nothing()
    given(LISTING, *back).when(return_units(return_id="return-2")).then(units_returned(return_id="return-2"))


def test_nobody_returns_more_than_they_have() -> None:
    """Nor a part of a unit that was never sold."""
    given(LISTING, *sold(shipped=True)).when(return_units(quantity=2)).refused(Invalid, field="quantity")
    given(LISTING, *sold(shipped=True), units_returned()).when(return_units(return_id="return-2")).refused(Invalid)
    given(LISTING, *sold(shipped=True)).when(return_units(quantity=0)).refused(Invalid, field="quantity")
    given(LISTING, *open_listing(), units_reserved()).when(return_units()).refused(NotFound, what="reservation")


def test_every_unit_of_an_evening_is_somewhere() -> None:
    """Allotted = available + reserved + committed + shipped + unavailable + returned_to_source, after all of it."""
    history = told(
        LISTING,
        lc.CreateListing("stream-1", "SCARF-RED", "Red scarf", "EUR", 1999, 10, 600),
        schedule_window(),
        reserve_units(want(quantity=4)),
        commit_units(),
        lc.ShipUnits("order-1:1"),
        return_units(disposition=Disposition.DAMAGED),
        return_units(return_id="return-2", show_is_over=True),
        reserve_units(want(reservation_id="order-2:1", quantity=3), buyer_id="buyer-2"),
        commit_units(reservation_id="order-2:1"),
        reserve_units(want(reservation_id="order-3:1", quantity=1), buyer_id="buyer-3"),
    )
    units = LISTING.fold(history).units
    assert units == Units(
        allotted=10, available=2, reserved=1, committed=3, shipped=2, unavailable=1, returned_to_source=1
    )
    assert units.conserved
