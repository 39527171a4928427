"""What an order's life means for those who earn on it. Each line has one commission a payee and instrument."""

from collections.abc import Iterable

from application.commands import AccrueCommissions, LockCommissions, QualifyCommissions, ReviseCommissions
from application.desk import Desk
from domain.commission import facts as commission
from domain.ids import commission_id
from domain.order.state import LineFacts, Order
from domain.terms import Share, Terms


def accrue(desk: Desk, command: AccrueCommissions) -> None:
    """Book what a paid order earns by the terms it was sold under, on what was captured for each line."""
    order = desk.order(command.order_id)
    show = desk.stream(order.stream_id)
    terms = show.terms_of(order.terms_version)
    shares = terms.shares_for(order.host_id)
    insiders = (show.host_id, *show.co_hosts, order.host_id, *[share.payee_id for share in shares])
    earning = [facts for facts in order.in_order() if facts.captured_minor]
    desk.need(_ids(command.order_id, earning, shares))
    for facts in earning:
        for share in shares:
            history_id = _id(command.order_id, facts, share)
            desk.tell(history_id, _accrual(command.order_id, order, facts, share, terms, insiders))


def _accrual(
    order_id: str, order: Order, facts: LineFacts, share: Share, terms: Terms, insiders: tuple[str, ...]
) -> commission.AccrueCommission:
    return commission.AccrueCommission(
        order_id=order_id,
        line_id=facts.line.line_id,
        stream_id=order.stream_id,
        buyer_id=order.buyer_id,
        insiders=insiders,
        payee_id=share.payee_id,
        instrument=commission.Instrument.PERCENT,
        terms_version=order.terms_version,
        rate_bps=terms.rate_bps,
        shares=terms.shares_for(order.host_id),
        currency=order.currency,
        base_minor=facts.captured_minor,
    )


def _terms(desk: Desk, order: Order) -> Terms:
    return desk.stream(order.stream_id).terms_of(order.terms_version)


def _id(order_id: str, facts: LineFacts, share: Share) -> str:
    return commission_id(order_id, facts.line.line_id, share.payee_id, commission.Instrument.PERCENT)


def _ids(order_id: str, lines: Iterable[LineFacts], shares: Iterable[Share]) -> list[str]:
    payees = list(shares)
    return [_id(order_id, facts, share) for facts in lines for share in payees]


def _booked(desk: Desk, order_id: str) -> list[tuple[LineFacts, str]]:
    """Name the commissions of an order's lines that have been booked."""
    order = desk.order(order_id)
    shares = _terms(desk, order).shares_for(order.host_id)
    earning = [facts for facts in order.in_order() if facts.captured_minor]
    desk.need(_ids(order_id, earning, shares))
    named = [(facts, _id(order_id, facts, share)) for facts in earning for share in shares]
    return [(facts, each) for facts, each in named if desk.versioned(each).version]


def qualify(desk: Desk, command: QualifyCommissions) -> None:
    """Start the hold days: the commissions lock when the return window ends."""
    ends_at = desk.order(command.order_id).return_window_ends_at
    if ends_at is None:
        return
    for _, history_id in _booked(desk, command.order_id):
        desk.tell(history_id, commission.QualifyCommission(ends_at))


def lock(desk: Desk, command: LockCommissions) -> None:
    """Make an order's commissions payable."""
    for _, history_id in _booked(desk, command.order_id):
        desk.tell(history_id, commission.LockCommission(desk.now))


def revise(desk: Desk, command: ReviseCommissions) -> None:
    """Bring the commissions of refunded lines down to what the lines still bring."""
    for facts, history_id in _booked(desk, command.order_id):
        if facts.line.line_id in command.line_ids:
            remaining = facts.captured_minor - facts.refunded_minor
            desk.tell(history_id, commission.ReviseCommission(remaining, command.reason))
