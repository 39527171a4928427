"""Rules over what leaves and what comes back: units that are sent, units that are given up, and the money for them.

A listing and an order both say so, in the same command and in either order: when an order is sent, cancelled or comes
back, its own record stands in front of the listings'. So there is one signed account of each kind and reservation, to
which listings add and from which orders take, and nothing may be left of it when the command ends. The same holds for
money: what came for nothing, and what was paid for units that are given up, goes back by the command that says so.

Units that are only held are free as a whole when their time is over, or earlier where their order gives them up in the
same command: then there is an account of them, too.
An order expires when its time is over, or earlier where a payment came for nothing: a server whose clock was ahead gave
its units to somebody else.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from domain.ids import OrderId, reservation_id
from domain.listing import LISTING
from domain.listing.events import UnitsReleased, UnitsReturned, UnitsShipped
from domain.listing.state import Listing
from domain.order import events as o
from domain.order.state import Order, Stage
from domain.record import Metadata, Record
from projections.attic import released
from projections.breach import BreachError

SENT: Final = "sent"
BACK: Final = "taken back"
OWED: Final = "owed"
EARLY: Final = "early"
FREE: Final = "given up"


class ReturnRules:
    """Takes what a command says of units and money that move on; ``BreachError`` where it does not agree."""

    def __init__(self, listings: Mapping[str, tuple[int, Listing]]) -> None:
        """Look up in ``listings`` what is held at the moment."""
        self._listings = listings
        self.open: dict[tuple[str, str], int] = {}
        """What the current command has left open, by kind and reservation, order or payment; always this one dict."""
        self._given_up: tuple[str, OrderId] = ("", "")
        """The last order that gave units up, and by which command."""
        self.checks: dict[type, Callable[..., None]] = {
            UnitsReleased: self._units_free,
            UnitsShipped: self._units_sent,
            UnitsReturned: self._units_back,
            o.OrderShipped: self._sent,
            o.ReturnReceived: self._returned,
            o.LineCancelled: self._line_cancelled,
            o.OrderCancelled: self._cancelled,
            o.OrderExpired: self._expired,
            o.ReturnWindowClosed: self._window_closed,
            o.PaymentOrphaned: self._orphaned,
        }

    def _book(self, kind: str, key: str, amount: int) -> None:
        left = self.open.pop((kind, key), 0) + amount
        if left:
            self.open[kind, key] = left

    def _units_free(
        self, record: Record, metadata: Metadata, event: UnitsReleased, _: Listing, listing: Listing
    ) -> None:
        hold = released(listing, event.reservation_id)
        if self._given_up == (metadata.command_id, hold.order_id):
            self._book(FREE, event.reservation_id, event.quantity)
        elif hold.until > metadata.ingress_at:
            found = f"{event.quantity} units of {event.reservation_id}, held until {hold.until}, are free before"
            raise BreachError(record.position, "deadlines", found)
        elif event.reservation_id in listing.book.holds:
            found = f"the time of {event.reservation_id} is over, and {event.quantity} of its units are free, not all"
            raise BreachError(record.position, "deadlines", found)

    def _give_up(self, record: Record, metadata: Metadata, lines: Iterable[tuple[o.Line, int]]) -> None:
        """Expect to be free what is held for some lines above what is kept of each; perhaps nothing is any more."""
        order_id = record.history_id
        self._given_up = metadata.command_id, order_id
        for line, kept in lines:
            reserved = reservation_id(order_id, line.line_id)
            self.open.pop((FREE, reserved), None)
            held = self._held(line.listing_id, reserved)
            if held:
                self._book(FREE, reserved, kept - held)

    def _held(self, listing_id: str, reserved: str) -> int:
        _, listing = self._listings.get(listing_id, (0, LISTING.initial))
        hold = listing.book.holds.get(reserved)
        return hold.quantity if hold else 0

    def _units_sent(self, _: Record, __: Metadata, event: UnitsShipped, *___: Listing) -> None:
        self._book(SENT, event.reservation_id, event.quantity)

    def _units_back(self, record: Record, _: Metadata, event: UnitsReturned, __: Any, listing: Listing) -> None:
        sale = listing.book.sales[event.reservation_id]
        said = (event.order_id, event.buyer_id, event.host_id, event.stream_id)
        if sale.quantity < 0 or said != (sale.order_id, sale.buyer_id, sale.host_id, listing.offer.stream_id):
            found = f"{event.quantity} units came back as {event.reservation_id}, which were not sold like that"
            raise BreachError(record.position, "lines", found)
        self._book(BACK, event.reservation_id, event.quantity)

    def _sent(self, record: Record, _: Metadata, __: o.OrderShipped, ___: Order, order: Order) -> None:
        for line_id, facts in order.lines.items():
            self._book(SENT, reservation_id(record.history_id, line_id), -facts.kept)

    def _returned(self, record: Record, _: Metadata, event: o.ReturnReceived, *__: Order) -> None:
        self._book(BACK, reservation_id(record.history_id, event.line_id), -event.quantity)

    def _line_cancelled(
        self, record: Record, metadata: Metadata, event: o.LineCancelled, before: Order, after: Order
    ) -> None:
        """Expect the units back, and what was paid for them above what the rest of the line costs."""
        given_up = after.lines[event.line_id]
        self._give_up(record, metadata, [(given_up.line, given_up.kept)])
        if before.stage is Stage.PAID:
            facts = before.lines[event.line_id]
            excess_minor = facts.due_minor - given_up.due_minor
            self._book(BACK, reservation_id(record.history_id, event.line_id), -event.quantity)
            self._book(OWED, record.history_id, min(excess_minor, facts.refundable_minor))

    def _cancelled(self, record: Record, metadata: Metadata, _: o.OrderCancelled, before: Order, __: Order) -> None:
        """Expect everything back; that includes what a last line's cancelling was to bring."""
        self._give_up(record, metadata, [(facts.line, 0) for facts in before.lines.values()])
        if before.stage is Stage.PAID:
            self.open.pop((OWED, record.history_id), None)
            for line_id, facts in before.lines.items():
                self._book(BACK, reservation_id(record.history_id, line_id), -facts.kept)
                self._book(OWED, record.history_id, facts.refundable_minor)

    def _expired(self, record: Record, metadata: Metadata, event: o.OrderExpired, before: Order, _: Order) -> None:
        self._give_up(record, metadata, [(facts.line, 0) for facts in before.lines.values()])
        if not before.awaits_payment:
            raise BreachError(record.position, "deadlines", f"{record.history_id} expired when it was {before.stage}")
        if before.holds_at(event.expired_at):
            self.open[EARLY, record.history_id] = 1

    def _window_closed(
        self, record: Record, _: Metadata, event: o.ReturnWindowClosed, before: Order, __: Order
    ) -> None:
        ends_at = before.return_window_ends_at
        if ends_at is None or event.closed_at < ends_at:
            found = f"the window of {record.history_id} closed at {event.closed_at}, it was to end at {ends_at}"
            raise BreachError(record.position, "deadlines", found)

    def _orphaned(self, record: Record, _: Metadata, event: o.PaymentOrphaned, before: Order, __: Order) -> None:
        if before.payments.get(event.payment_id, "failed") != "failed":
            found = f"{event.payment_id} came for nothing, and was {before.payments[event.payment_id]} before"
            raise BreachError(record.position, "refunds", found)
        self.open.pop((EARLY, record.history_id), None)
        self._book(OWED, event.payment_id, event.amount_minor)

    def refunded(self, record: Record, event: o.RefundIssued, before: Order, order: Order) -> None:
        """Hold a refund against what came in, and against what must go back."""
        self._to_whom_it_came_from(record, event, before)
        _within_what_came(record, event, order)
        if not event.allocations:
            self._book(OWED, event.payment_id, -event.amount_minor)
        elif (OWED, record.history_id) in self.open:
            self._book(OWED, record.history_id, -event.amount_minor)

    @staticmethod
    def _to_whom_it_came_from(record: Record, event: o.RefundIssued, before: Order) -> None:
        payment = before.payments.get(event.payment_id)
        said = (event.stream_id, event.buyer_id, event.host_id, event.currency)
        true = (before.stream_id, before.buyer_id, before.host_id, before.currency)
        if event.refund_id in before.refunds:
            raise BreachError(record.position, "refunds", f"{event.refund_id} of {record.history_id} went back before")
        if payment != ("captured" if event.allocations else "orphaned") or said != true:
            found = f"{event.refund_id} goes back to where nothing of it came from: {event.payment_id}, {said}"
            raise BreachError(record.position, "refunds", found)

    def end(self, record: Record) -> None:
        """Let nothing be left open at the end of a command."""
        if not self.open:
            return
        (kind, key), left = self.open.popitem()
        if kind == EARLY:
            raise BreachError(record.position, "deadlines", f"{key} expired before its time, and nobody had paid")
        if kind == OWED:
            raise BreachError(record.position, "refunds", f"{left} of {key} should have gone back as well")
        silent = "its order does not say so" if left > 0 else "its listing does not say so"
        raise BreachError(record.position, "lines", f"{abs(left)} units of {key} are {kind}, and {silent}")


def _within_what_came(record: Record, event: o.RefundIssued, order: Order) -> None:
    over = [facts.line.line_id for facts in order.lines.values() if facts.refundable_minor < 0]
    loose = sum(each.amount_minor for each in order.refunds.values()) - order.refunded_minor
    parts = [each.amount_minor for each in event.allocations]
    if over or order.refunded_minor > order.captured_minor or loose > order.orphaned_minor:
        found = f"{record.history_id} gave back {order.refunded_minor} of {order.captured_minor}"
        raise BreachError(record.position, "refunds", found)
    if parts and (sum(parts) != event.amount_minor or min(parts) <= 0):
        found = f"{event.refund_id} gives back {event.amount_minor}, its lines {sum(parts)}"
        raise BreachError(record.position, "refunds", found)
