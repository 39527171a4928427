"""What a listing is sold for, and when."""

import pytest

from domain.listing import LISTING
from domain.listing import commands as lc
from domain.listing import events as li
from domain.listing.offer import Component, Discount
from domain.listing.refusals import ListingIsWithdrawn, PriceMayNotRise
from domain.money import MAX_MINOR
from domain.refusal import AlreadyExists, Invalid, NotAllowedNow, NotFound
from tests.builders import (
    at,
    create_listing,
    discount,
    listing_created,
    listing_of,
    open_listing,
    reserve_units,
    schedule_window,
    units_reserved,
    want,
    window_scheduled,
)
from tests.scenario import given, told

PRE_SALE = at(-300)
COUNTING = at(-30)


# creating


def test_a_listing_is_created_with_its_stock_and_limit() -> None:
    """One command, one fact each."""
    given(LISTING).when(create_listing(purchase_limit=2)).then(
        listing_created(), li.PurchaseLimitSet(2), li.StockAllotted(10, "")
    ).leaves({"units.available": 10, "offer.purchase_limit": 2})


def test_a_listing_is_created_once() -> None:
    """And nothing else is told to one that does not exist."""
    given(LISTING, *listing_of(10)).when(create_listing()).refused(AlreadyExists, what="listing")
    given(LISTING).when(lc.AllotStock(1, "truck-1")).refused(NotFound, what="listing")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("price.amount_minor", {"price_minor": -1}),
        ("price.amount_minor", {"price_minor": MAX_MINOR + 1}),
        ("allotment", {"allotment": -1}),
        ("hold_seconds", {"hold_seconds": 0}),
        ("hold_seconds", {"hold_seconds": 86_401}),
        ("purchase_limit", {"purchase_limit": 0}),
        ("allotment", {"components": (Component("listing-2", 1),)}),
        ("components", {"allotment": 0, "components": (Component("listing-2", 1), Component("listing-2", 1))}),
        ("components.quantity", {"allotment": 0, "components": (Component("listing-2", 0),)}),
    ],
)
def test_a_listing_that_makes_no_sense_is_not_created(field: str, changes: dict[str, object]) -> None:
    """Prices, counts and holds have bounds; a look has no units of its own and names each component once."""
    given(LISTING).when(create_listing(**changes)).refused(Invalid, field=field)


def test_a_price_of_nothing_is_a_price() -> None:
    """Giveaways are sold for zero."""
    given(LISTING).when(create_listing(price_minor=0)).leaves({"offer.price_minor": 0})


# price


def test_the_price_may_rise_before_the_countdown() -> None:
    """Nobody has seen the seconds run."""
    planned = [*listing_of(10), window_scheduled()]
    given(LISTING, *planned).when(lc.SetPrice(2499, at(-61))).then(li.PriceSet(2499))


@pytest.mark.parametrize("seconds", [-60, -1, 0, 899])
def test_the_price_may_not_rise_from_the_countdown_to_the_close(seconds: float) -> None:
    """What viewers were shown only gets cheaper; the countdown's first instant counts already."""
    planned = [*listing_of(10), window_scheduled()]
    given(LISTING, *planned).when(lc.SetPrice(2499, at(seconds))).refused(PriceMayNotRise, now=1999)
    given(LISTING, *planned).when(lc.SetPrice(1499, at(seconds))).then(li.PriceSet(1499))


def test_the_price_may_rise_when_the_window_is_over() -> None:
    """The next window is another offer."""
    given(LISTING, *open_listing()).when(lc.SetPrice(2499, at(900))).then(li.PriceSet(2499))


def test_the_same_price_is_no_news() -> None:
    """Nothing changes, at any time."""
    given(LISTING, *open_listing()).when(lc.SetPrice(1999, at(60))).changes_nothing()


def test_a_purchase_limit_is_set_and_lifted() -> None:
    """Both are facts; the same limit again is none."""
    given(LISTING, *listing_of(10)).when(lc.SetPurchaseLimit(2)).then(li.PurchaseLimitSet(2))
    limited = [*listing_of(10), li.PurchaseLimitSet(2)]
    given(LISTING, *limited).when(lc.SetPurchaseLimit(2)).changes_nothing()
    given(LISTING, *limited).when(lc.SetPurchaseLimit(None)).then(li.PurchaseLimitSet(None))
    given(LISTING, *limited).when(lc.SetPurchaseLimit(0)).refused(Invalid, field="purchase_limit")


# windows


def test_a_window_is_planned() -> None:
    """Times and countdown are written down; once is enough."""
    given(LISTING, *listing_of(10)).when(schedule_window()).then(window_scheduled())
    given(LISTING, *listing_of(10), window_scheduled()).when(schedule_window()).changes_nothing()


def test_a_window_that_opens_now_says_so() -> None:
    """Planning and opening are one append, and saying it again a moment later adds nothing."""
    now = schedule_window(opens_at=at(0), now=at(0), countdown_seconds=0)
    opened: list[li.Event] = [window_scheduled(countdown_seconds=0), li.WindowOpened(1, at(0))]
    given(LISTING, *listing_of(10)).when(now).then(*opened)
    given(LISTING, *listing_of(10), *opened).when(
        schedule_window(opens_at=at(0), now=at(2), countdown_seconds=0)
    ).changes_nothing()


def test_a_window_that_viewers_count_down_to_is_only_moved_visibly() -> None:
    """Moving it is an event of its own with the same number, and the countdown starts anew."""
    counting = [*listing_of(10), window_scheduled(), li.CountdownStarted(1, at(0))]
    given(LISTING, *counting).when(schedule_window(opens_at=at(20), now=COUNTING)).then(
        window_scheduled(opens_at=at(20)), li.CountdownStarted(1, at(20))
    )


def test_an_open_window_is_extended_and_not_moved() -> None:
    """Viewers are buying by it."""
    given(LISTING, *open_listing()).when(schedule_window(opens_at=at(300), now=at(60))).refused(
        NotAllowedNow, action="schedule_window", status="open"
    )


def test_the_second_window_has_the_next_number() -> None:
    """An end that nobody announced is written down before the next window is planned."""
    second = schedule_window(opens_at=at(2000), closes_at=at(2900), now=at(1000))
    over = li.WindowClosed(1, at(900), "deadline")
    planned = window_scheduled(number=2, opens_at=at(2000), closes_at=at(2900))
    given(LISTING, *open_listing()).when(second).then(over, planned)
    given(LISTING, *open_listing(), over).when(second).then(planned)


def test_the_second_window_sells_like_the_first() -> None:
    """Its own times decide."""
    twice = [
        *open_listing(),
        li.WindowClosed(1, at(900), "deadline"),
        window_scheduled(number=2, opens_at=at(2000), closes_at=at(2900)),
    ]
    given(LISTING, *twice).when(reserve_units(now=at(2000))).then(units_reserved(until=at(2600)))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("closes_at", {"closes_at": at(0)}),
        ("closes_at", {"closes_at": at(-1)}),
        ("countdown_seconds", {"countdown_seconds": -1}),
        ("closes_at", {"now": at(900)}),
        ("closes_at", {"now": at(901)}),
    ],
)
def test_a_window_has_a_future(field: str, changes: dict[str, object]) -> None:
    """It is not empty, counts down to something, and is not over before it is planned."""
    given(LISTING, *listing_of(10)).when(schedule_window(**changes)).refused(Invalid, field=field)


def test_a_window_that_is_over_is_not_planned_again_by_a_late_repetition() -> None:
    """A retry that comes after the deadline makes no second window."""
    given(LISTING, *open_listing()).when(schedule_window(now=at(950))).refused(Invalid, field="closes_at")


def test_the_clock_is_announced_once() -> None:
    """Early, late, twice or for another window: a timer adds only what is true and not yet told."""
    planned = [*listing_of(10), window_scheduled()]
    given(LISTING, *planned).when(lc.AnnounceWindow(1, at(-61))).changes_nothing()
    given(LISTING, *planned).when(lc.AnnounceWindow(1, at(-60))).then(li.CountdownStarted(1, at(0)))
    given(LISTING, *planned).when(lc.AnnounceWindow(1, at(5))).then(
        li.CountdownStarted(1, at(0)), li.WindowOpened(1, at(0))
    )
    given(LISTING, *open_listing()).when(lc.AnnounceWindow(1, at(899))).changes_nothing()
    given(LISTING, *open_listing()).when(lc.AnnounceWindow(1, at(900))).then(li.WindowClosed(1, at(900), "deadline"))
    given(LISTING, *open_listing()).when(lc.AnnounceWindow(2, at(900))).changes_nothing()


def test_a_window_is_only_made_longer() -> None:
    """The promised deadline stands or moves back; a window that is over stays over."""
    given(LISTING, *open_listing()).when(lc.ExtendWindow(at(1200), at(60))).then(li.WindowExtended(1, at(1200)))
    given(LISTING, *open_listing()).when(lc.ExtendWindow(at(900), at(60))).changes_nothing()
    given(LISTING, *open_listing()).when(lc.ExtendWindow(at(800), at(60))).refused(Invalid, field="closes_at")
    given(LISTING, *open_listing()).when(lc.ExtendWindow(at(1200), at(900))).refused(NotAllowedNow, status="closed")
    given(LISTING, *listing_of(1)).when(lc.ExtendWindow(at(1200), at(60))).refused(NotAllowedNow, status="draft")


def test_an_extended_window_sells_on() -> None:
    """The new deadline decides."""
    given(LISTING, *open_listing(), li.WindowExtended(1, at(1200))).when(reserve_units(now=at(1199))).leaves(
        {"units.reserved": 1}
    )


def test_the_end_of_the_show_closes_the_window_and_leaves_the_holds() -> None:
    """Who is in checkout may finish."""
    given(LISTING, *open_listing(), units_reserved()).when(lc.CloseWindow("stream_ended", at(300))).then(
        li.WindowClosed(1, at(300), "stream_ended")
    ).leaves({"units.reserved": 1})


def test_closing_a_closed_window_tells_at_most_what_was_not_told() -> None:
    """Over by its deadline: that is what is written, not the late hand."""
    given(LISTING, *open_listing()).when(lc.CloseWindow("host", at(950))).then(li.WindowClosed(1, at(900), "deadline"))
    given(LISTING, *open_listing(), li.WindowClosed(1, at(300), "host")).when(
        lc.CloseWindow("host", at(310))
    ).changes_nothing()
    given(LISTING, *listing_of(1)).when(lc.CloseWindow("host", at(310))).changes_nothing()


@pytest.mark.parametrize(
    ("seconds", "status"), [(-61, "scheduled"), (-60, "countdown"), (0, "open"), (899, "open"), (900, "closed")]
)
def test_the_status_follows_the_clock(seconds: float, status: str) -> None:
    """Where a listing stands is a matter of its recorded times."""
    assert LISTING.fold([*listing_of(10), window_scheduled()]).status(at(seconds)) == status


# discounts


def quoted(*discounts: Discount, seconds: float = 60, quantity: int = 1) -> tuple[int, str | None]:
    """Return the price and discount of a reservation under some discounts."""
    history = [*open_listing(), *(li.DiscountScheduled(each) for each in discounts)]
    (event,) = given(LISTING, *history).when(reserve_units(want(quantity=quantity), now=at(seconds))).events
    assert isinstance(event, li.UnitsReserved)
    return event.unit_price_minor, event.discount_id


def test_the_best_discount_applies_and_none_stack() -> None:
    """Ten percent, a fixed 1500 and a third: the lowest price wins, alone."""
    ten, fixed = discount(discount_id="ten", percent_bps=1000), discount(discount_id="fixed", price_minor=1500)
    assert quoted(ten) == (1799, "ten")
    assert quoted(ten, fixed) == (1500, "fixed")
    assert quoted(ten, fixed, discount(discount_id="third", percent_bps=3333)) == (1333, "third")


def test_a_discount_never_makes_anything_dearer() -> None:
    """A fixed price above the list price is the list price."""
    assert quoted(discount(price_minor=2999))[0] == 1999


@pytest.mark.parametrize(("seconds", "price_minor"), [(99, 1999), (100, 999), (199, 999), (200, 1999)])
def test_a_discount_has_a_window_of_its_own(seconds: float, price_minor: int) -> None:
    """``starts_at <= now < ends_at``, as everywhere."""
    assert quoted(discount(starts_at=at(100), ends_at=at(200), price_minor=999), seconds=seconds)[0] == price_minor


def test_a_discount_that_is_used_up_is_over() -> None:
    """Units held at it count; a demand that does not fit whole pays the list price."""
    limited = discount(price_minor=999, total_limit=2)
    assert quoted(limited, quantity=2) == (999, "flash")
    assert quoted(limited, quantity=3) == (1999, None)
    used = [*open_listing(), li.DiscountScheduled(limited), units_reserved(quantity=2, discount_id="flash")]
    other = reserve_units(want(reservation_id="order-2:1"), order_id="order-2", buyer_id="buyer-2")
    given(LISTING, *used).when(other).leaves({"units.reserved": 3}).then(
        units_reserved(reservation_id="order-2:1", order_id="order-2", buyer_id="buyer-2")
    )


def test_released_units_free_their_discount() -> None:
    """Who did not pay used nothing up."""
    limited = discount(price_minor=999, total_limit=1)
    released = [
        *open_listing(),
        li.DiscountScheduled(limited),
        units_reserved(discount_id="flash"),
        li.UnitsReleased("order-1:1", 1, "cancelled"),
    ]
    given(LISTING, *released).when(reserve_units(want(reservation_id="order-2:1"))).then(
        units_reserved(reservation_id="order-2:1", unit_price_minor=999, amount_minor=999, discount_id="flash")
    )


def test_a_discount_may_be_limited_per_buyer() -> None:
    """The second unit costs the list price for the same buyer, not for another one."""
    limited = discount(price_minor=999, per_buyer_limit=1)
    used = [*open_listing(), li.DiscountScheduled(limited), units_reserved(discount_id="flash")]
    same = reserve_units(want(reservation_id="order-2:1"))
    given(LISTING, *used).when(same).then(units_reserved(reservation_id="order-2:1"))
    other = reserve_units(want(reservation_id="order-3:1"), buyer_id="buyer-2")
    given(LISTING, *used).when(other).then(
        units_reserved(
            reservation_id="order-3:1", buyer_id="buyer-2", unit_price_minor=999, amount_minor=999, discount_id="flash"
        )
    )


def test_a_discount_is_scheduled_once_and_may_end_early() -> None:
    """The same discount again is no news, another one needs another id."""
    flash = discount(percent_bps=2000)
    running = [*open_listing(), li.DiscountScheduled(flash)]
    given(LISTING, *open_listing()).when(lc.ScheduleDiscount(flash)).then(li.DiscountScheduled(flash))
    given(LISTING, *running).when(lc.ScheduleDiscount(flash)).changes_nothing()
    given(LISTING, *running).when(lc.ScheduleDiscount(discount(percent_bps=3000))).refused(AlreadyExists, id="flash")
    given(LISTING, *running).when(lc.EndDiscount("flash")).then(li.DiscountEnded("flash"))
    ended = [*running, li.DiscountEnded("flash")]
    given(LISTING, *ended).when(lc.EndDiscount("flash")).changes_nothing()
    given(LISTING, *ended).when(reserve_units()).then(units_reserved())


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("discount", {}),
        ("discount", {"percent_bps": 100, "price_minor": 100}),
        ("discount.percent_bps", {"percent_bps": 0}),
        ("discount.percent_bps", {"percent_bps": 10_001}),
        ("discount.price_minor", {"price_minor": -1}),
        ("discount.ends_at", {"percent_bps": 100, "ends_at": at(0)}),
        ("discount.total_limit", {"percent_bps": 100, "total_limit": 0}),
        ("discount.per_buyer_limit", {"percent_bps": 100, "per_buyer_limit": -1}),
    ],
)
def test_a_discount_that_makes_no_sense_is_refused(field: str, changes: dict[str, object]) -> None:
    """Either a percent or a price, in a window that is not empty, with positive limits."""
    given(LISTING, *open_listing()).when(lc.ScheduleDiscount(discount(**changes))).refused(Invalid, field=field)


# withdrawing


def test_a_withdrawn_listing_is_out_for_good() -> None:
    """Once, and nothing is planned for it any more; its stock may still be sent back."""
    out = [*open_listing(3), li.ListingWithdrawn("recall")]
    given(LISTING, *open_listing(3)).when(lc.WithdrawListing("recall")).then(li.ListingWithdrawn("recall"))
    given(LISTING, *out).when(lc.WithdrawListing("recall")).changes_nothing()
    for command in (
        lc.SetPrice(1, at(60)), lc.SetPurchaseLimit(1), schedule_window(), lc.ExtendWindow(at(950), at(60)),
        lc.ScheduleDiscount(discount(percent_bps=100)),
    ):  # fmt: skip
        given(LISTING, *out).when(command).refused(ListingIsWithdrawn)
    given(LISTING, *out).when(lc.ReturnAllotment(3, "truck-2", at(0))).leaves({"units.returned_to_source": 3})


def test_the_history_of_an_evening_reads_as_it_happened() -> None:
    """Planned, counted down, opened, sold out, closed: each told once, in this order."""
    history = told(
        LISTING,
        create_listing(allotment=1),
        schedule_window(now=PRE_SALE),
        lc.AnnounceWindow(1, COUNTING),
        reserve_units(),
        lc.AnnounceWindow(1, at(61)),
        lc.AnnounceWindow(1, at(900)),
    )
    assert [type(event).__name__ for event in history] == [
        "ListingCreated", "StockAllotted", "WindowScheduled", "CountdownStarted", "UnitsReserved", "ListingSoldOut",
        "WindowOpened", "WindowClosed",
    ]  # fmt: skip
