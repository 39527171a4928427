"""What the rules need to know of an order, and how each event changes it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import evolve as changed

from domain.ids import BuyerId, HostId, LineId, ListingId, StreamId
from domain.money import portion
from domain.order.events import (
    Allocation,
    AskedLine,
    Event,
    Line,
    LineCancelled,
    OrderCancelled,
    OrderCompleted,
    OrderDelivered,
    OrderExpired,
    OrderPlaced,
    OrderRefused,
    OrderShipped,
    PaymentCaptured,
    PaymentFailed,
    PaymentOrphaned,
    PaymentRequested,
    RefundIssued,
    RequestRefused,
    ReturnReceived,
    ReturnRequested,
    ReturnWindowClosed,
)
from domain.persistent import Map
from domain.values import frozen


class Status(StrEnum):
    """Where an order stands, derived from its facts."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    PLACED = "placed"
    PAYMENT_FAILED = "payment_failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    PAID = "paid"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class Stage(StrEnum):
    """How far the order itself has come, whatever was refunded."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    PLACED = "placed"
    PAYMENT_FAILED = "payment_failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    PAID = "paid"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    COMPLETED = "completed"


@frozen
class LineFacts:
    """What became of a line."""

    line: Line
    cancelled: int = 0
    announced: int = 0
    """Units whose return was requested."""
    returned: int = 0
    """Units whose return was received."""
    captured_minor: int = 0
    refunded_minor: int = 0

    @property
    def kept(self) -> int:
        """Units still ordered."""
        return self.line.quantity - self.cancelled

    @property
    def due_minor(self) -> int:
        """The price of the units still ordered."""
        return self.priced(self.kept)

    @property
    def refundable_minor(self) -> int:
        """What was captured and not given back."""
        return self.captured_minor - self.refunded_minor

    def priced(self, quantity: int) -> int:
        """Return the price of some of the line's units."""
        return portion(self.line.amount_minor, quantity, self.line.quantity)


@frozen
class Return:
    """Goods on their way back."""

    line_id: LineId
    quantity: int
    received: bool = False


@frozen
class Refund:
    """Money that went back: of what was captured, or of a payment that came for nothing."""

    amount_minor: int
    reason: str
    orphaned: bool


@frozen
class Unserved:
    """Why an order was never placed."""

    reason: str
    facts: Any
    asked: tuple[AskedLine, ...]


@frozen
class Order:
    """What the rules need to know of an order."""

    stage: Stage = Stage.UNKNOWN
    stream_id: StreamId = ""
    buyer_id: BuyerId = ""
    host_id: HostId = ""
    terms_version: int = 0
    currency: str = ""
    lines: Map[LineId, LineFacts] = Map()
    placed_at: datetime | None = None
    hold_expires_at: datetime | None = None
    payment_id: str | None = None
    """The payment that was captured."""
    requested: Map[str, int] = Map()
    """What the provider was asked for, by key."""
    payments: Map[str, str] = Map()
    """Every payment heard of, and what became of it."""
    captured_minor: int = 0
    refunded_minor: int = 0
    orphaned_minor: int = 0
    """Money that came for nothing; it is refunded as soon as it is seen."""
    refunds: Map[str, Refund] = Map()
    cancellations: Map[str, None] = Map()
    returns: Map[str, Return] = Map()
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    return_window_ends_at: datetime | None = None
    refusal: Unserved | None = None

    @property
    def status(self) -> Status:
        """Derive the status: money given back is said before how far the goods have come."""
        if self.stage in (Stage.CANCELLED, Stage.EXPIRED) or not self.refunded_minor:
            return Status(self.stage)
        return Status.REFUNDED if self.refunded_minor == self.captured_minor else Status.PARTIALLY_REFUNDED

    @property
    def awaits_payment(self) -> bool:
        """Whether a payment would make it paid."""
        return self.stage in (Stage.PLACED, Stage.PAYMENT_FAILED)

    def holds_at(self, now: datetime) -> bool:
        """Whether its units are held at an instant."""
        return self.hold_expires_at is not None and now < self.hold_expires_at

    @property
    def awaits_answer(self) -> bool:
        """Whether the provider was asked more often than payments were heard of: one answer is not on record."""
        return len(self.requested) > len(self.payments)

    @property
    def due_minor(self) -> int:
        """What is to be paid for the units still ordered."""
        return sum(facts.due_minor for facts in self.lines.values())

    @property
    def listing_ids(self) -> tuple[ListingId, ...]:
        """The listings of its lines, each once."""
        return tuple(dict.fromkeys(facts.line.listing_id for facts in self.in_order()))

    def in_order(self) -> list[LineFacts]:
        """Return the lines in the order in which they were placed."""
        return sorted(self.lines.values(), key=lambda facts: int(facts.line.line_id))


def evolve(state: Order, event: Event) -> Order:
    """Return the order after an event."""
    match event:
        case OrderPlaced():
            return _placed(event)
        case OrderRefused():
            refusal = Unserved(event.reason, event.facts, event.asked)
            return Order(Stage.REFUSED, event.stream_id, event.buyer_id, refusal=refusal)
        case PaymentRequested(key, amount_minor):
            return changed(state, requested=state.requested.set(key, amount_minor))
        case PaymentCaptured():
            return _captured(state, event)
        case PaymentFailed(payment_id):
            return changed(state, stage=Stage.PAYMENT_FAILED, payments=state.payments.set(payment_id, "failed"))
        case PaymentOrphaned(payment_id, amount_minor):
            payments = state.payments.set(payment_id, "orphaned")
            return changed(state, orphaned_minor=state.orphaned_minor + amount_minor, payments=payments)
        case OrderExpired():
            return changed(state, stage=Stage.EXPIRED)
        case OrderCancelled():
            return changed(state, stage=Stage.CANCELLED, lines=Map(_without_units(state)))
        case LineCancelled(cancellation_id, line_id, quantity):
            state = changed(state, cancellations=state.cancellations.set(cancellation_id, None))
            facts = state.lines[line_id]
            return _with_line(state, changed(facts, cancelled=facts.cancelled + quantity))
        case OrderShipped(shipped_at):
            return changed(state, stage=Stage.SHIPPED, shipped_at=shipped_at)
        case OrderDelivered(delivered_at, ends_at):
            return changed(state, stage=Stage.DELIVERED, delivered_at=delivered_at, return_window_ends_at=ends_at)
        case ReturnRequested(return_id, line_id, quantity):
            state = changed(state, returns=state.returns.set(return_id, Return(line_id, quantity)))
            facts = state.lines[line_id]
            return _with_line(state, changed(facts, announced=facts.announced + quantity))
        case ReturnReceived(return_id, line_id, quantity):
            state = changed(state, returns=state.returns.set(return_id, Return(line_id, quantity, received=True)))
            facts = state.lines[line_id]
            return _with_line(state, changed(facts, returned=facts.returned + quantity))
        case RefundIssued():
            return _refunded(state, event)
        case OrderCompleted():
            return changed(state, stage=Stage.COMPLETED)
        case ReturnWindowClosed() | RequestRefused():
            return state


def _placed(event: OrderPlaced) -> Order:
    lines = Map({line.line_id: LineFacts(line) for line in event.lines})
    return Order(
        Stage.PLACED, event.stream_id, event.buyer_id, event.host_id, event.terms_version, event.currency, lines,
        event.placed_at, event.hold_expires_at,
    )  # fmt: skip


def _captured(state: Order, event: PaymentCaptured) -> Order:
    lines = {key: changed(facts, captured_minor=facts.due_minor) for key, facts in state.lines.items()}
    return changed(
        state,
        stage=Stage.PAID,
        payment_id=event.payment_id,
        payments=state.payments.set(event.payment_id, "captured"),
        captured_minor=event.amount_minor,
        lines=Map(lines),
    )


def _without_units(state: Order) -> dict[LineId, LineFacts]:
    return {key: changed(facts, cancelled=facts.line.quantity) for key, facts in state.lines.items()}


def _refunded(state: Order, event: RefundIssued) -> Order:
    refund = Refund(event.amount_minor, event.reason, orphaned=not event.allocations)
    state = changed(state, refunds=state.refunds.set(event.refund_id, refund))
    if refund.orphaned:
        return state
    for allocation in event.allocations:
        state = _with_line(state, _given_back(state.lines[allocation.line_id], allocation))
    return changed(state, refunded_minor=state.refunded_minor + event.amount_minor)


def _given_back(facts: LineFacts, allocation: Allocation) -> LineFacts:
    return changed(facts, refunded_minor=facts.refunded_minor + allocation.amount_minor)


def _with_line(state: Order, facts: LineFacts) -> Order:
    return changed(state, lines=state.lines.set(facts.line.line_id, facts))
