"""What can happen to an order."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.ids import BuyerId, HostId, LineId, ListingId, StreamId
from domain.listing.units import Disposition
from domain.values import frozen


@frozen
class Line:
    """Units of one listing at a frozen price; ``amount_minor`` is the price of all of them."""

    line_id: LineId
    listing_id: ListingId
    quantity: int
    unit_price_minor: int
    list_price_minor: int
    amount_minor: int
    discount_id: str | None = None
    look_id: ListingId | None = None
    """The look it was bought as part of; the line then bears its share of the look's price."""


@frozen
class AskedLine:
    """What a refused order asked for: demand that went unserved."""

    listing_id: ListingId
    quantity: int


@frozen
class Allocation:
    """A refund's part on one line."""

    line_id: LineId
    listing_id: ListingId
    amount_minor: int


@frozen
class OrderPlaced:
    """A buyer ordered; the units are reserved until the hold expires."""

    stream_id: StreamId
    buyer_id: BuyerId
    host_id: HostId
    """Who was on air: the sale is theirs."""
    terms_version: int
    """The commission terms in force, by their version on the stream."""
    currency: str
    lines: tuple[Line, ...]
    total_minor: int
    hold_expires_at: datetime
    placed_at: datetime


@frozen
class OrderRefused:
    """An order could not be served; ``arrival`` is its number at its till, so the queue can be replayed."""

    stream_id: StreamId
    buyer_id: BuyerId
    asked: tuple[AskedLine, ...]
    reason: str
    facts: Mapping[str, Any]
    arrival: int
    ingress_at: datetime


@frozen
class PaymentRequested:
    """The provider is about to be asked under ``key``; whatever it answers and whenever, it is asked again by it."""

    key: str
    amount_minor: int
    requested_at: datetime


@frozen
class PaymentCaptured:
    """The order is paid; ``late`` when the payment came after the hold but the units were still there."""

    payment_id: str
    amount_minor: int
    late: bool
    captured_at: datetime


@frozen
class PaymentFailed:
    """A payment was declined."""

    payment_id: str
    reason: str


@frozen
class PaymentOrphaned:
    """Money came for which nothing can be given any more; its refund follows."""

    payment_id: str
    amount_minor: int
    reason: str


@frozen
class OrderExpired:
    """The order was not paid in time."""

    expired_at: datetime


@frozen
class OrderCancelled:
    """The order was called off."""

    cancelled_at: datetime


@frozen
class LineCancelled:
    """Units were taken out of the order."""

    cancellation_id: str
    line_id: LineId
    quantity: int


@frozen
class OrderShipped:
    """The goods are on their way."""

    shipped_at: datetime


@frozen
class OrderDelivered:
    """The goods arrived; they may come back until the return window ends."""

    delivered_at: datetime
    return_window_ends_at: datetime


@frozen
class ReturnRequested:
    """Goods will come back."""

    return_id: str
    line_id: LineId
    quantity: int


@frozen
class ReturnReceived:
    """Goods came back."""

    return_id: str
    line_id: LineId
    quantity: int
    disposition: Disposition


@frozen
class RefundIssued:
    """Money goes back; the allocations say for which lines (none for an orphaned payment)."""

    refund_id: str
    payment_id: str
    stream_id: StreamId
    buyer_id: BuyerId
    host_id: HostId
    currency: str
    amount_minor: int
    reason: str
    allocations: tuple[Allocation, ...]


@frozen
class ReturnWindowClosed:
    """Nothing can be returned any more."""

    closed_at: datetime


@frozen
class OrderCompleted:
    """All is said and done."""


@frozen
class RequestRefused:
    """Something asked of the order was refused."""

    request: str
    reason: str
    facts: Mapping[str, Any]


Event = (
    OrderPlaced | OrderRefused | PaymentRequested | PaymentCaptured | PaymentFailed | PaymentOrphaned | OrderExpired
    | OrderCancelled | LineCancelled | OrderShipped | OrderDelivered | ReturnRequested | ReturnReceived | RefundIssued
    | ReturnWindowClosed | OrderCompleted | RequestRefused
)  # fmt: skip
