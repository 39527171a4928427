"""What clients are told: states and rows as answers. Money is an amount with its currency, times are in UTC."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from application.tickets import Verdict
from domain.listing.offer import Component, Discount, Phase, Window
from domain.listing.state import Listing
from domain.order.state import LineFacts, Order, Refund
from domain.stream.state import Stream
from projections.live_stock import left_of_look


class MoneyView(Struct, frozen=True):
    """An amount in minor units of its currency."""

    amount_minor: int
    currency: str


# streams


class ShareView(Struct, frozen=True):
    """A payee's part of a commission, in basis points."""

    payee_id: str
    share_bps: int


class TermsView(Struct, frozen=True):
    """Agreed terms; those of a sale are the ones in force when its units were reserved."""

    version: int
    effective_at: datetime
    rate_bps: int
    hold_days: int
    shares: list[ShareView]


class StreamView(Struct, frozen=True):
    """A show."""

    stream_id: str
    status: str
    title: str
    host_id: str
    brand_id: str
    currency: str
    scheduled_at: datetime | None
    terms: list[TermsView]
    co_hosts: tuple[str, ...]
    on_air: str
    segment_listing_id: str | None
    pins: tuple[str, ...]
    teasers: tuple[str, ...]
    started_at: datetime | None
    interrupted_until: datetime | None
    ended_at: datetime | None
    views: int
    version: int
    position: int


def stream_view(stream_id: str, show: Stream, version: int, position: int) -> StreamView:
    """Return a show as an answer."""
    return StreamView(
        stream_id, show.status.value, show.title, show.host_id, show.brand_id, show.currency, show.scheduled_at,
        [_terms(each) for each in show.agreed], show.co_hosts, show.on_air, show.segment_listing_id, show.pins,
        show.teasers, show.started_at, show.interrupted_until, show.ended_at, show.views, version, position,
    )  # fmt: skip


def _terms(agreed: Any) -> TermsView:
    terms = agreed.terms
    shares = [ShareView(each.payee_id, each.share_bps) for each in terms.shares]
    return TermsView(agreed.version, agreed.effective_at, terms.rate_bps, terms.hold_days, shares)


# listings


class WindowView(Struct, frozen=True):
    """A period of sale; the recorded times decide, ``opens_at <= now < closes_at``."""

    number: int
    state: Literal["scheduled", "countdown", "open", "closed"]
    opens_at: datetime
    closes_at: datetime | None
    countdown_seconds: int


class DiscountView(Struct, frozen=True):
    """A lower price for a while."""

    discount_id: str
    starts_at: datetime
    ends_at: datetime
    percent_bps: int | None
    price_minor: int | None
    total_limit: int | None
    per_buyer_limit: int | None


class ComponentView(Struct, frozen=True):
    """Part of a look."""

    listing_id: str
    quantity: int


class UnitsView(Struct, frozen=True):
    """Where the units are; ``allotted`` is the sum of the others.

    A look has no units of its own: ``available`` is what its components allow, and the rest 0.
    """

    allotted: int
    available: int
    reserved: int
    committed: int
    shipped: int
    unavailable: int
    returned_to_source: int


class ListingView(Struct, frozen=True):
    """A product offered in a show."""

    listing_id: str
    stream_id: str
    sku: str
    title: str
    status: str
    price: MoneyView
    units: UnitsView
    window: WindowView | None
    purchase_limit: int | None
    hold_seconds: int
    discounts: list[DiscountView]
    components: list[ComponentView]
    version: int
    position: int


def listing_view(
    listing_id: str, listing: Listing, version: int, position: int, now: datetime, parts: Mapping[str, Listing]
) -> ListingView:
    """Return a listing as an answer, as it stands at an instant; what is left of a look is for its parts to say."""
    offer = listing.offer
    return ListingView(
        listing_id, offer.stream_id, offer.sku, offer.title, listing.status(now),
        MoneyView(offer.price_minor, offer.currency), _units(listing, parts), window_view(listing.window, now),
        offer.purchase_limit, offer.hold_seconds, discount_views(offer.discounts), component_views(offer.components),
        version, position,
    )  # fmt: skip


def _units(listing: Listing, parts: Mapping[str, Listing]) -> UnitsView:
    units, components = listing.units, listing.offer.components
    left = left_of_look(components, lambda part: _sellable(parts[part])) if components else units.available
    return UnitsView(
        units.allotted, left, units.reserved, units.committed, units.shipped, units.unavailable,
        units.returned_to_source,
    )  # fmt: skip


def _sellable(part: Listing) -> int:
    return 0 if part.offer.withdrawn else part.units.available


def window_view(window: Window | None, now: datetime) -> WindowView | None:
    """Return a window as it stands at an instant."""
    if window is None:
        return None
    phase: Phase = window.phase(now)
    return WindowView(window.number, phase.value, window.opens_at, window.closes_at, window.countdown_seconds)


def discount_views(discounts: tuple[Discount, ...]) -> list[DiscountView]:
    """Return discounts as an answer."""
    return [
        DiscountView(
            each.discount_id, each.starts_at, each.ends_at, each.percent_bps, each.price_minor, each.total_limit,
            each.per_buyer_limit,
        )
        for each in discounts
    ]  # fmt: skip


def component_views(components: tuple[Component, ...]) -> list[ComponentView]:
    """Return the parts of a look as an answer."""
    return [ComponentView(each.listing_id, each.quantity) for each in components]


# orders


class OrderLineView(Struct, frozen=True):
    """Units of one listing at the price that was frozen when they were reserved."""

    line_id: str
    listing_id: str
    quantity: int
    unit_price_minor: int
    amount_minor: int
    cancelled: int
    returned: int
    refunded_minor: int
    look_id: str | None
    discount_id: str | None


class ReturnView(Struct, frozen=True):
    """Goods on their way back."""

    return_id: str
    line_id: str
    quantity: int
    received: bool


class RefundView(Struct, frozen=True):
    """Money that went back. ``kind`` says of what: those of a kind sum to ``refunded_minor`` or ``orphaned_minor``."""

    refund_id: str
    amount_minor: int
    kind: Literal["captured", "orphaned"]
    reason: str


class OrderRefusalView(Struct, frozen=True):
    """Why an order was never placed."""

    reason: str
    facts: dict[str, Any]


class OrderView(Struct, frozen=True):
    """An order. ``total`` is the price of all that was ordered; null when the order was refused.

    ``status`` says money given back before how far the goods have come; ``shipped_at`` and ``delivered_at`` say that.
    """

    order_id: str
    stream_id: str
    buyer_id: str
    host_id: str
    status: str
    total: MoneyView | None
    lines: list[OrderLineView]
    captured_minor: int
    refunded_minor: int
    orphaned_minor: int
    """Came for nothing and went back; no part of the other two."""
    payment: Literal["none", "requested", "pending", "declined", "captured"]
    """``requested``: asked for, and no answer is on record; ``pending``: the provider will say later."""
    placed_at: datetime | None
    hold_expires_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    return_window_ends_at: datetime | None
    returns: list[ReturnView]
    refunds: list[RefundView]
    refusal: OrderRefusalView | None
    version: int
    position: int


class OrderAnswerView(Struct, frozen=True):
    """What became of one order of several, as it would have been answered alone: an order or a problem."""

    status: int
    replayed: bool
    """Whether this is the first answer given again."""
    order: OrderView | None
    problem: Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/Problem"})] | None


class OrderAnswersView(Struct, frozen=True):
    """One answer an order, in the order they were asked for."""

    answers: list[OrderAnswerView]
    position: int
    """From here on the journal knows of all of them."""


def order_view(order_id: str, order: Order, version: int, position: int, *, pending: bool = False) -> OrderView:
    """Return an order as an answer; ``pending`` when the provider is to say later whether it is paid."""
    lines = order.in_order()
    refusal = order.refusal
    return OrderView(
        order_id, order.stream_id, order.buyer_id, order.host_id, order.status.value,
        _total(order.currency, lines), [_line(facts) for facts in lines],
        order.captured_minor, order.refunded_minor, order.orphaned_minor, "pending" if pending else _payment(order),
        order.placed_at, order.hold_expires_at, order.shipped_at, order.delivered_at, order.return_window_ends_at,
        [ReturnView(key, each.line_id, each.quantity, each.received) for key, each in order.returns.items()],
        [_refund(key, each) for key, each in order.refunds.items()],
        None if refusal is None else OrderRefusalView(refusal.reason, dict(refusal.facts)), version, position,
    )  # fmt: skip


def _total(currency: str, lines: list[LineFacts]) -> MoneyView | None:
    return MoneyView(sum(facts.line.amount_minor for facts in lines), currency) if currency else None


def _refund(refund_id: str, refund: Refund) -> RefundView:
    return RefundView(refund_id, refund.amount_minor, "orphaned" if refund.orphaned else "captured", refund.reason)


def _payment(order: Order) -> Literal["none", "requested", "declined", "captured"]:
    if order.payment_id is not None:
        return "captured"
    if order.awaits_answer:
        return "requested"
    return "declined" if "failed" in order.payments.values() else "none"


def _line(facts: LineFacts) -> OrderLineView:
    line = facts.line
    return OrderLineView(
        line.line_id, line.listing_id, line.quantity, line.unit_price_minor, line.amount_minor, facts.cancelled,
        facts.returned, facts.refunded_minor, line.look_id, line.discount_id,
    )  # fmt: skip


class ReturnRequestedView(Struct, frozen=True):
    """A return that was announced, and its order."""

    return_id: str
    position: int
    order: OrderView


class RefundedView(Struct, frozen=True):
    """A refund that was issued, and its order."""

    refund_id: str
    position: int
    order: OrderView


class WebhookView(Struct, frozen=True):
    """What became of a callback: ``booked``, ``orphaned``, ``known``, ``parked``, ``ignored`` or a refusal's name.

    Orphaned money goes back: it came too late, or is not what was due.
    """

    outcome: str
    position: int | None = None


def told(verdict: Verdict, kind: str) -> str:
    """Return the id of what a command brought about; on a repeated request that is the first one's."""
    return next(history_id for history_id, _ in verdict.events if history_id.startswith(f"{kind}-"))
