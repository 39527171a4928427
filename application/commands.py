"""What the shop can be asked to do.

Most commands concern one aggregate and are told to it as they are (``Tell``); a show that is told something takes its
hosts' presence along. The others touch several, and happen to all of them or to none.
"""

from datetime import datetime
from typing import Any

from attrs import field

from domain.ids import ListingId, OrderId, StreamId
from domain.listing.commands import CreateListing as CreateListingAlone
from domain.listing.offer import Discount
from domain.listing.units import Disposition
from domain.stream.events import EndReason
from domain.values import frozen

NOTHING: tuple[str, ...] = ()


@frozen
class _One:
    """Fits most commands: they create nothing and first look at their target only."""

    target: str

    @property
    def touches(self) -> tuple[str, ...]:
        """The target."""
        return (self.target,)

    @property
    def creates(self) -> tuple[str, ...]:
        """Nothing."""
        return NOTHING


@frozen
class Tell(_One):
    """Have one aggregate decide a command of its own."""

    command: Any
    new: bool = False
    """Whether this is the first thing it is told."""

    @property
    def creates(self) -> tuple[str, ...]:
        """The target, when it is new."""
        return (self.target,) if self.new else NOTHING


@frozen
class StartStream(_One):
    """Go on air; whoever presents the show must not be in another."""

    restart: bool = False


@frozen
class EndStream(_One):
    """Go off air and free whoever presents."""

    reason: EndReason


@frozen
class PinListing(_One):
    """Keep a listing of the show on the viewers' screen."""

    listing_id: ListingId

    @property
    def touches(self) -> tuple[str, ...]:
        """Show and listing."""
        return (self.target, self.listing_id)


@frozen
class Period:
    """When a listing is to be on sale."""

    opens_at: datetime
    closes_at: datetime | None
    countdown_seconds: int = 0


@frozen
class CreateListing(_One):
    """Offer a product in a show, with its first window and discount."""

    listing: CreateListingAlone
    period: Period | None = None
    discount: Discount | None = None

    @property
    def touches(self) -> tuple[str, ...]:
        """The show it is offered in, and what it is made of."""
        return (self.listing.stream_id, *(component.listing_id for component in self.listing.components))

    @property
    def creates(self) -> tuple[str, ...]:
        """The listing."""
        return (self.target,)


@frozen
class OpenWindow(_One):
    """Open a window now, or after a countdown from now."""

    closes_at: datetime | None = None
    countdown_seconds: int = 0


@frozen
class CloseWindow(_One):
    """Close the window of a listing; because its show is over, only if it is."""

    because_stream_ended: bool = False


@frozen
class AskLine:
    """What a buyer asks for."""

    listing_id: ListingId
    quantity: int
    unit_price_seen: int | None = None


@frozen
class PlaceOrder(_One):
    """Reserve all that is asked for, or refuse all of it."""

    stream_id: StreamId
    buyer_id: str
    lines: tuple[AskLine, ...]

    @property
    def touches(self) -> tuple[str, ...]:
        """The show and what is asked for."""
        return (self.stream_id, *[line.listing_id for line in self.lines])

    @property
    def creates(self) -> tuple[str, ...]:
        """The order."""
        return (self.target,)


@frozen
class RequestPayment(_One):
    """Note that an order is about to be paid, before money moves; refused when it could only be given back."""

    key: str = ""
    """What the provider will be asked under."""


@frozen
class CapturePayment(_One):
    """Money has come: give the units for it, or give it back."""

    payment_id: str
    amount_minor: int
    asked_at: datetime | None = None
    """When the provider was asked for it; unless told it came by itself."""


@frozen
class ExpireOrder(_One):
    """Give up an order whose hold is over, and put its units back on sale."""


@frozen
class CancelOrder(_One):
    """Call an order off before it is sent."""


@frozen
class CancelLine(_One):
    """Take units out of an order before it is sent."""

    cancellation_id: str
    line_id: str
    quantity: int


@frozen
class ShipOrder(_One):
    """Send an order."""


@frozen
class DeliverOrder(_One):
    """Note an order's arrival."""


@frozen
class ReceiveReturn(_One):
    """Take goods back in."""

    return_id: str
    disposition: Disposition


@frozen
class _OfOrder:
    """Fits what happens to all commissions of an order."""

    order_id: OrderId

    @property
    def target(self) -> str:
        """The order."""
        return self.order_id

    @property
    def touches(self) -> tuple[str, ...]:
        """The order; its commissions are known when it is."""
        return (self.order_id,)

    @property
    def creates(self) -> tuple[str, ...]:
        """Nothing without a look: what an order earned may have been booked before."""
        return NOTHING


@frozen
class AccrueCommissions(_OfOrder):
    """Book what a paid order earns, line by line and payee by payee."""


@frozen
class QualifyCommissions(_OfOrder):
    """Start the hold days of a delivered order's commissions."""


@frozen
class LockCommissions(_OfOrder):
    """Make the commissions of a completed order payable."""


@frozen
class ReviseCommissions(_OfOrder):
    """Take back what was earned on lines that were refunded."""

    line_ids: tuple[str, ...] = field(default=())
    reason: str = "refund"
