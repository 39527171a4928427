"""What a command means for an order."""

from datetime import timedelta

from domain.ids import LineId
from domain.listing.refusals import HoldExpired
from domain.money import MAX_MINOR, split
from domain.order.commands import (
    CancelLine,
    CancelOrder,
    CapturePayment,
    CloseReturnWindow,
    Command,
    DeliverOrder,
    ExpireOrder,
    FailPayment,
    IssueRefund,
    OrphanPayment,
    PlaceOrder,
    ReceiveReturn,
    RefuseOrder,
    RefuseRequest,
    RequestPayment,
    RequestReturn,
    ShipOrder,
)
from domain.order.events import (
    Allocation,
    Event,
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
from domain.order.state import LineFacts, Order, Stage
from domain.refusal import Invalid, NotAllowedNow, NotFound, Refusal, refusal, snake_case


@refusal
class RefundExceedsCaptured(Refusal):
    """More cannot go back than came in, line by line."""

    refundable_minor: int


@refusal
class ReturnExceedsDelivered(Refusal):
    """More units cannot come back than the buyer has."""

    returnable: int


@refusal
class ReturnWindowIsClosed(Refusal, name="return_window_closed"):
    """The time for returns is over."""


def decide(state: Order, command: Command) -> list[Event]:
    """Return what a command means for an order."""
    match state.stage, command:
        case Stage.UNKNOWN, PlaceOrder():
            return [_placed(command)]
        case Stage.UNKNOWN, RefuseOrder():
            return [_refused(command)]
        case Stage.UNKNOWN, _:
            raise NotFound("order", "")
        case _, PlaceOrder() | RefuseOrder():
            return []
        case Stage.REFUSED, RefuseRequest(request, reason, facts):
            return [RequestRefused(request, reason, facts)]
        case Stage.REFUSED, _:
            raise _not_now(state, command)
        case _, RefuseRequest(request, reason, facts):
            return [RequestRefused(request, reason, facts)]
        case _, RequestPayment():
            return _request_payment(state, command)
        case _, CapturePayment():
            return _capture(state, command)
        case _, OrphanPayment():
            return _orphan(state, command)
        case _, FailPayment(payment_id, reason):
            known = payment_id in state.payments or not state.awaits_payment
            return [] if known else [PaymentFailed(payment_id, reason)]
        case Stage.PLACED | Stage.PAYMENT_FAILED, ExpireOrder(now):
            early = state.hold_expires_at is not None and now < state.hold_expires_at
            return [] if early else [OrderExpired(now)]
        case _, ExpireOrder():
            return []
        case Stage.PLACED | Stage.PAYMENT_FAILED | Stage.PAID, CancelOrder(now):
            return [OrderCancelled(now), *_refund_rest(state, "cancelled")]
        case Stage.CANCELLED, CancelOrder():
            return []
        case _, CancelLine(cancellation_id) if cancellation_id in state.cancellations:
            return []
        case Stage.PLACED | Stage.PAYMENT_FAILED | Stage.PAID, CancelLine():
            return _cancel_line(state, command)
        case Stage.PAID, ShipOrder(now):
            return [OrderShipped(now)]
        case Stage.SHIPPED | Stage.DELIVERED | Stage.COMPLETED, ShipOrder():
            return []
        case Stage.SHIPPED, DeliverOrder(hold_days, now):
            return [OrderDelivered(now, now + timedelta(days=hold_days))]
        case Stage.DELIVERED | Stage.COMPLETED, DeliverOrder():
            return []
        case Stage.SHIPPED | Stage.DELIVERED | Stage.COMPLETED, RequestReturn():
            return _request_return(state, command)
        case _, ReceiveReturn():
            return _receive_return(state, command)
        case _, IssueRefund():
            return _refund(state, command)
        case Stage.DELIVERED, CloseReturnWindow(now):
            open_still = state.return_window_ends_at is not None and now < state.return_window_ends_at
            return [] if open_still else [ReturnWindowClosed(now), OrderCompleted()]
        case Stage.COMPLETED, CloseReturnWindow():
            return []
        case _:
            raise _not_now(state, command)


def _not_now(state: Order, command: Command) -> NotAllowedNow:
    return NotAllowedNow(snake_case(type(command)), state.stage)


def _placed(command: PlaceOrder) -> OrderPlaced:
    if not command.lines:
        raise Invalid("lines", "must have at least one line")
    if len({line.line_id for line in command.lines}) != len(command.lines):
        raise Invalid("lines", "must name each line once")
    total_minor = sum([line.amount_minor for line in command.lines])
    if total_minor > MAX_MINOR:
        raise Invalid("lines", f"must not cost more than {MAX_MINOR}")
    return OrderPlaced(
        command.stream_id, command.buyer_id, command.host_id, command.terms_version, command.currency, command.lines,
        total_minor, command.hold_expires_at, command.now,
    )  # fmt: skip


def _refused(command: RefuseOrder) -> OrderRefused:
    return OrderRefused(
        command.stream_id, command.buyer_id, command.asked, command.reason, command.facts, command.arrival, command.now
    )


def _request_payment(state: Order, command: RequestPayment) -> list[Event]:
    """Refuse before money moves what could only be given back; what was once asked for stays asked for."""
    if command.key in state.requested:
        return []
    if state.stage is Stage.EXPIRED or (state.awaits_payment and not state.holds_at(command.now)):
        raise HoldExpired(state.hold_expires_at)
    if not state.awaits_payment:
        raise NotAllowedNow("pay", state.stage)
    return [PaymentRequested(command.key, state.due_minor, command.now)]


def _capture(state: Order, command: CapturePayment) -> list[Event]:
    """Units are committed in the same append, so all that is left to check is that it pays this order, once."""
    if command.payment_id in state.payments and state.payments[command.payment_id] != "failed":
        return []
    served_late = state.stage is Stage.EXPIRED and command.late
    if not state.awaits_payment and not served_late:
        raise _not_now(state, command)
    if command.amount_minor != state.due_minor:
        raise Invalid("amount_minor", f"must be {state.due_minor}, what is due")
    return [PaymentCaptured(command.payment_id, command.amount_minor, command.late, command.now)]


def _orphan(state: Order, command: OrphanPayment) -> list[Event]:
    if command.payment_id in state.payments and state.payments[command.payment_id] != "failed":
        return []
    over = state.awaits_payment and command.reason == "hold_expired"
    expired: list[Event] = [OrderExpired(command.now)] if over else []
    refund = RefundIssued(
        f"orphan-{command.payment_id}", command.payment_id, state.stream_id, state.buyer_id, state.host_id,
        state.currency, command.amount_minor, command.reason, (),
    )  # fmt: skip
    return [*expired, PaymentOrphaned(command.payment_id, command.amount_minor, command.reason), refund]


def _cancel_line(state: Order, command: CancelLine) -> list[Event]:
    """What is left keeps its share of the price; what was paid above that goes back."""
    facts = _line(state, command.line_id)
    if not 0 < command.quantity <= facts.kept:
        raise Invalid("quantity", f"must be between 1 and {facts.kept}, what is still ordered")
    cancelled = LineCancelled(command.cancellation_id, command.line_id, command.quantity)
    if command.quantity == sum(each.kept for each in state.lines.values()):
        return [cancelled, OrderCancelled(command.now), *_refund_rest(state, "cancelled")]
    excess = facts.priced(facts.kept) - facts.priced(facts.kept - command.quantity)
    amount_minor = min(excess, facts.refundable_minor)
    refund_id = f"cancel-{command.cancellation_id}"
    return [cancelled, *_refunds(state, refund_id, "cancelled", {command.line_id: amount_minor})]


def _refund_rest(state: Order, reason: str) -> list[Event]:
    rest = {facts.line.line_id: facts.refundable_minor for facts in state.in_order()}
    return _refunds(state, "cancel", reason, rest)


def _refunds(state: Order, refund_id: str, reason: str, amounts: dict[LineId, int]) -> list[Event]:
    parts = {line_id: amount for line_id, amount in amounts.items() if amount}
    if not parts or state.payment_id is None:
        return []
    allocations = tuple(
        Allocation(line_id, state.lines[line_id].line.listing_id, amount) for line_id, amount in parts.items()
    )
    return [
        RefundIssued(
            refund_id, state.payment_id, state.stream_id, state.buyer_id, state.host_id, state.currency,
            sum(parts.values()), reason, allocations,
        )
    ]  # fmt: skip


def _refund(state: Order, command: IssueRefund) -> list[Event]:
    """Never give back more than came in, per line and overall; without a line, share by what each can still bear."""
    if command.refund_id in state.refunds:
        return []
    if command.amount_minor <= 0:
        raise Invalid("amount_minor", "must be positive")
    lines = state.in_order() if command.line_id is None else [_line(state, command.line_id)]
    refundable = [facts.refundable_minor for facts in lines]
    if command.amount_minor > sum(refundable):
        raise RefundExceedsCaptured(sum(refundable))
    shares = split(command.amount_minor, refundable)
    amounts = {facts.line.line_id: share for facts, share in zip(lines, shares, strict=True)}
    return _refunds(state, command.refund_id, command.reason, amounts)


def _request_return(state: Order, command: RequestReturn) -> list[Event]:
    if command.return_id in state.returns:
        return []
    if state.stage is Stage.COMPLETED:
        raise ReturnWindowIsClosed
    if state.return_window_ends_at is not None and command.now >= state.return_window_ends_at:
        raise ReturnWindowIsClosed
    facts = _line(state, command.line_id)
    returnable = facts.kept - facts.announced
    if command.quantity <= 0:
        raise Invalid("quantity", "must be positive")
    if command.quantity > returnable:
        raise ReturnExceedsDelivered(returnable)
    return [ReturnRequested(command.return_id, command.line_id, command.quantity)]


def _receive_return(state: Order, command: ReceiveReturn) -> list[Event]:
    announced = state.returns.get(command.return_id)
    if announced is None:
        raise NotFound("return", command.return_id)
    if announced.received:
        return []
    return [ReturnReceived(command.return_id, announced.line_id, announced.quantity, command.disposition)]


def _line(state: Order, line_id: LineId) -> LineFacts:
    facts = state.lines.get(line_id)
    if facts is None:
        raise NotFound("line", line_id)
    return facts
