"""The shop: one function a command, which says the histories it touches and in which order.

A command that touches several aggregates happens to all of them or to none: everything it decides goes into one append.
"""

from collections.abc import Callable, Mapping
from typing import Any

from application import commands as c
from application.desk import Desk
from application.shop import commissions, listings, orders, streams
from domain.ids import STREAM, kind_of
from domain.refusal import Refusal


def _tell(desk: Desk, command: c.Tell) -> None:
    tell = streams.tell if kind_of(command.target) == STREAM else Desk.tell
    tell(desk, command.target, command.command)


HANDLERS: Mapping[type, Callable[[Desk, Any], object]] = {
    c.Tell: _tell,
    c.StartStream: streams.start,
    c.EndStream: streams.end,
    c.PinListing: streams.pin,
    c.CreateListing: listings.create,
    c.OpenWindow: listings.open_window,
    c.CloseWindow: listings.close_window,
    c.PlaceOrder: orders.place,
    c.RequestPayment: orders.request_payment,
    c.CapturePayment: orders.capture,
    c.ExpireOrder: orders.expire,
    c.CancelOrder: orders.cancel,
    c.CancelLine: orders.cancel_line,
    c.ShipOrder: orders.ship,
    c.DeliverOrder: orders.deliver,
    c.ReceiveReturn: orders.receive_return,
    c.AccrueCommissions: commissions.accrue,
    c.QualifyCommissions: commissions.qualify,
    c.LockCommissions: commissions.lock,
    c.ReviseCommissions: commissions.revise,
}


def ring_up(desk: Desk, command: Any) -> None:
    """Do what a command asks on its desk; raise its ``Refusal``."""
    HANDLERS[type(command)](desk, command)


def record_refusal(desk: Desk, command: Any, refused: Refusal) -> None:
    """Write a refusal down where the journal keeps it: demand that went unserved, requests that may be repeated."""
    orders.record_refusal(desk, command, refused)
