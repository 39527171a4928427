"""What can happen to a listing."""

from datetime import datetime

from domain.ids import BuyerId, HostId, OrderId, ReservationId, StreamId
from domain.listing.offer import Component, Discount
from domain.listing.units import Bucket, Disposition
from domain.values import frozen


@frozen
class ListingCreated:
    """A product is offered in a show."""

    stream_id: StreamId
    sku: str
    title: str
    currency: str
    price_minor: int
    hold_seconds: int
    components: tuple[Component, ...] = ()


@frozen
class StockAllotted:
    """The brand gave units."""

    quantity: int
    reference: str


@frozen
class AllotmentReturned:
    """Units went back to the brand unsold."""

    quantity: int
    reference: str


@frozen
class StockAdjusted:
    """A count was corrected."""

    delta: int
    reason: str
    reference: str


@frozen
class OversellDeclared:
    """Units that were promised do not exist; these orders cannot all be served."""

    quantity: int
    order_ids: tuple[OrderId, ...]
    reference: str


@frozen
class OversellCovered:
    """Units that were promised, do not exist and came free: they fill the gap instead of being sold again."""

    quantity: int


@frozen
class PriceSet:
    """The list price changed."""

    price_minor: int


@frozen
class PurchaseLimitSet:
    """What one buyer may hold and buy was bounded."""

    limit: int | None


@frozen
class WindowScheduled:
    """A period of sale was planned or moved."""

    number: int
    opens_at: datetime
    closes_at: datetime | None
    countdown_seconds: int


@frozen
class CountdownStarted:
    """Viewers see the seconds; the price may not rise any more."""

    number: int
    opens_at: datetime


@frozen
class WindowOpened:
    """The window is open."""

    number: int
    opened_at: datetime


@frozen
class WindowExtended:
    """The window will close later than was said."""

    number: int
    closes_at: datetime


@frozen
class WindowClosed:
    """The window is closed: ``deadline``, ``host`` or ``stream_ended``, also by a show that was called off."""

    number: int
    closed_at: datetime
    reason: str


@frozen
class DiscountScheduled:
    """A lower price for a while."""

    discount: Discount


@frozen
class DiscountEnded:
    """A discount was stopped."""

    discount_id: str


@frozen
class UnitsReserved:
    """Units are held for an order line until its deadline, at this price."""

    reservation_id: ReservationId
    order_id: OrderId
    buyer_id: BuyerId
    host_id: HostId
    quantity: int
    unit_price_minor: int
    list_price_minor: int
    amount_minor: int
    until: datetime
    discount_id: str | None = None


@frozen
class UnitsReleased:
    """Held units are for sale again: ``expired``, ``cancelled``, ``payment_failed``."""

    reservation_id: ReservationId
    quantity: int
    reason: str


@frozen
class UnitsCommitted:
    """Units are sold: paid, not yet sent."""

    reservation_id: ReservationId
    order_id: OrderId
    stream_id: StreamId
    buyer_id: BuyerId
    host_id: HostId
    quantity: int
    amount_minor: int


@frozen
class UnitsShipped:
    """Sold units are on their way."""

    reservation_id: ReservationId
    quantity: int


@frozen
class UnitsReturned:
    """Sold units came back, or never left; ``target`` is the bucket they are in now."""

    reservation_id: ReservationId
    return_id: str
    order_id: OrderId
    stream_id: StreamId
    buyer_id: BuyerId
    host_id: HostId
    quantity: int
    disposition: Disposition
    source: Bucket
    target: Bucket


@frozen
class ListingSoldOut:
    """Nothing is left to reserve; holds may still bring units back."""


@frozen
class ListingBackInStock:
    """There is something to reserve again."""


@frozen
class ListingWithdrawn:
    """The product is out of the show for good."""

    reason: str


Event = (
    ListingCreated | StockAllotted | AllotmentReturned | StockAdjusted | OversellDeclared | OversellCovered | PriceSet
    | PurchaseLimitSet | WindowScheduled | CountdownStarted | WindowOpened | WindowExtended | WindowClosed
    | DiscountScheduled | DiscountEnded | UnitsReserved | UnitsReleased | UnitsCommitted | UnitsShipped | UnitsReturned
    | ListingSoldOut | ListingBackInStock | ListingWithdrawn
)  # fmt: skip
