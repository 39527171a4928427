"""What an order can be told to do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.ids import BuyerId, HostId, LineId, StreamId
from domain.listing.units import Disposition
from domain.order.events import AskedLine, Line
from domain.values import frozen


@frozen
class PlaceOrder:
    """Take an order whose units are reserved."""

    stream_id: StreamId
    buyer_id: BuyerId
    host_id: HostId
    terms_version: int
    currency: str
    lines: tuple[Line, ...]
    hold_expires_at: datetime
    now: datetime


@frozen
class RefuseOrder:
    """Note that an order could not be served, and why."""

    stream_id: StreamId
    buyer_id: BuyerId
    asked: tuple[AskedLine, ...]
    reason: str
    facts: Mapping[str, Any]
    arrival: int
    now: datetime


@frozen
class RequestPayment:
    """Ask for the order's payment before money moves; ``key`` is what the provider is asked under."""

    key: str
    now: datetime


@frozen
class CapturePayment:
    """Book a payment for which the units are committed; ``late`` when the hold was over and they were still there."""

    payment_id: str
    amount_minor: int
    late: bool
    now: datetime


@frozen
class OrphanPayment:
    """Book a payment that cannot be served, and give it back in full."""

    payment_id: str
    amount_minor: int
    reason: str
    now: datetime


@frozen
class FailPayment:
    """Note that a payment was declined; the hold goes on, another payment may follow."""

    payment_id: str
    reason: str


@frozen
class ExpireOrder:
    """Give up on an order that was not paid in time."""

    now: datetime


@frozen
class CancelOrder:
    """Call the order off before it is sent; what was paid is refunded."""

    now: datetime


@frozen
class CancelLine:
    """Take units out of the order before it is sent; what was paid for them is refunded."""

    cancellation_id: str
    line_id: LineId
    quantity: int
    now: datetime


@frozen
class ShipOrder:
    """Send the goods."""

    now: datetime


@frozen
class DeliverOrder:
    """Note the arrival; goods may be returned for ``hold_days``."""

    hold_days: int
    now: datetime


@frozen
class RequestReturn:
    """Announce that goods come back."""

    return_id: str
    line_id: LineId
    quantity: int
    now: datetime


@frozen
class ReceiveReturn:
    """Take returned goods in."""

    return_id: str
    disposition: Disposition


@frozen
class IssueRefund:
    """Give money back: for one line, or shared over all of them."""

    refund_id: str
    line_id: LineId | None
    amount_minor: int
    reason: str


@frozen
class CloseReturnWindow:
    """Complete the order: nothing can be returned any more."""

    now: datetime


@frozen
class RefuseRequest:
    """Note that something asked of the order was refused, so that asking again gets the same answer."""

    request: str
    reason: str
    facts: Mapping[str, Any]


Command = (
    PlaceOrder | RefuseOrder | RequestPayment | CapturePayment | OrphanPayment | FailPayment | ExpireOrder
    | CancelOrder | CancelLine | ShipOrder | DeliverOrder | RequestReturn | ReceiveReturn | IssueRefund
    | CloseReturnWindow | RefuseRequest
)  # fmt: skip
