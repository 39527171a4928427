"""What can be asked of an order: it always takes its listings along.

Placing reserves on every listing in one append, paying commits on every listing in one append; so does everything that
moves units later. A look is sold by its own window and price; its components give the units and share its price.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from application.commands import (
    AskLine,
    CancelLine,
    CancelOrder,
    CapturePayment,
    DeliverOrder,
    ExpireOrder,
    PlaceOrder,
    ReceiveReturn,
    RequestPayment,
    ShipOrder,
)
from application.desk import Desk
from domain.ids import reservation_id
from domain.listing import commands as listing
from domain.listing.events import UnitsReserved
from domain.listing.reservations import quote_look
from domain.listing.state import Listing
from domain.listing.units import Disposition
from domain.money import split
from domain.order import commands as order
from domain.order.events import AskedLine, Line, OrderExpired, ReturnReceived
from domain.order.state import LineFacts, Order, Stage
from domain.refusal import Invalid, NotAllowedNow, NotFound, Refusal, snake_case
from domain.stream.rules import StreamNotLive

FREE = "free"
"""The payment of an order that costs nothing."""
MAX_LINES = 1_000
"""An order's own lines, after looks are taken apart: one order is one append, and one record names all of its lines."""


def place(desk: Desk, command: PlaceOrder) -> None:
    """Reserve everything on every listing, and write the order that holds it. One that is there is left as it is."""
    if desk.versioned(command.target).version:
        return
    show = desk.stream(command.stream_id)
    listings = {line.listing_id: _offered(desk, command, line) for line in command.lines}
    if not show.sells(desk.now):
        raise StreamNotLive(show.status)
    parts = [part.listing_id for each in listings.values() for part in each.offer.components]
    if parts:
        desk.need(parts)
    placing = _Placing(desk, command, show.on_air)
    for line in command.lines:
        placing.add(line, listings[line.listing_id])
    lines = placing.reserve()
    placed = order.PlaceOrder(
        command.stream_id, command.buyer_id, show.on_air, show.terms_at(desk.now).version, show.currency, lines,
        placing.until(), desk.now,
    )  # fmt: skip
    desk.tell(command.target, placed)
    if not sum([line.amount_minor for line in lines]):
        _give(desk, command.target)


def _give(desk: Desk, order_id: str) -> None:
    """Let somebody have what costs nothing."""
    _commit(desk, order_id, desk.now)
    desk.tell(order_id, order.CapturePayment(FREE, 0, late=False, now=desk.now))


def _offered(desk: Desk, command: PlaceOrder, line: AskLine) -> Listing:
    found = desk.listing(line.listing_id)
    if found.offer.stream_id != command.stream_id:
        raise NotFound("listing", line.listing_id)
    return found


class _Placing:
    """Collects an order's demand by listing, so that each is judged on all of it at once."""

    def __init__(self, desk: Desk, command: PlaceOrder, host_id: str) -> None:
        self._desk, self._command, self._host_id = desk, command, host_id
        self._wants: dict[str, list[listing.Want]] = defaultdict(list)
        self._looks: dict[str, str] = {}
        self._reserved: list[tuple[str, UnitsReserved]] = []
        self._count = 0

    def add(self, line: AskLine, offered: Listing) -> None:
        """Note a line's demand: of its listing, or of every component of a look."""
        if line.quantity <= 0:
            raise Invalid("lines.quantity", "must be positive")
        if offered.offer.components:
            self._add_look(line, offered)
        else:
            self._want(line.listing_id, line.quantity, line.unit_price_seen)

    def _add_look(self, line: AskLine, look: Listing) -> None:
        """Share the look's price by what its components cost alone."""
        try:
            quote = quote_look(look, self._desk.now, self._command.buyer_id, line.quantity, line.unit_price_seen)
        except Refusal as refused:
            raise _of_listing(refused, line.listing_id) from None
        parts = look.offer.components
        prices = [self._desk.listing(part.listing_id).offer.price_minor * part.quantity for part in parts]
        shares = split(quote.unit_price_minor * line.quantity, prices if any(prices) else [1] * len(parts))
        for part, amount_minor in zip(parts, shares, strict=True):
            wanted = self._want(part.listing_id, part.quantity * line.quantity, None, amount_minor)
            self._looks[wanted] = line.listing_id

    def _want(self, listing_id: str, quantity: int, seen: int | None, amount_minor: int | None = None) -> str:
        self._count += 1
        if self._count > MAX_LINES:
            raise Invalid("lines", f"come to more than {MAX_LINES} with every component of a look as a line of its own")
        wanted = reservation_id(self._command.target, str(self._count))
        self._wants[listing_id].append(listing.Want(wanted, quantity, seen, amount_minor))
        return wanted

    def reserve(self) -> tuple[Line, ...]:
        """Ask every listing for all that is wanted of it; return the order's lines at the prices it gave."""
        for listing_id, wants in self._wants.items():
            asked = listing.ReserveUnits(
                tuple(wants), self._command.target, self._command.buyer_id, self._host_id, self._desk.now
            )
            events = self._desk.tell(listing_id, asked)
            self._reserved += [(listing_id, event) for event in events if isinstance(event, UnitsReserved)]
        lines = [self._line(listing_id, event) for listing_id, event in self._reserved]
        lines.sort(key=lambda line: int(line.line_id))
        return tuple(lines)

    def _line(self, listing_id: str, event: UnitsReserved) -> Line:
        line_id = event.reservation_id.rpartition(":")[2]
        return Line(
            line_id, listing_id, event.quantity, event.unit_price_minor, event.list_price_minor, event.amount_minor,
            event.discount_id, self._looks.get(event.reservation_id),
        )  # fmt: skip

    def until(self) -> datetime:
        """Return when the first of the holds ends."""
        return min([event.until for _, event in self._reserved])


def _of_listing(refused: Refusal, listing_id: str) -> Refusal:
    if hasattr(refused, "listing_id"):
        refused.listing_id = listing_id
    return refused


def request_payment(desk: Desk, command: RequestPayment) -> None:
    """Write down that the provider is about to be asked."""
    desk.order(command.target)
    desk.tell(command.target, order.RequestPayment(command.key, desk.now))


def capture(desk: Desk, command: CapturePayment) -> None:
    """Give the units for a payment: from the hold, or again if it came late and they are still there; else refund.

    One that was asked for before the hold's end is in time for as long as nobody else was given the units.
    """
    placed = desk.order(command.target)
    if placed.payments.get(command.payment_id, "failed") != "failed":
        return
    desk.need(placed.listing_ids)
    payable = placed.awaits_payment or placed.stage is Stage.EXPIRED
    if not payable or command.amount_minor != placed.due_minor:
        reason = "amount_mismatch" if payable else f"order_{placed.stage}"
        desk.tell(command.target, order.OrphanPayment(command.payment_id, command.amount_minor, reason, desk.now))
    elif not (placed.awaits_payment and _captured(desk, command, late=False)) and not _captured(
        desk, command, late=True
    ):
        late = order.OrphanPayment(command.payment_id, command.amount_minor, "hold_expired", desk.now)
        desk.tell(command.target, late)
        _release(desk, command.target, "expired")


def _captured(desk: Desk, command: CapturePayment, *, late: bool) -> bool:
    """Try to serve a payment on a desk of its own; say whether every unit was there."""
    trial = desk.attempt()
    try:
        _reacquire(trial, command.target) if late else _commit(trial, command.target, command.asked_at or desk.now)
    except Refusal:
        return False
    paid = order.CapturePayment(command.payment_id, command.amount_minor, late, desk.now)
    trial.tell(command.target, paid)
    desk.adopt(trial)
    return True


def _kept(placed: Order) -> Iterable[LineFacts]:
    return (facts for facts in placed.in_order() if facts.kept)


def _reserved_by(order_id: str, facts: LineFacts) -> str:
    return reservation_id(order_id, facts.line.line_id)


def _commit(desk: Desk, order_id: str, paid_at: datetime) -> None:
    for facts in _kept(desk.order(order_id)):
        desk.tell(facts.line.listing_id, listing.CommitUnits(_reserved_by(order_id, facts), paid_at))


def _reacquire(desk: Desk, order_id: str) -> None:
    placed = desk.order(order_id)
    for facts in _kept(placed):
        again = listing.ReacquireUnits(
            _reserved_by(order_id, facts), order_id, placed.buyer_id, placed.host_id, facts.kept,
            facts.line.unit_price_minor, facts.due_minor, facts.line.discount_id, desk.now,
        )  # fmt: skip
        desk.tell(facts.line.listing_id, again)


def _release(desk: Desk, order_id: str, reason: str) -> None:
    placed = desk.order(order_id)
    for facts in placed.in_order():
        desk.tell(facts.line.listing_id, listing.ReleaseUnits(_reserved_by(order_id, facts), reason))


def expire(desk: Desk, command: ExpireOrder) -> None:
    """Give up an order that was not paid in time; its units are for sale again."""
    placed = desk.order(command.target)
    desk.need(placed.listing_ids)
    told = desk.tell(command.target, order.ExpireOrder(desk.now))
    if any(isinstance(event, OrderExpired) for event in told):
        _release(desk, command.target, "expired")


def cancel(desk: Desk, command: CancelOrder) -> None:
    """Call an order off: held units are released, paid ones go back on sale, what was paid is refunded."""
    before = desk.order(command.target)
    desk.need((before.stream_id, *before.listing_ids))
    if not desk.tell(command.target, order.CancelOrder(desk.now)):
        return
    if before.stage is not Stage.PAID:
        _release(desk, command.target, "cancelled")
        return
    for facts in _kept(before):
        _take_back(desk, command.target, before.stream_id, facts, "cancelled", facts.kept, Disposition.RESTOCK)


def cancel_line(desk: Desk, command: CancelLine) -> None:
    """Take units out of an order; they are for sale again."""
    before = desk.order(command.target)
    desk.need((before.stream_id, *before.listing_ids))
    told = order.CancelLine(command.cancellation_id, command.line_id, command.quantity, desk.now)
    if not desk.tell(command.target, told):
        return
    facts = before.lines[command.line_id]
    if before.stage is Stage.PAID:
        _take_back(
            desk,
            command.target,
            before.stream_id,
            facts,
            command.cancellation_id,
            command.quantity,
            Disposition.RESTOCK,
        )
    else:
        keep = facts.kept - command.quantity
        reserved = _reserved_by(command.target, facts)
        desk.tell(facts.line.listing_id, listing.ReleaseUnits(reserved, "cancelled", keep))
        left = desk.order(command.target)
        if left.awaits_payment and left.holds_at(desk.now) and not left.due_minor:
            _give(desk, command.target)


def _take_back(
    desk: Desk, order_id: str, stream_id: str, facts: LineFacts, return_id: str, quantity: int, disposition: Disposition
) -> None:
    over = not desk.stream(stream_id).sells(desk.now)
    back = listing.ReturnUnits(_reserved_by(order_id, facts), return_id, quantity, disposition, over)
    desk.tell(facts.line.listing_id, back)


def ship(desk: Desk, command: ShipOrder) -> None:
    """Send an order; whichever of cancelling and shipping is appended first wins."""
    placed = desk.order(command.target)
    desk.need(placed.listing_ids)
    if desk.tell(command.target, order.ShipOrder(desk.now)):
        for facts in _kept(placed):
            desk.tell(facts.line.listing_id, listing.ShipUnits(_reserved_by(command.target, facts)))


def deliver(desk: Desk, command: DeliverOrder) -> None:
    """Note an order's arrival; the return window is that of the terms it was sold under."""
    placed = desk.order(command.target)
    if placed.stage is Stage.REFUSED:
        raise NotAllowedNow("deliver_order", placed.stage)
    terms = desk.stream(placed.stream_id).terms_of(placed.terms_version)
    desk.tell(command.target, order.DeliverOrder(terms.hold_days, desk.now))


def receive_return(desk: Desk, command: ReceiveReturn) -> None:
    """Take goods in: sound ones go back on sale while the show runs."""
    placed = desk.order(command.target)
    desk.need((placed.stream_id, *placed.listing_ids))
    for event in desk.tell(command.target, order.ReceiveReturn(command.return_id, command.disposition)):
        if isinstance(event, ReturnReceived):
            facts = placed.lines[event.line_id]
            _take_back(
                desk, command.target, placed.stream_id, facts, event.return_id, event.quantity, event.disposition
            )


RECORDED_REFUSALS = frozenset({
    "sold_out", "window_not_open", "window_closed", "purchase_limit_exceeded", "price_changed", "stream_not_live",
    "listing_withdrawn",
})  # fmt: skip
"""The shop's own answers to a well-formed order; a request that makes no sense is not demand."""


def record_refusal(desk: Desk, command: Any, refused: Refusal) -> None:
    """Write down demand that went unserved, and refused requests that may be repeated."""
    if isinstance(command, PlaceOrder):
        if refused.name in RECORDED_REFUSALS:
            asked = tuple(AskedLine(line.listing_id, line.quantity) for line in command.lines)
            note = order.RefuseOrder(
                command.stream_id, command.buyer_id, asked, refused.name, refused.facts, desk.arrival, desk.now
            )
            desk.tell(command.target, note)
    elif command.target.startswith("order-") and desk.versioned(command.target).version:
        desk.tell(command.target, order.RefuseRequest(_request(command), refused.name, refused.facts))


def _request(command: Any) -> str:
    return snake_case(type(getattr(command, "command", command)))
