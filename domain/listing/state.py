"""What the rules need to know of a listing, and how each event changes it."""

from collections.abc import Iterable
from datetime import datetime

from attrs import evolve as changed

from domain.ids import BuyerId, StreamId
from domain.listing.events import (
    AllotmentReturned,
    CountdownStarted,
    DiscountEnded,
    DiscountScheduled,
    Event,
    ListingBackInStock,
    ListingCreated,
    ListingSoldOut,
    ListingWithdrawn,
    OversellCovered,
    OversellDeclared,
    PriceSet,
    PurchaseLimitSet,
    StockAdjusted,
    StockAllotted,
    UnitsCommitted,
    UnitsReleased,
    UnitsReserved,
    UnitsReturned,
    UnitsShipped,
    WindowClosed,
    WindowExtended,
    WindowOpened,
    WindowScheduled,
)
from domain.listing.offer import Component, Discount, Phase, Quote, Window, best_quote
from domain.listing.units import Book, Bucket, Hold, Units
from domain.persistent import Map
from domain.values import frozen


@frozen
class Offer:
    """What is sold, in which show, for how much."""

    stream_id: StreamId = ""
    sku: str = ""
    title: str = ""
    currency: str = ""
    price_minor: int = 0
    hold_seconds: int = 0
    purchase_limit: int | None = None
    components: tuple[Component, ...] = ()
    discounts: tuple[Discount, ...] = ()
    ended_discounts: tuple[str, ...] = ()
    withdrawn: bool = False


@frozen
class Listing:
    """What the rules need to know of a listing."""

    offer: Offer = Offer()
    window: Window | None = None
    units: Units = Units()
    book: Book = Book()
    sold_out: bool = False
    """Whether viewers were last told that nothing is left."""
    short: int = 0
    """Promised units that do not exist, as a forced cut has shown."""
    discounted: Map[str, int] = Map()
    """Units sold at each discount, and at each discount to each buyer."""
    references: Map[str, int] = Map()
    """Stock movements already booked, and of how many units."""

    @property
    def exists(self) -> bool:
        """Whether it was ever created."""
        return bool(self.offer.stream_id)

    def status(self, now: datetime) -> str:
        """Say where the listing stands at an instant."""
        if self.offer.withdrawn:
            return "withdrawn"
        if self.window is None:
            return "draft"
        phase = self.window.phase(now)
        return "sold_out" if phase is Phase.OPEN and self.sold_out else phase.value

    def with_units(self, units: Units, book: Book, discounted: Map[str, int] | None = None) -> "Listing":
        """Return the listing after units moved. Every order comes by: written out, it takes a third of ``changed``."""
        return Listing(
            self.offer, self.window, units, book, self.sold_out, self.short,
            self.discounted if discounted is None else discounted, self.references,
        )  # fmt: skip

    def quote(self, now: datetime, buyer_id: BuyerId, quantity: int) -> Quote:
        """Return the unit price for a buyer's whole demand at an instant."""
        if not self.offer.discounts:
            return Quote(self.offer.price_minor)

        def room(discount: Discount) -> bool:
            return self._has_room(discount, buyer_id, quantity)

        return best_quote(self.offer.price_minor, self.offer.discounts, now, room)

    def gives_again(self, discount_id: str | None, buyer_id: BuyerId, quantity: int) -> bool:
        """Tell whether a discount once given could be given again: its time may be over, but it was not called off."""
        if discount_id is None:
            return True
        named = [each for each in self.offer.discounts if each.discount_id == discount_id]
        return any(self._has_room(each, buyer_id, quantity) for each in named)

    def _has_room(self, discount: Discount, buyer_id: BuyerId, quantity: int) -> bool:
        used = self.discounted.get(discount.discount_id, 0)
        used_by_buyer = self.discounted.get(f"{discount.discount_id}/{buyer_id}", 0)
        return (discount.total_limit is None or used + quantity <= discount.total_limit) and (
            discount.per_buyer_limit is None or used_by_buyer + quantity <= discount.per_buyer_limit
        )


def evolve(state: Listing, event: Event) -> Listing:
    """Return the listing after an event."""
    match event:
        case UnitsReserved():
            return state.with_units(
                state.units.moved(event.quantity, Bucket.AVAILABLE, Bucket.RESERVED),
                state.book.hold(event.reservation_id, hold_of(event)),
                _count(state, event.discount_id, event.buyer_id, event.quantity),
            )
        case UnitsReleased(reservation_id, quantity):
            hold = state.book.holds[reservation_id]
            return state.with_units(
                state.units.moved(quantity, Bucket.RESERVED, Bucket.AVAILABLE),
                state.book.release(reservation_id, quantity),
                _count(state, hold.discount_id, hold.buyer_id, -quantity),
            )
        case UnitsCommitted(reservation_id):
            units = state.units.moved(event.quantity, Bucket.RESERVED, Bucket.COMMITTED)
            return state.with_units(units, state.book.commit(reservation_id))
        case UnitsShipped(reservation_id, quantity):
            units = state.units.moved(quantity, Bucket.COMMITTED, Bucket.SHIPPED)
            return changed(state, units=units, book=state.book.ship(reservation_id), short=_still_short(state, units))
        case UnitsReturned():
            return _taken_back(state, event)
        case ListingSoldOut():
            return changed(state, sold_out=True)
        case ListingBackInStock():
            return changed(state, sold_out=False)
        case StockAllotted(quantity, reference):
            return _booked(state, f"allot/{reference}", quantity, state.units.allot(quantity))
        case AllotmentReturned(quantity, reference):
            units = state.units.moved(quantity, Bucket.AVAILABLE, Bucket.RETURNED_TO_SOURCE)
            return _booked(state, f"return/{reference}", quantity, units)
        case StockAdjusted(delta, _, reference):
            return _booked(state, f"adjust/{reference}", delta, state.units.allot(delta))
        case OversellDeclared(quantity, _, reference):
            cut = state.references.get(f"adjust/{reference}", 0) - quantity
            return changed(_booked(state, f"adjust/{reference}", cut, state.units), short=state.short + quantity)
        case OversellCovered(quantity):
            return changed(state, short=state.short - quantity, units=state.units.allot(-quantity))
        case WindowScheduled():
            return changed(state, window=planned(event))
        case CountdownStarted():
            return _announced(state, Phase.COUNTDOWN)
        case WindowOpened():
            return _announced(state, Phase.OPEN)
        case WindowExtended(_, closes_at):
            return changed(state, window=state.window and changed(state.window, closes_at=closes_at))
        case WindowClosed(_, closed_at):
            window = state.window and changed(state.window, closes_at=closed_at, announced=Phase.CLOSED)
            return changed(state, window=window)
        case _:
            return changed(state, offer=_offered(state.offer, event))


def _offered(offer: Offer, event: Event) -> Offer:
    match event:
        case ListingCreated():
            return Offer(
                event.stream_id, event.sku, event.title, event.currency, event.price_minor, event.hold_seconds,
                components=event.components,
            )  # fmt: skip
        case PriceSet(price_minor):
            return changed(offer, price_minor=price_minor)
        case PurchaseLimitSet(limit):
            return changed(offer, purchase_limit=limit)
        case DiscountScheduled(discount):
            return changed(offer, discounts=(*offer.discounts, discount))
        case DiscountEnded(discount_id):
            left = tuple(each for each in offer.discounts if each.discount_id != discount_id)
            return changed(offer, discounts=left, ended_discounts=(*offer.ended_discounts, discount_id))
        case ListingWithdrawn():
            return changed(offer, withdrawn=True)
        case _:
            return offer


def _taken_back(state: Listing, event: UnitsReturned) -> Listing:
    """What comes back for sale fills a gap by an event of its own."""
    units = state.units.moved(event.quantity, event.source, event.target)
    sale = state.book.sales[event.reservation_id]
    return changed(
        state,
        units=units,
        book=state.book.take_back(event.reservation_id, event.return_id, event.quantity),
        short=state.short if event.target is Bucket.AVAILABLE else _still_short(state, units),
        discounted=_count(state, sale.discount_id, sale.buyer_id, -event.quantity),
    )


def _still_short(state: Listing, units: Units) -> int:
    """Only promised units can be missing: what was sent did exist after all."""
    return min(state.short, units.reserved + units.committed)


def _booked(state: Listing, reference: str, quantity: int, units: Units) -> Listing:
    return changed(state, units=units, references=state.references.set(reference, quantity))


def hold_of(event: UnitsReserved) -> Hold:
    """Return the hold that a reservation makes."""
    return Hold(
        event.order_id, event.buyer_id, event.host_id, event.quantity, event.until, event.quantity, event.amount_minor,
        event.discount_id,
    )  # fmt: skip


def planned(event: WindowScheduled) -> Window:
    """Return the window that an announcement plans."""
    return Window(event.number, event.opens_at, event.closes_at, event.countdown_seconds)


def _announced(state: Listing, phase: Phase) -> Listing:
    return changed(state, window=state.window and changed(state.window, announced=phase))


def _count(state: Listing, discount_id: str | None, buyer_id: BuyerId, quantity: int) -> Map[str, int]:
    counts = state.discounted
    if discount_id is None:
        return counts
    for key in (discount_id, f"{discount_id}/{buyer_id}"):
        counts = counts.set(key, counts.get(key, 0) + quantity)
    return counts


def fold(state: Listing, events: Iterable[Event]) -> Listing:
    """Return the listing after several events."""
    for event in events:
        state = evolve(state, event)
    return state
