"""What a listing can be told to do."""

from datetime import datetime

from domain.ids import BuyerId, HostId, OrderId, ReservationId, StreamId
from domain.listing.offer import Component, Discount
from domain.listing.units import Disposition
from domain.values import frozen


@frozen
class CreateListing:
    """Offer a product in a show; a look names its components and has no allotment."""

    stream_id: StreamId
    sku: str
    title: str
    currency: str
    price_minor: int
    allotment: int
    hold_seconds: int
    purchase_limit: int | None = None
    components: tuple[Component, ...] = ()


@frozen
class AllotStock:
    """The brand gives more units."""

    quantity: int
    reference: str


@frozen
class ReturnAllotment:
    """Give units that nobody holds back to the brand."""

    quantity: int
    reference: str
    now: datetime


@frozen
class AdjustStock:
    """Correct a count; cutting below what is promised must be forced, and says whose orders it breaks."""

    delta: int
    reason: str
    reference: str
    now: datetime
    force: bool = False


@frozen
class SetPrice:
    """Change the list price."""

    price_minor: int
    now: datetime


@frozen
class SetPurchaseLimit:
    """Bound what one buyer may hold and buy; None for no limit."""

    limit: int | None


@frozen
class ScheduleWindow:
    """Plan a period of sale, or move one that has not opened."""

    opens_at: datetime
    closes_at: datetime | None
    countdown_seconds: int
    now: datetime


@frozen
class AnnounceWindow:
    """Note what the clock has made of the window: its countdown began, it opened, it closed."""

    number: int
    now: datetime


@frozen
class ExtendWindow:
    """Let a window close later."""

    closes_at: datetime
    now: datetime


@frozen
class CloseWindow:
    """Close the window by hand or because the show ended."""

    reason: str
    now: datetime


@frozen
class ScheduleDiscount:
    """Sell for less for a while."""

    discount: Discount


@frozen
class EndDiscount:
    """Stop a discount before its time."""

    discount_id: str


@frozen
class Want:
    """What one order line asks of a listing; ``unit_price_seen`` is what the buyer was shown."""

    reservation_id: ReservationId
    quantity: int
    unit_price_seen: int | None = None
    amount_minor: int | None = None
    """Set for a component of a look: its share of the look's price."""


@frozen
class ReserveUnits:
    """Hold units for an order's lines, all or none."""

    wants: tuple[Want, ...]
    order_id: OrderId
    buyer_id: BuyerId
    host_id: HostId
    now: datetime


@frozen
class ReleaseUnits:
    """Let go of held units, down to ``keep``."""

    reservation_id: ReservationId
    reason: str
    keep: int = 0


@frozen
class CommitUnits:
    """Sell held units: they are paid."""

    reservation_id: ReservationId
    now: datetime


@frozen
class ReacquireUnits:
    """Sell units whose hold is over to the one who held them, at the frozen price, if they are still there."""

    reservation_id: ReservationId
    order_id: OrderId
    buyer_id: BuyerId
    host_id: HostId
    quantity: int
    unit_price_minor: int
    amount_minor: int
    discount_id: str | None
    now: datetime


@frozen
class ShipUnits:
    """Send sold units to their buyer."""

    reservation_id: ReservationId


@frozen
class ReturnUnits:
    """Take sold units back: cancelled before shipping, or received after it."""

    reservation_id: ReservationId
    return_id: str
    quantity: int
    disposition: Disposition
    show_is_over: bool


@frozen
class WithdrawListing:
    """Take the product out of the show for good."""

    reason: str


Command = (
    CreateListing | AllotStock | ReturnAllotment | AdjustStock | SetPrice | SetPurchaseLimit | ScheduleWindow
    | AnnounceWindow | ExtendWindow | CloseWindow | ScheduleDiscount | EndDiscount | ReserveUnits | ReleaseUnits
    | CommitUnits | ReacquireUnits | ShipUnits | ReturnUnits | WithdrawListing
)  # fmt: skip
