"""What a command means for a listing: its offer, its stock and its windows. Units are judged in ``reservations``."""

from datetime import datetime
from typing import Final

from domain.ids import OrderId
from domain.listing import reservations
from domain.listing.commands import (
    AdjustStock,
    AllotStock,
    AnnounceWindow,
    CloseWindow,
    Command,
    CommitUnits,
    CreateListing,
    EndDiscount,
    ExtendWindow,
    ReacquireUnits,
    ReleaseUnits,
    ReserveUnits,
    ReturnAllotment,
    ReturnUnits,
    ScheduleDiscount,
    ScheduleWindow,
    SetPrice,
    SetPurchaseLimit,
    ShipUnits,
    WithdrawListing,
)
from domain.listing.events import (
    AllotmentReturned,
    CountdownStarted,
    DiscountEnded,
    DiscountScheduled,
    Event,
    ListingCreated,
    ListingWithdrawn,
    OversellDeclared,
    PriceSet,
    PurchaseLimitSet,
    StockAdjusted,
    StockAllotted,
    WindowClosed,
    WindowExtended,
    WindowOpened,
    WindowScheduled,
)
from domain.listing.offer import Discount, Phase, Window, require_discount, require_period, require_price
from domain.listing.refusals import ListingIsWithdrawn, PriceMayNotRise, StockIsPromised
from domain.listing.reservations import MAX_UNITS, expire, freed, require_quantity, sold_out
from domain.listing.state import Listing, fold, planned
from domain.listing.units import Hold, Sale
from domain.refusal import AlreadyExists, Invalid, NotAllowedNow, NotFound

MAX_HOLD_SECONDS: Final = 86_400


def decide(state: Listing, command: Command) -> list[Event]:
    """Return what a command means for a listing."""
    match command:
        case CreateListing() if not state.exists:
            return _create(command)
        case _ if not state.exists:
            raise NotFound("listing", "")
        case ReserveUnits() | CommitUnits() | ReleaseUnits() | ReacquireUnits() | ShipUnits() | ReturnUnits():
            return reservations.decide(state, command)
        case CreateListing():
            raise AlreadyExists("listing", "")
        case AllotStock() | ReturnAllotment() | AdjustStock():
            return _move_stock(state, command)
        case WithdrawListing(reason):
            return [] if state.offer.withdrawn else [ListingWithdrawn(reason)]
        case AnnounceWindow(number, now):
            return _announce(state, number, now)
        case CloseWindow(reason, now):
            return _close(state, reason, now)
        case EndDiscount(discount_id):
            running = any(each.discount_id == discount_id for each in state.offer.discounts)
            return [DiscountEnded(discount_id)] if running else []
        case _ if state.offer.withdrawn:
            raise ListingIsWithdrawn("")
        case SetPrice(price_minor, now):
            return _set_price(state, price_minor, now)
        case SetPurchaseLimit(limit):
            return _set_limit(state, limit)
        case ScheduleWindow():
            return _schedule(state, command)
        case ExtendWindow(closes_at, now):
            return _extend(state, closes_at, now)
        case ScheduleDiscount(discount):
            return _schedule_discount(state, discount)
        case _:  # pragma: no cover - every command is above
            raise NotAllowedNow(type(command).__name__, "")


def _create(command: CreateListing) -> list[Event]:
    require_price(command.price_minor)
    require_quantity(command.allotment, "allotment", least=0)
    if not 0 < command.hold_seconds <= MAX_HOLD_SECONDS:
        raise Invalid("hold_seconds", f"must be between 1 and {MAX_HOLD_SECONDS}")
    _require_components(command)
    created = ListingCreated(
        command.stream_id, command.sku, command.title, command.currency, command.price_minor, command.hold_seconds,
        command.components,
    )  # fmt: skip
    events: list[Event] = [created]
    if command.purchase_limit is not None:
        events += _set_limit(Listing(), command.purchase_limit)
    if command.allotment:
        events.append(StockAllotted(command.allotment, ""))
    return events


def _require_components(command: CreateListing) -> None:
    ids = [component.listing_id for component in command.components]
    if command.components and command.allotment:
        raise Invalid("allotment", "must be 0 for a look: its units are those of its components")
    if command.components and command.purchase_limit is not None:
        raise Invalid("purchase_limit", "belongs on the components of a look, where the units are")
    if len(set(ids)) != len(ids):
        raise Invalid("components", "must name each listing once")
    for component in command.components:
        require_quantity(component.quantity, "components.quantity")


_MOVES: Final = {AllotStock: "allot", ReturnAllotment: "return", AdjustStock: "adjust"}


def _move_stock(state: Listing, command: AllotStock | ReturnAllotment | AdjustStock) -> list[Event]:
    if not command.reference:
        raise Invalid("reference", "is needed, so that the same movement is booked once")
    booked = state.references.get(f"{_MOVES[type(command)]}/{command.reference}")
    if booked is not None:
        _require_the_same(command, booked)
        return []
    if state.offer.components:
        raise Invalid("quantity", "a look has no units of its own")
    match command:
        case AllotStock(quantity, reference):
            require_quantity(quantity, "quantity")
            require_quantity(state.units.allotted + quantity, "allotted")
            return [StockAllotted(quantity, reference), *freed(state, quantity)]
        case ReturnAllotment(quantity, reference, now):
            require_quantity(quantity, "quantity")
            released = expire(state, now)
            state = fold(state, released)
            _require_unpromised(state, quantity)
            return [*released, AllotmentReturned(quantity, reference), *sold_out(state, quantity)]
        case AdjustStock(now=now):
            released = expire(state, now)
            return [*released, *_adjust(fold(state, released), command)]


def _require_the_same(command: AllotStock | ReturnAllotment | AdjustStock, booked: int) -> None:
    quantity = command.delta if isinstance(command, AdjustStock) else command.quantity
    if quantity != booked:
        raise Invalid("reference", f"was booked for {booked} units: another movement needs another reference")


def _require_unpromised(state: Listing, quantity: int) -> None:
    if quantity > state.units.available:
        raise StockIsPromised(state.units.available, state.units.reserved + state.units.committed)


def _adjust(state: Listing, command: AdjustStock) -> list[Event]:
    """Take from what is for sale; what is missing beyond it breaks orders, the newest first."""
    if not 0 < abs(command.delta) <= MAX_UNITS:
        raise Invalid("delta", f"must be between 1 and {MAX_UNITS}, or negative")
    if command.delta > 0:
        require_quantity(state.units.allotted + command.delta, "allotted")
        return [StockAdjusted(command.delta, command.reason, command.reference), *freed(state, command.delta)]
    if not command.force:
        _require_unpromised(state, -command.delta)
    taken = min(-command.delta, state.units.available)
    missing = -command.delta - taken
    promised = state.units.reserved + state.units.committed - state.short
    if missing > promised:
        raise Invalid("delta", f"must be at least {-taken - promised}: there are no more units to lose")
    events: list[Event] = [StockAdjusted(-taken, command.reason, command.reference), *sold_out(state, taken)]
    if missing:
        events.append(OversellDeclared(missing, _broken(state, state.short + missing), command.reference))
    return events


def _broken(state: Listing, missing: int) -> tuple[OrderId, ...]:
    """Name the orders that miss out: latest holds first, then unshipped sales, until the shortfall is covered."""
    holds = sorted(state.book.holds.items(), key=lambda item: (item[1].until, item[0]), reverse=True)
    sales = sorted(state.book.sales.items(), reverse=True)
    promised: list[Hold | Sale] = [
        *(hold for _, hold in holds),
        *(sale for _, sale in sales if sale.quantity and not sale.shipped),
    ]
    orders: list[OrderId] = []
    for each in promised:
        if missing <= 0:
            break
        orders.append(each.order_id)
        missing -= each.quantity
    return tuple(dict.fromkeys(orders))


def _set_price(state: Listing, price_minor: int, now: datetime) -> list[Event]:
    require_price(price_minor)
    if price_minor == state.offer.price_minor:
        return []
    seen = state.window is not None and state.window.phase(now) in (Phase.COUNTDOWN, Phase.OPEN)
    if seen and price_minor > state.offer.price_minor:
        raise PriceMayNotRise(state.offer.price_minor)
    return [PriceSet(price_minor)]


def _set_limit(state: Listing, limit: int | None) -> list[Event]:
    if limit is not None:
        require_quantity(limit, "purchase_limit")
    return [] if limit == state.offer.purchase_limit else [PurchaseLimitSet(limit)]


def _schedule(state: Listing, command: ScheduleWindow) -> list[Event]:
    """Plan the next window, or move the one to come; viewers who count down to it see that it was moved."""
    require_period(command.opens_at, command.closes_at, command.countdown_seconds)
    window = state.window
    if window is None or window.phase(command.now) is Phase.CLOSED:
        over = _announcements(window, command.now) if window else []
        return [*over, *_planned(command, window.number + 1 if window else 1)]
    if window.phase(command.now) is Phase.OPEN:
        if command.opens_at <= command.now and command.closes_at == window.closes_at:
            return []
        raise NotAllowedNow("schedule_window", Phase.OPEN)
    asked = (command.opens_at, command.closes_at, command.countdown_seconds)
    if asked == (window.opens_at, window.closes_at, window.countdown_seconds):
        return []
    return _planned(command, window.number)


def _planned(command: ScheduleWindow, number: int) -> list[Event]:
    if command.closes_at is not None and command.closes_at <= command.now:
        raise Invalid("closes_at", "must be in the future")
    scheduled = WindowScheduled(number, command.opens_at, command.closes_at, command.countdown_seconds)
    return [scheduled, *_announcements(planned(scheduled), command.now)]


def _announce(state: Listing, number: int, now: datetime) -> list[Event]:
    """Note the window's progress; a timer that comes early, late or twice adds nothing."""
    if state.window is None or state.window.number != number:
        return []
    return _announcements(state.window, now)


def _announcements(window: Window, now: datetime) -> list[Event]:
    phase, told = window.phase(now), window.announced
    events: list[Event] = []
    if told is Phase.SCHEDULED and phase is not Phase.SCHEDULED and window.countdown_seconds:
        events.append(CountdownStarted(window.number, window.opens_at))
    if told in (Phase.SCHEDULED, Phase.COUNTDOWN) and phase in (Phase.OPEN, Phase.CLOSED):
        events.append(WindowOpened(window.number, window.opens_at))
    if told is not Phase.CLOSED and phase is Phase.CLOSED:
        events.append(WindowClosed(window.number, window.closes_at or now, "deadline"))
    return events


def _extend(state: Listing, closes_at: datetime, now: datetime) -> list[Event]:
    window = state.window
    if window is None or window.phase(now) is Phase.CLOSED or window.closes_at is None:
        raise NotAllowedNow("extend_window", state.status(now))
    if closes_at < window.closes_at:
        raise Invalid("closes_at", "a window can only be extended")
    return [] if closes_at == window.closes_at else [WindowExtended(window.number, closes_at)]


def _close(state: Listing, reason: str, now: datetime) -> list[Event]:
    if state.window is None or state.window.announced is Phase.CLOSED:
        return []
    if state.window.phase(now) is Phase.CLOSED:
        return _announcements(state.window, now)
    return [WindowClosed(state.window.number, now, reason)]


def _schedule_discount(state: Listing, discount: Discount) -> list[Event]:
    require_discount(discount)
    if state.offer.components and (discount.total_limit or discount.per_buyer_limit):
        raise Invalid("discount", "a look's discount has no limits: its units are counted on its components")
    if discount.discount_id in state.offer.ended_discounts:
        return []
    known = {each.discount_id: each for each in state.offer.discounts}
    if discount.discount_id in known:
        if known[discount.discount_id] == discount:
            return []
        raise AlreadyExists("discount", discount.discount_id)
    return [DiscountScheduled(discount)]
