"""Who gets the units: the hot rules of a listing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from domain.ids import BuyerId, ReservationId
from domain.listing.commands import (
    CommitUnits,
    ReacquireUnits,
    ReleaseUnits,
    ReserveUnits,
    ReturnUnits,
    ShipUnits,
    Want,
)
from domain.listing.events import (
    Event,
    ListingBackInStock,
    ListingSoldOut,
    OversellCovered,
    UnitsCommitted,
    UnitsReleased,
    UnitsReserved,
    UnitsReturned,
    UnitsShipped,
)
from domain.listing.offer import Phase, Quote
from domain.listing.refusals import (
    HoldExpired,
    ListingIsWithdrawn,
    PriceChanged,
    PurchaseLimitExceeded,
    SoldOut,
    WindowIsClosed,
    WindowNotOpen,
)
from domain.listing.state import Listing, evolve, fold, hold_of
from domain.listing.units import Bucket, Disposition, Hold
from domain.refusal import Invalid, NotAllowedNow, NotFound

MAX_UNITS: Final = 10**9


UnitCommand = ReserveUnits | ReleaseUnits | CommitUnits | ReacquireUnits | ShipUnits | ReturnUnits


def decide(state: Listing, command: UnitCommand) -> list[Event]:
    """Return what a command means for a listing's units."""
    match command:
        case ReserveUnits():
            return _reserve(state, command)
        case CommitUnits(reservation_id, now):
            return _commit(state, reservation_id, now)
        case ReleaseUnits():
            return _release(state, command)
        case ReacquireUnits():
            return _reacquire(state, command)
        case ShipUnits(reservation_id):
            return _ship(state, reservation_id)
        case ReturnUnits():
            return _return(state, command)


def _reserve(state: Listing, command: ReserveUnits) -> list[Event]:
    """Judge the whole demand of an order on this listing at once, on what is left when expired holds are gone."""
    for want in command.wants:
        require_quantity(want.quantity, "quantity")
    wants = _unserved(state, command.wants)
    if not wants:
        return []
    if state.offer.withdrawn:
        raise ListingIsWithdrawn("")
    released = expire(state, command.now)
    if released:
        state = fold(state, released)
        wants = _unserved(state, command.wants)  # what has just expired of this very order is wanted anew
    by_itself = sum([want.quantity for want in wants if want.amount_minor is None])
    if by_itself:
        _require_open(state, command.now)
    demand = sum([want.quantity for want in wants])
    quote = state.quote(command.now, command.buyer_id, by_itself)
    _require_seen_price(wants, quote)
    _require_room(state, command.buyer_id, demand)
    until = command.now + timedelta(seconds=state.offer.hold_seconds)
    reserved = [_reserved(state, command, want, quote, until) for want in wants]
    return [*released, *reserved, *sold_out(state, demand)]


def _unserved(state: Listing, wants: Sequence[Want]) -> list[Want]:
    """Return what is neither held nor sold yet: the same reservation again is done already."""
    holds, sales = state.book.holds, state.book.sales
    left = [each for each in wants if each.reservation_id not in holds and each.reservation_id not in sales]
    if len(left) > 1 and len({each.reservation_id for each in left}) != len(left):
        raise Invalid("reservation_id", "must name each line's units once")
    return left


def quote_look(state: Listing, now: datetime, buyer_id: BuyerId, quantity: int, seen: int | None) -> Quote:
    """Price a look by its own window and discounts; its components give the units. Raises like a reservation."""
    if state.offer.withdrawn:
        raise ListingIsWithdrawn("")
    _require_open(state, now)
    quote = state.quote(now, buyer_id, quantity)
    if seen not in (None, quote.unit_price_minor):
        raise PriceChanged("", seen or 0, quote.unit_price_minor)
    return quote


def _reserved(state: Listing, command: ReserveUnits, want: Want, quote: Quote, until: datetime) -> UnitsReserved:
    in_look = want.amount_minor is not None
    amount_minor = quote.unit_price_minor * want.quantity if want.amount_minor is None else want.amount_minor
    unit_price_minor = amount_minor // want.quantity if in_look else quote.unit_price_minor
    discount_id = None if in_look else quote.discount_id
    return UnitsReserved(
        want.reservation_id, command.order_id, command.buyer_id, command.host_id, want.quantity, unit_price_minor,
        state.offer.price_minor, amount_minor, until, discount_id,
    )  # fmt: skip


def _require_open(state: Listing, now: datetime) -> None:
    window = state.window
    if window is None:
        raise WindowNotOpen("", None)
    match window.phase(now):
        case Phase.CLOSED:
            raise WindowIsClosed("", window.closes_at)
        case Phase.SCHEDULED | Phase.COUNTDOWN:
            raise WindowNotOpen("", window.opens_at)


def _require_seen_price(wants: Sequence[Want], quote: Quote) -> None:
    for want in wants:
        if want.unit_price_seen not in (None, quote.unit_price_minor):
            raise PriceChanged("", want.unit_price_seen or 0, quote.unit_price_minor)


def _require_room(state: Listing, buyer_id: BuyerId, demand: int) -> None:
    held, limit = state.book.bought.get(buyer_id, 0), state.offer.purchase_limit
    if limit is not None and held + demand > limit:
        raise PurchaseLimitExceeded("", limit, held)
    if demand > state.units.available:
        raise SoldOut("", state.units.available)


def expire(state: Listing, now: datetime) -> list[Event]:
    """Release the holds whose deadline has come, so that nobody is refused units that nobody has."""
    expired = state.book.expired(now)
    if not expired:
        return []
    released: list[Event] = [UnitsReleased(each, hold.quantity, "expired") for each, hold in expired]
    return [*released, *freed(state, sum(hold.quantity for _, hold in expired))]


def _release(state: Listing, command: ReleaseUnits) -> list[Event]:
    hold = state.book.holds.get(command.reservation_id)
    if hold is None:
        if command.reservation_id in state.book.sales:
            raise NotAllowedNow("release_units", "committed")
        return []
    if command.keep < 0:
        raise Invalid("keep", "must not be negative")
    gone = hold.quantity - command.keep
    if gone <= 0:
        return []
    return [UnitsReleased(command.reservation_id, gone, command.reason), *freed(state, gone)]


def _commit(state: Listing, reservation_id: ReservationId, now: datetime) -> list[Event]:
    """A payment wins iff it reached us before the deadline."""
    if reservation_id in state.book.sales:
        return []
    hold = state.book.holds.get(reservation_id)
    if hold is None or now >= hold.until:
        raise HoldExpired(None if hold is None else hold.until)
    return [_committed(state, reservation_id, hold)]


def _committed(state: Listing, reservation_id: ReservationId, hold: Hold) -> UnitsCommitted:
    return UnitsCommitted(
        reservation_id, hold.order_id, state.offer.stream_id, hold.buyer_id, hold.host_id, hold.quantity,
        hold.amount_minor,
    )  # fmt: skip


def _reacquire(state: Listing, command: ReacquireUnits) -> list[Event]:
    """Serve a late payment as if the hold had lasted, but never at the cost of somebody else's units."""
    if command.reservation_id in state.book.sales:
        return []
    if state.offer.withdrawn:
        raise ListingIsWithdrawn("")
    released = expire(state, command.now)
    state = fold(state, released)
    if (hold := state.book.holds.get(command.reservation_id)) is not None:
        return [*released, _committed(state, command.reservation_id, hold)]
    _require_room(state, command.buyer_id, command.quantity)
    if not state.gives_again(command.discount_id, command.buyer_id, command.quantity):
        raise PriceChanged("", command.unit_price_minor, state.offer.price_minor)
    again = UnitsReserved(
        command.reservation_id, command.order_id, command.buyer_id, command.host_id, command.quantity,
        command.unit_price_minor, state.offer.price_minor, command.amount_minor, command.now, command.discount_id,
    )  # fmt: skip
    committed = _committed(evolve(state, again), command.reservation_id, hold_of(again))
    return [*released, again, committed, *sold_out(state, command.quantity)]


def _ship(state: Listing, reservation_id: ReservationId) -> list[Event]:
    sale = state.book.sales.get(reservation_id)
    if sale is None:
        raise NotFound("reservation", reservation_id)
    return [] if sale.shipped or not sale.quantity else [UnitsShipped(reservation_id, sale.quantity)]


def _return(state: Listing, command: ReturnUnits) -> list[Event]:
    """Put units back on sale only when they are sound and the show still runs; else to the brand, or aside."""
    sale = state.book.sales.get(command.reservation_id)
    if sale is None:
        raise NotFound("reservation", command.reservation_id)
    if command.return_id in sale.returns:
        return []
    require_quantity(command.quantity, "quantity")
    if command.quantity > sale.quantity:
        raise Invalid("quantity", f"must be at most {sale.quantity}, what the buyer has")
    source = Bucket.SHIPPED if sale.shipped else Bucket.COMMITTED
    target = Bucket.RETURNED_TO_SOURCE if command.show_is_over or state.offer.withdrawn else Bucket.AVAILABLE
    if command.disposition is Disposition.DAMAGED:
        target = Bucket.UNAVAILABLE
    for_sale = command.quantity
    if target is not Bucket.AVAILABLE:  # what was not sent yet may not exist, and cannot go anywhere
        for_sale = 0 if sale.shipped else min(state.short, command.quantity)
    events: list[Event] = []
    for quantity, goes_to in ((for_sale, Bucket.AVAILABLE), (command.quantity - for_sale, target)):
        if quantity:
            events.append(UnitsReturned(
                command.reservation_id, command.return_id, sale.order_id, state.offer.stream_id, sale.buyer_id,
                sale.host_id, quantity, command.disposition, source, goes_to,
            ))  # fmt: skip
            events += freed(state, quantity) if goes_to is Bucket.AVAILABLE else []
    return events


def freed(state: Listing, quantity: int) -> list[Event]:
    """Return what follows when units come free: they fill the gap of an oversell first; the rest is for sale again."""
    covering = min(state.short, quantity)
    covered: list[Event] = [OversellCovered(covering)] if covering else []
    return [*covered, *([ListingBackInStock()] if state.sold_out and quantity > covering else [])]


def sold_out(state: Listing, quantity: int) -> list[Event]:
    """Say so when the last available units go."""
    gone = state.units.available - quantity <= 0 and not state.sold_out and quantity
    return [ListingSoldOut()] if gone else []


def require_quantity(quantity: int, field: str, least: int = 1) -> None:
    """Refuse counts of units that are not positive or beyond any warehouse."""
    if not least <= quantity <= MAX_UNITS:
        raise Invalid(field, f"must be between {least} and {MAX_UNITS}")
