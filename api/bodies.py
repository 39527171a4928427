"""What clients send: the shape of every body, checked before anything is decided.

What is not listed is refused, so that a misspelt field is an error and not a default. Whether a request makes sense is
the domain's business.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from api.fields import (
    MAX_ORDERS,
    MAX_QUANTITY,
    PLAIN,
    PRINTABLE,
    READABLE,
    Amount,
    Body,
    Count,
    Currency,
    Instant,
    Line,
    LineNumber,
    ListingName,
    Name,
    OrderName,
    Quantity,
    Rate,
    Reason,
    Seconds,
    StreamName,
    Text,
    Token,
    Units,
    utc,
)
from application.shop.orders import MAX_LINES
from domain.listing.offer import Discount
from domain.money import BPS, MAX_MINOR
from domain.refusal import Invalid
from domain.terms import MAX_HOLD_DAYS, MAX_SHARES, Share, Terms


class NoBody(Body, frozen=True):
    """Nothing has to be said; ``{}`` is fine as well."""


class MoneyBody(Body, frozen=True):
    """An amount in minor units of its ISO 4217 currency: 1999 EUR is 19.99 euro."""

    amount_minor: Amount
    currency: Currency

    def within(self, currency: str, field: str) -> int:
        """Return the amount; ``Invalid`` when it is in another currency than the show's."""
        if self.currency != currency:
            raise Invalid(f"{field}.currency", f"must be {currency}, the currency of the show")
        return self.amount_minor


# streams


class ShareBody(Body, frozen=True):
    """A payee's part of a commission."""

    payee_id: Name
    share_bps: Annotated[int, Meta(ge=1, le=BPS)]


class TermsBody(Body, frozen=True):
    """What the host earns: a rate of the net price, payable ``hold_days`` after delivery."""

    rate_bps: Rate
    hold_days: Annotated[int, Meta(ge=0, le=MAX_HOLD_DAYS)]
    shares: Annotated[tuple[ShareBody, ...], Meta(max_length=MAX_SHARES)] = ()

    def terms(self) -> Terms:
        """Return the terms as the domain knows them."""
        return Terms(self.rate_bps, self.hold_days, tuple(Share(each.payee_id, each.share_bps) for each in self.shares))


class ScheduleStreamBody(Body, frozen=True):
    """A show to come."""

    title: Line
    host_id: Name
    brand_id: Name
    scheduled_at: Instant
    currency: Currency
    terms: TermsBody


class RescheduleBody(Body, frozen=True):
    """When the show will be instead."""

    scheduled_at: Instant


class EndBody(Body, frozen=True):
    """Why the show ends."""

    reason: Literal["host", "moderation", "technical"] = "host"


class PinBody(Body, frozen=True):
    """What viewers are to keep on their screen."""

    listing_id: ListingName


class UnpinBody(Body, frozen=True):
    """What leaves the screen; everything when nothing is named."""

    listing_id: ListingName | None = None


class SegmentBody(Body, frozen=True):
    """Who is on air from now on, with which listing."""

    host_id: Name
    listing_id: ListingName | None = None


class TeaserBody(Body, frozen=True):
    """What viewers are told of the show to come."""

    text: Text


class CoHostBody(Body, frozen=True):
    """Who else sells in this show."""

    host_id: Name


class AudienceBody(Body, frozen=True):
    """How many watch and what they do; ``views`` counts since the start of the show."""

    views: Count
    concurrent: Count = 0
    comments: Count = 0
    likes: Count = 0


# listings


class DiscountBody(Body, frozen=True):
    """A lower price for a while: either ``percent_bps`` off, or a fixed ``price_minor``. It starts now unless told."""

    ends_at: Instant
    starts_at: Instant | None = None
    percent_bps: Annotated[int, Meta(ge=1, le=BPS)] | None = None
    price_minor: Amount | None = None
    total_limit: Quantity | None = None
    per_buyer_limit: Quantity | None = None
    discount_id: Name | None = None

    def discount(self, discount_id: str, now: datetime) -> Discount:
        """Return the discount as the domain knows it."""
        return Discount(
            self.discount_id or discount_id, utc(self.starts_at or now), utc(self.ends_at), self.percent_bps,
            self.price_minor, self.total_limit, self.per_buyer_limit,
        )  # fmt: skip


class ComponentBody(Body, frozen=True):
    """Part of a look."""

    listing_id: ListingName
    quantity: Quantity = 1


class CreateListingBody(Body, frozen=True):
    """A product to offer. Without ``opens_at`` it is a draft; a look names its components and has no allotment."""

    sku: Annotated[str, Meta(pattern=READABLE, min_length=1, max_length=64, examples=["SCARF-RED"])]
    title: Line
    price: MoneyBody
    allotment: Units = 0
    opens_at: Instant | None = None
    closes_at: Instant | None = None
    countdown_seconds: Seconds = 0
    purchase_limit: Quantity | None = None
    hold_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300
    discount: DiscountBody | None = None
    components: Annotated[tuple[ComponentBody, ...], Meta(max_length=50)] = ()


class OpenBody(Body, frozen=True):
    """When the window closes (with the show unless told), and how long viewers count down to it."""

    closes_at: Instant | None = None
    countdown_seconds: Seconds = 0


class ExtendBody(Body, frozen=True):
    """When the window closes instead."""

    closes_at: Instant


class AllotBody(Body, frozen=True):
    """Units that the brand gives or takes back; a reference is booked once."""

    quantity: Quantity
    reference: Name | None = None


class AdjustBody(Body, frozen=True):
    """A count that was wrong. Cutting below what is promised must be forced, and breaks orders."""

    delta: Annotated[int, Meta(ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
    reason: Reason
    reference: Name | None = None
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse a correction that corrects nothing."""
        super().__post_init__()
        if not self.delta:
            raise ValueError("The field `delta` must not be 0")


class PriceBody(Body, frozen=True):
    """The new list price."""

    price: MoneyBody


class PurchaseLimitBody(Body, frozen=True):
    """What one buyer may hold and buy; null for no limit."""

    limit: Quantity | None


class WithdrawBody(Body, frozen=True):
    """Why the product leaves the show."""

    reason: Reason = "withdrawn"


# orders and payments


class OrderLineBody(Body, frozen=True):
    """What is asked for; ``unit_price_minor`` is the price that the buyer was shown."""

    listing_id: ListingName
    quantity: Quantity
    unit_price_minor: Amount | None = None


class PlaceOrderBody(Body, frozen=True):
    """An order. A buyer orders for itself; whoever orders for others names the buyer."""

    stream_id: StreamName
    lines: Annotated[list[OrderLineBody], Meta(min_length=1, max_length=MAX_LINES)]
    buyer_id: Name | None = None


class KeyedOrderBody(PlaceOrderBody, frozen=True, kw_only=True):
    """One order of several; its key is to it what the header ``Idempotency-Key`` is to an order alone."""

    idempotency_key: Annotated[str, Meta(pattern=PRINTABLE, min_length=1, max_length=255)]


class PlaceOrdersBody(Body, frozen=True):
    """Orders that have nothing to do with each other but that they come together."""

    orders: Annotated[list[KeyedOrderBody], Meta(min_length=1, max_length=MAX_ORDERS)]


class CancelBody(Body, frozen=True):
    """Units of one line; the whole order when no line is named, the whole line when no quantity is."""

    line_id: LineNumber | None = None
    quantity: Quantity | None = None


class ReturnBody(Body, frozen=True):
    """Goods that will come back."""

    line_id: LineNumber
    quantity: Quantity


class ReceiveBody(Body, frozen=True):
    """In what state goods came back: ``restock`` puts them on sale again while the show runs."""

    disposition: Literal["restock", "damaged"]


class RefundBody(Body, frozen=True):
    """Money to give back: of one line, or shared over all of them."""

    amount_minor: Annotated[int, Meta(ge=1, le=MAX_MINOR)]
    reason: Reason
    line_id: LineNumber | None = None


class PaymentBody(Body, frozen=True):
    """The provider's token for the buyer's means of payment."""

    payment_token: Token


class PaymentNews(Struct, frozen=True):
    """What a provider says about a payment. It may say more than is known here: providers add fields."""

    payment_id: Token
    order_id: OrderName
    amount_minor: Amount
    currency: Currency
    reason: Annotated[str, Meta(pattern=PLAIN, max_length=200)] = ""


class WebhookBody(Struct, frozen=True):
    """A provider's callback; types that mean nothing to us are taken and forgotten."""

    type: Annotated[str, Meta(min_length=1, max_length=100, examples=["payment.succeeded"])]
    data: Any
