"""What follows from what happened: one table from events to commands.

A reaction is a pure function of a record; doing it is the reactor's business. Its command's id is made of the record's
position, so a reaction that is run again after a crash is a command said twice: it is done once.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from application import commands as c
from domain.listing.commands import AnnounceWindow
from domain.order import events as order
from domain.order.commands import CloseReturnWindow
from domain.record import Record
from domain.stream import events as stream
from domain.stream.events import EndReason
from domain.values import frozen

React = Callable[[Record, Any], list[Any]]


@frozen
class ReturnMoney:
    """Have the provider give back what a refund says."""

    order_id: str
    refund_id: str
    payment_id: str
    amount_minor: int


@frozen
class CloseWindowsOf:
    """Close every window of a show that is over: open ones, and those that were planned."""

    stream_id: str


def _paid(record: Record, _event: order.PaymentCaptured) -> list[Any]:
    return [c.AccrueCommissions(record.history_id)]


def _refunded(record: Record, event: order.RefundIssued) -> list[Any]:
    lines = tuple(allocation.line_id for allocation in event.allocations)
    return [c.ReviseCommissions(record.history_id, lines, event.reason)] if lines else []


def _delivered(record: Record, _event: order.OrderDelivered) -> list[Any]:
    return [c.QualifyCommissions(record.history_id)]


def _completed(record: Record, _event: order.OrderCompleted) -> list[Any]:
    return [c.LockCommissions(record.history_id)]


def _over(record: Record, _event: stream.StreamEnded | stream.StreamCancelled) -> list[Any]:
    return [CloseWindowsOf(record.history_id)]


def _money_back(record: Record, event: order.RefundIssued) -> list[Any]:
    if not event.amount_minor:
        return []
    return [ReturnMoney(record.history_id, event.refund_id, event.payment_id, event.amount_minor)]


SHOP: Mapping[type, React] = {
    order.PaymentCaptured: _paid,
    order.RefundIssued: _refunded,
    order.OrderDelivered: _delivered,
    order.OrderCompleted: _completed,
    stream.StreamEnded: _over,
    stream.StreamCancelled: _over,
}
"""What the shop asks of itself."""

MONEY: Mapping[type, React] = {order.RefundIssued: _money_back}
"""What the provider is asked. It has a reactor of its own, so that a provider that is down holds up nothing else."""


def on_deadline(history_id: str, kind: str, number: int, now: datetime) -> Any:
    """Return the command for a deadline that has come; the aggregate judges whether it still holds."""
    match kind:
        case "expire_order":
            return c.ExpireOrder(history_id)
        case "announce_window":
            return c.Tell(history_id, AnnounceWindow(number, now))
        case "close_return_window":
            return c.Tell(history_id, CloseReturnWindow(now))
        case "end_interrupted_stream":
            return c.EndStream(history_id, EndReason.TIMEOUT)
        case _:
            raise ValueError(f"there is no deadline of kind {kind}")
