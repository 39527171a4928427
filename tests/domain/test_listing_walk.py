"""Random evenings of a listing: whatever viewers, hosts, timers and payments do, every unit is somewhere."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.listing import LISTING
from domain.listing import commands as lc
from domain.listing import events as li
from domain.listing.offer import Discount, Phase
from domain.listing.state import Listing
from domain.listing.units import Bucket, Disposition, Hold, Sale
from tests.builders import at, create_listing
from tests.domain.subject import Subject, depths

orders = st.integers(1, 12)
lines = st.integers(1, 2)
quantities = st.integers(1, 4)
seconds = st.sampled_from([1, 1, 2, 5, 30, 120, 400])
picks = st.integers(0, 99)
"""Which of the reservations at hand; sometimes one that is not at hand."""
FLASH = {
    name: Discount(name, at(start), at(start + 1500), total_limit=total, per_buyer_limit=each, **price)
    for name, start, total, each, price in (
        ("half", 0, 3, None, {"percent_bps": 5000}),
        ("fixed", 500, None, 2, {"price_minor": 900}),
        ("third", 1000, 5, 3, {"percent_bps": 3333}),
    )
}


backstage = precondition(lambda self: self.seconds % 4 == 0)
"""The brand acts now and then; viewers act all the time."""


class ListingWalk(RuleBasedStateMachine):
    """A listing, a clock that only goes forward, and everybody who may tell it something."""

    def __init__(self) -> None:
        super().__init__()
        self.listing: Subject[Listing, lc.Command, li.Event] = Subject(LISTING)
        self.seconds = 0
        self.references = 0

    @property
    def state(self) -> Listing:
        """The listing as it is now."""
        return self.listing.state

    @property
    def now(self) -> datetime:
        """The ingress of the next command."""
        return at(self.seconds)

    @initialize(
        allotment=st.integers(0, 30),
        hold_seconds=st.integers(1, 600),
        limit=st.none() | st.integers(1, 6),
        open_=st.sampled_from([True, True, True, False]),
    )
    def create(self, allotment: int, hold_seconds: int, limit: int | None, open_: bool) -> None:
        """Most evenings begin with an open window, or they would be quiet."""
        self.listing.tell(
            create_listing(allotment=allotment, hold_seconds=hold_seconds, purchase_limit=limit), twice=False
        )
        if open_:
            self.listing.tell(lc.ScheduleWindow(at(0), at(3000), 60, self.now))

    @rule(passed=seconds)
    def time_passes(self, passed: int) -> None:
        """Nothing else happens."""
        self.seconds += passed

    def _pick(self, pick: int, names: Iterable[str]) -> str:
        at_hand = sorted(names)
        return at_hand[pick % len(at_hand)] if at_hand and pick % 5 else f"order-{1 + pick % 6}:{1 + pick % 2}"

    # viewers

    @rule(
        order=orders,
        wanted=st.lists(st.tuples(lines, quantities), min_size=1, max_size=3),
        in_look=st.sampled_from([(), (1,), (1, 2)]),
        seen=st.sampled_from([None, None, None, 1999, 900]),
    )
    def reserve(self, order: int, wanted: list[tuple[int, int]], in_look: tuple[int, ...], seen: int | None) -> None:
        """Judge a demand by what was true before it; some of its lines may be parts of a look."""
        wants = [
            lc.Want(f"order-{order}:{n}", quantity, None if n in in_look else seen, 1000 if n in in_look else None)
            for n, quantity in wanted
        ]
        before = self.state
        events = self.listing.tell(lc.ReserveUnits(tuple(wants), f"order-{order}", _buyer(order), "host-1", self.now))
        if events:
            self._reserved_rightly(before, events, in_look)

    def _reserved_rightly(self, before: Listing, events: list[li.Event], in_look: tuple[int, ...]) -> None:
        reserved = [event for event in events if isinstance(event, li.UnitsReserved)]
        by_itself = [event for event in reserved if int(event.reservation_id.rpartition(":")[2]) not in in_look]
        assert not before.offer.withdrawn
        assert not by_itself or (before.window is not None and before.window.phase(self.now) is Phase.OPEN)
        assert not self.state.book.expired(self.now), "judged on units that nobody holds any more"
        limit, buyer = self.state.offer.purchase_limit, reserved[0].buyer_id
        assert limit is None or self.state.book.bought.get(buyer, 0) <= limit
        for event in reserved:
            assert event.until > self.now
            assert 0 <= event.unit_price_minor <= max(event.list_price_minor, 1000)
            assert event not in by_itself or event.amount_minor == event.unit_price_minor * event.quantity

    @rule(pick=picks)
    def pay(self, pick: int) -> None:
        """A payment wins iff the hold still stands."""
        name = self._pick(pick, self.state.book.holds)
        hold = self.state.book.holds.get(name)
        events = self.listing.tell(lc.CommitUnits(name, self.now), named=True)
        assert bool(events) is (hold is not None and self.now < hold.until)
        if hold is not None and events:
            assert isinstance(events[0], li.UnitsCommitted)
            assert events[0].amount_minor == hold.reserved_amount_minor * hold.quantity // hold.reserved_quantity

    @precondition(lambda self: self.listing.of(li.UnitsReleased))
    @rule(order=orders, line=lines, quantity=quantities, discount_id=st.none() | st.sampled_from(sorted(FLASH)))
    def pay_late(self, order: int, line: int, quantity: int, discount_id: str | None) -> None:
        """Served only from what is there, within the limit."""
        self.listing.tell(
            lc.ReacquireUnits(
                f"order-{order}:{line}",
                f"order-{order}",
                _buyer(order),
                "host-1",
                quantity,
                1999,
                1999 * quantity,
                discount_id,
                self.now,
            ),
            named=True,
        )

    @rule(pick=picks, keep=st.integers(0, 2))
    def release(self, pick: int, keep: int) -> None:
        """Cancelled, in part or whole."""
        self.listing.tell(lc.ReleaseUnits(self._pick(pick, self.state.book.holds), "cancelled", keep))

    @precondition(lambda self: len(self.state.book.holds) > 1)
    @rule(pick=picks)
    def change_ones_mind(self, pick: int) -> None:
        """The most frequent end of a hold, besides its deadline."""
        self.release(pick=pick, keep=0)

    # the warehouse

    @rule(pick=picks)
    def ship(self, pick: int) -> None:
        """Sold units leave."""
        self.listing.tell(lc.ShipUnits(self._pick(pick, self.state.book.sales)), named=True)

    @rule(
        pick=picks, quantity=st.integers(1, 2), return_number=st.integers(1, 4),
        disposition=st.sampled_from(Disposition), over=st.booleans(),
    )  # fmt: skip
    def take_back(self, pick: int, quantity: int, return_number: int, disposition: Disposition, over: bool) -> None:
        """Some of them come back."""
        name = self._pick(pick, self.state.book.sales)
        self.listing.tell(lc.ReturnUnits(name, f"return-{return_number}", quantity, disposition, over), named=True)

    @backstage
    @rule(quantity=quantities)
    def allot(self, quantity: int) -> None:
        """The brand gives more."""
        self.listing.tell(lc.AllotStock(quantity, self._reference()), named=True)

    @backstage
    @rule(quantity=quantities)
    def give_back(self, quantity: int) -> None:
        """The brand takes some back."""
        self.listing.tell(lc.ReturnAllotment(quantity, self._reference(), self.now), named=True)

    @backstage
    @rule(delta=st.integers(-6, 3), force=st.booleans())
    def count(self, delta: int, force: bool) -> None:
        """A count finds fewer or more; a forced cut names whose orders it breaks."""
        available = self.state.units.available
        events = self.listing.tell(lc.AdjustStock(delta, "count", self._reference(), self.now, force), named=True)
        for event in events:
            if isinstance(event, li.UnitsReleased | li.OversellCovered):  # holds that are over count as free
                available += event.quantity if isinstance(event, li.UnitsReleased) else -event.quantity
            if isinstance(event, li.OversellDeclared):
                assert force
                assert event.order_ids
                assert event.quantity == -delta - available

    @precondition(lambda self: self.state.units.committed)
    @rule(pick=picks, over=st.booleans())
    def lose_everything_and_call_one_off(self, pick: int, over: bool) -> None:
        """Nothing of what was promised exists, and one of those who miss out gives up."""
        units = self.state.units
        self.count(delta=-units.available - units.reserved - units.committed + self.state.short, force=True)
        unsent = [(name, sale) for name, sale in self.state.book.sales.items() if sale.quantity and not sale.shipped]
        name, sale = unsent[pick % len(unsent)]
        back = lc.ReturnUnits(name, f"off-{pick}", sale.quantity, Disposition.RESTOCK, over)
        self.listing.tell(back, named=True)

    def _reference(self) -> str:
        self.references += 1
        return f"note-{self.references}"

    # the brand and the clock

    @backstage
    @rule(price_minor=st.sampled_from([0, 900, 1500, 1999, 2499]))
    def set_price(self, price_minor: int) -> None:
        """Never up while viewers look."""
        before = self.state
        events = self.listing.tell(lc.SetPrice(price_minor, self.now))
        watched = before.window is not None and before.window.phase(self.now) in (Phase.COUNTDOWN, Phase.OPEN)
        assert not (events and watched and price_minor > before.offer.price_minor)

    @backstage
    @rule(limit=st.none() | st.integers(0, 6))
    def set_limit(self, limit: int | None) -> None:
        """It may fall below what somebody has."""
        self.listing.tell(lc.SetPurchaseLimit(limit))

    @backstage
    @rule(starts_in=st.integers(-100, 60), lasts=st.none() | st.integers(-10, 1000), countdown=st.integers(0, 120))
    def schedule(self, starts_in: int, lasts: int | None, countdown: int) -> None:
        """Plan or move."""
        opens_at = at(self.seconds + starts_in)
        closes_at = None if lasts is None else at(self.seconds + starts_in + lasts)
        self.listing.tell(lc.ScheduleWindow(opens_at, closes_at, countdown, self.now))

    @backstage
    @rule(number=st.integers(1, 4))
    def announce(self, number: int) -> None:
        """A timer fires, perhaps for a window long gone."""
        self.listing.tell(lc.AnnounceWindow(number, self.now))

    @backstage
    @rule(later=st.integers(-100, 1000))
    def extend(self, later: int) -> None:
        """Only ever longer."""
        self.listing.tell(lc.ExtendWindow(at(self.seconds + later), self.now))

    @backstage
    @rule(reason=st.sampled_from(["host", "stream_ended"]))
    def close(self, reason: str) -> None:
        """By hand or with the show."""
        self.listing.tell(lc.CloseWindow(reason, self.now))
        assert self.state.window is None or self.state.window.phase(self.now) is Phase.CLOSED

    @backstage
    @rule(name=st.sampled_from(sorted(FLASH)), start=st.booleans())
    def discount(self, name: str, start: bool) -> None:
        """Start or stop one."""
        self.listing.tell(lc.ScheduleDiscount(FLASH[name]) if start else lc.EndDiscount(name))

    @precondition(lambda self: self.seconds > 2000)
    @rule()
    def withdraw(self) -> None:
        """Late, or there would be no evening."""
        self.listing.tell(lc.WithdrawListing("recall"))

    # what is always true

    @rule()
    def nothing_with_an_id_is_done_twice(self) -> None:
        """However much later it is repeated."""
        self.listing.repeat_all()

    @invariant()
    def the_state_is_the_fold_of_the_history(self) -> None:
        """Loading from the beginning gives what was kept in memory."""
        self.listing.holds()

    @invariant()
    def every_unit_is_somewhere(self) -> None:
        """And the ledger agrees with the book, and both with the history."""
        units, book = self.state.units, self.state.book
        assert units.conserved, units
        assert units.reserved == sum(hold.quantity for hold in book.holds.values())
        assert units.committed == sum(sale.quantity for sale in book.sales.values() if not sale.shipped)
        assert units.shipped == sum(sale.quantity for sale in book.sales.values() if sale.shipped)
        allotted = _sum(self.listing.of(li.StockAllotted)) + sum(
            each.delta for each in self.listing.of(li.StockAdjusted)
        )
        assert units.allotted == allotted - _sum(self.listing.of(li.OversellCovered))

    @invariant()
    def what_does_not_exist_is_not_for_sale(self) -> None:
        """As long as promised units are missing, nothing that comes free is offered to anybody else."""
        assert 0 <= self.state.short <= self.state.units.reserved + self.state.units.committed
        assert not (self.state.short and self.state.units.available)

    @invariant()
    def nothing_is_sold_that_was_not_given(self) -> None:
        """Recounted from the events alone: what buyers have or were promised is never more than the brand gave."""
        held = _sum(self.listing.of(li.UnitsReserved)) - _sum(self.listing.of(li.UnitsReleased))
        returned = [each for each in self.listing.of(li.UnitsReturned) if each.target is not Bucket.AVAILABLE]
        back = _sum(self.listing.of(li.UnitsReturned))
        gone = _sum(self.listing.of(li.AllotmentReturned)) + _sum(returned)
        assert held - back <= self.state.units.allotted - gone

    @invariant()
    def no_unit_comes_from_nowhere(self) -> None:
        """What is on the books and not missing was given or found, or was sent although it seemed to be missing."""
        given = _sum(self.listing.of(li.StockAllotted)) + sum(each.delta for each in self.listing.of(li.StockAdjusted))
        there = given - _sum(self.listing.of(li.OversellDeclared))
        assert self.state.units.allotted - self.state.short <= there + _sum(self.listing.of(li.UnitsShipped))

    @invariant()
    def every_buyer_is_counted_by_what_they_have(self) -> None:
        """Held, sold and sent, less what came back; nobody with nothing is on the list."""
        counted: Counter[str] = Counter()
        entries: list[Hold | Sale] = [*self.state.book.holds.values(), *self.state.book.sales.values()]
        for entry in entries:
            counted[entry.buyer_id] += entry.quantity
        assert dict(self.state.book.bought.items()) == {buyer: n for buyer, n in counted.items() if n}

    @invariant()
    def every_hold_has_its_deadline(self) -> None:
        """So none is forgotten."""
        deadlines = set(self.state.book.deadlines)
        assert {(hold.until, name) for name, hold in self.state.book.holds.items()} <= deadlines

    @invariant()
    def sold_out_is_told_when_it_is_so(self) -> None:
        """Viewers know whether something is left."""
        had_any = self.listing.of(li.StockAllotted, li.StockAdjusted)
        assert self.state.sold_out is (self.state.units.available == 0 and bool(had_any))

    @invariant()
    def discounts_are_used_within_their_limits(self) -> None:
        """In all and per buyer."""
        for name, used in self.state.discounted.items():
            flash, _, buyer = name.partition("/")
            limit = FLASH[flash].per_buyer_limit if buyer else FLASH[flash].total_limit
            assert 0 <= used <= (limit or used)

    @invariant()
    def windows_are_numbered_one_after_another(self) -> None:
        """A moved window keeps its number."""
        numbers = [each.number for each in self.listing.of(li.WindowScheduled)]
        assert all(after - before in (0, 1) for before, after in zip([0, *numbers], numbers, strict=False))


def _buyer(order: int) -> str:
    return f"buyer-{order % 3}"


def _sum(events: list[li.UnitsReserved]) -> int:
    return sum(event.quantity for event in events)


@depths
def test_every_unit_is_somewhere_whatever_happens(depth: settings) -> None:
    """Conserved, never oversold, counted per buyer, and nothing done twice, on random evenings."""
    run_state_machine_as_test(ListingWalk, settings=depth)
