"""Orders: who ordered what for how much, and where it stands. Refused ones too: they are demand that went unserved."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from attrs import define

from domain.ids import BuyerId, HostId, OrderId, StreamId
from domain.order import events as o
from domain.order.state import Stage, Status
from projections.projection import Fact, Projection, change, put
from projections.tables import Key, Table


@define
class OrderRow:
    """One order."""

    order_id: OrderId
    stream_id: StreamId
    buyer_id: BuyerId
    host_id: HostId
    """Who was on air; empty when it was refused."""
    stage: str
    """How far it has come, whatever was refunded."""
    status: str
    currency: str
    """Empty when it was refused."""
    lines: int
    units: int
    """Still ordered; for a refused one, asked for."""
    total_minor: int
    """As placed."""
    placed_at: datetime
    captured_minor: int = 0
    refunded_minor: int = 0
    orphaned_minor: int = 0
    """Came for nothing and went back; no part of the other two."""
    reason: str = ""
    """Why it was refused."""
    position: int = 0


ORDERS = Table(
    "orders", OrderRow, key=("order_id",), indexes=(("stream_id", "order_id"), ("buyer_id", "order_id"))
)  # fmt: skip


_PLACED: Final = Stage.PLACED.value


def _placed(_: Key, record: Fact, event: o.OrderPlaced) -> OrderRow:
    units = sum([line.quantity for line in event.lines])
    return OrderRow(
        record.history_id, event.stream_id, event.buyer_id, event.host_id, _PLACED, _PLACED, event.currency,
        len(event.lines), units, event.total_minor, event.placed_at,
    )  # fmt: skip


def _refused(_: Key, record: Fact, event: o.OrderRefused) -> OrderRow:
    stage = Stage.REFUSED.value
    units = sum(line.quantity for line in event.asked)
    return OrderRow(
        record.history_id, event.stream_id, event.buyer_id, "", stage, stage, "", len(event.asked), units, 0,
        event.ingress_at, reason=event.reason,
    )  # fmt: skip


def _reaches(stage: Stage) -> Callable[[OrderRow, Fact, Any], None]:
    def step(row: OrderRow, _: Fact, __: Any) -> None:
        row.stage = stage.value
        row.status = _status(row)

    return step


def _captured(row: OrderRow, _: Fact, event: o.PaymentCaptured) -> None:
    row.stage = Stage.PAID.value
    row.captured_minor = event.amount_minor
    row.status = _status(row)


def _cancelled(row: OrderRow, record: Fact, event: o.OrderCancelled) -> None:
    _reaches(Stage.CANCELLED)(row, record, event)
    row.units = 0


def _line_cancelled(row: OrderRow, _: Fact, event: o.LineCancelled) -> None:
    row.units -= event.quantity


def _orphaned(row: OrderRow, _: Fact, event: o.PaymentOrphaned) -> None:
    row.orphaned_minor += event.amount_minor


def _money_back(row: OrderRow, _: Fact, event: o.RefundIssued) -> None:
    """Count what goes back of what was captured; an orphaned payment was never part of it."""
    if event.allocations:
        row.refunded_minor += event.amount_minor
        row.status = _status(row)


def _status(row: OrderRow) -> str:
    """Derive the status as ``Order.status`` does."""
    if not row.refunded_minor or row.stage in (Stage.CANCELLED, Stage.EXPIRED):
        return row.stage
    whole = row.refunded_minor == row.captured_minor
    return (Status.REFUNDED if whole else Status.PARTIALLY_REFUNDED).value


PROJECTION = Projection(
    "orders",
    (ORDERS,),
    {
        o.OrderPlaced: put(ORDERS, _placed),
        o.OrderRefused: put(ORDERS, _refused),
        o.PaymentCaptured: change(ORDERS, _captured),
        o.PaymentOrphaned: change(ORDERS, _orphaned),
        o.PaymentFailed: change(ORDERS, _reaches(Stage.PAYMENT_FAILED)),
        o.OrderExpired: change(ORDERS, _reaches(Stage.EXPIRED)),
        o.OrderCancelled: change(ORDERS, _cancelled),
        o.OrderShipped: change(ORDERS, _reaches(Stage.SHIPPED)),
        o.OrderDelivered: change(ORDERS, _reaches(Stage.DELIVERED)),
        o.OrderCompleted: change(ORDERS, _reaches(Stage.COMPLETED)),
        o.LineCancelled: change(ORDERS, _line_cancelled),
        o.RefundIssued: change(ORDERS, _money_back),
    },
)
