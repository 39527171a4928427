"""Rules between orders and listings: units are reserved for an order and sold to it in the command that says so.

Whoever orders or pays comes to the listings first and to the order after them: what they have moved waits here until
its order answers for it, line by line. An order whose units nobody moved is found at once, units that no order answers
for are found when their command ends. Nothing is remembered beyond that. What is sent, given up or comes back is in
``return_rules``.
"""

from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from domain.ids import reservation_id
from domain.listing.events import UnitsCommitted, UnitsReserved
from domain.listing.state import Listing
from domain.order import events as o
from domain.order.state import Order
from domain.record import Metadata, Record
from projections.breach import BreachError

RESERVED: Final = "reserved"
AGAIN: Final = "reserved again"
SOLD: Final = "sold"
_Moved = tuple[str, str, str, str, int, int, str, str, tuple[int, int, str | None] | None]
"""``RESERVED``, ``AGAIN`` or ``SOLD``, reservation, order, listing, units, what they cost together, buyer, host; and of
what is reserved for the first time the price of one, its list price, and the discount."""


class LineRules:
    """Takes what a command says of units and of orders; ``BreachError`` where they do not agree."""

    def __init__(self) -> None:
        self.left: list[_Moved] = []
        """What listings have moved and no order has answered for yet; always this one list."""
        self._ends: list[datetime] = []
        """When the holds end that the next order answers for."""

    def reserved(self, record: Record, metadata: Metadata, event: UnitsReserved, listing: Listing) -> None:
        """Note units that a listing holds, for its time; those for a late payment are held only to be sold."""
        until, begun_at, hold_seconds = event.until, metadata.ingress_at, listing.offer.hold_seconds
        moved = RESERVED
        if until == begun_at + _lasting(hold_seconds):
            self._ends.append(until)
        elif until == begun_at:
            moved = AGAIN
        else:
            found = f"{event.reservation_id} is held until {until}, {record.history_id} holds for {hold_seconds} s"
            raise BreachError(record.position, "deadlines", found)
        priced = (event.unit_price_minor, event.list_price_minor, event.discount_id) if moved is RESERVED else None
        self.left.append((
            moved, event.reservation_id, event.order_id, record.history_id, event.quantity, event.amount_minor,
            event.buyer_id, event.host_id, priced,
        ))  # fmt: skip

    def sold(self, record: Record, _: Metadata, event: UnitsCommitted, __: Any, listing: Listing) -> None:
        """Note units that a listing has sold, in its show."""
        if event.stream_id != listing.offer.stream_id:
            found = f"{event.reservation_id} is sold in {event.stream_id}, {record.history_id} in another show"
            raise BreachError(record.position, "lines", found)
        self.left.append((
            SOLD, event.reservation_id, event.order_id, record.history_id, event.quantity, event.amount_minor,
            event.buyer_id, event.host_id, None,
        ))  # fmt: skip

    def ordered(self, record: Record, metadata: Metadata, event: o.OrderPlaced) -> None:
        """Let a new order answer for what is reserved: it is of its command's time, and held as long as all of that."""
        order_id, buyer_id, host_id = record.history_id, event.buyer_id, event.host_id
        for line in event.lines:
            self._answer(record, (
                RESERVED, reservation_id(order_id, line.line_id), order_id, line.listing_id, line.quantity,
                line.amount_minor, buyer_id, host_id, (line.unit_price_minor, line.list_price_minor, line.discount_id),
            ))  # fmt: skip
        first_end = min(self._ends)
        self._ends.clear()
        if event.placed_at != metadata.ingress_at or event.hold_expires_at != first_end:
            found = f"{order_id} is of {event.placed_at} and held until {event.hold_expires_at}, not until {first_end}"
            raise BreachError(record.position, "deadlines", found)

    def paid(self, record: Record, event: o.PaymentCaptured, order: Order) -> None:
        """Let a paid order answer for what is sold; for a late payment it may have been reserved again."""
        order_id = record.history_id
        for line_id, facts in order.lines.items():
            if facts.kept:
                line = (
                    reservation_id(order_id, line_id), order_id, facts.line.listing_id, facts.kept,
                    facts.captured_minor, order.buyer_id, order.host_id, None,
                )  # fmt: skip
                self._answer(record, (SOLD, *line))
                if event.late and (AGAIN, *line) in self.left:
                    self._answer(record, (AGAIN, *line))

    def _answer(self, record: Record, line: _Moved) -> None:
        try:
            self.left.remove(line)
        except ValueError:
            raise BreachError(record.position, "lines", f"{_told(line)} are not {line[0]}") from None

    def end(self, record: Record) -> None:
        """Let nothing be left at the end of a command."""
        if self.left:
            moved = self.left[0]
            raise BreachError(record.position, "lines", f"{_told(moved)} are {moved[0]}, and no order says so")


@cache
def _lasting(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def _told(moved: _Moved) -> str:
    _, reserved, order_id, listing_id, quantity, amount_minor, buyer_id, host_id, priced = moved
    units = f"{quantity} units of {listing_id} at {amount_minor} as {reserved}"
    prices = "" if priced is None else " ({} each, {} without discount, {})".format(*priced)
    return f"{units} of {order_id}, for {buyer_id} by {host_id}{prices},"
