"""What is owed: commissions that do not stand yet on what their order's line brings.

A payment and a refund say at once what the line's commissions must stand on; the commissions follow when it is reacted
to, and how long that takes nobody knows. So what must become of each is kept until it has, in the attic if there is
much of it. What was paid or given back up to the position that the reactions have come to must have been followed by
the end of the journal; what is younger is not judged, for it may still be on its way.
"""

import marshal
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from domain.commission.facts import CommissionAccrued, CommissionExcluded, Instrument
from domain.ids import BuyerId, CommissionId, LineId, OrderId, StreamId, commission_id
from domain.order.events import RefundIssued
from domain.order.state import LineFacts, Order
from domain.record import Record
from domain.stream import STREAM
from domain.stream.state import Stream
from domain.terms import Terms
from domain.values import frozen
from projections.attic import Attic, Shelf
from projections.breach import BreachError

_Line = tuple[OrderId, LineId, int, int, StreamId, int, BuyerId | None]
"""Order, line, what it brings and since which position; in which show it was sold and under which terms; and its buyer,
unless they earn on it themselves."""
_PERCENT: Final = Instrument.PERCENT.value


@frozen
class Owed:
    """A commission that is missing, or stands on something else than its line brings."""

    commission_id: CommissionId
    order_id: OrderId
    line_id: LineId
    base_minor: int
    """What it must stand on, unless the sale is out of terms."""
    position: int
    """The payment or refund that it was to follow."""

    def __str__(self) -> str:
        """Say it in a line."""
        must = f"commission {self.commission_id} must stand on {self.base_minor}"
        return f"{must}, as line {self.line_id} of {self.order_id} does since position {self.position}"


class Owing:
    """Takes payments, refunds and what becomes of commissions, in order of their positions."""

    def __init__(self, attic: Attic, streams: Mapping[str, tuple[int, Stream]], reacted: int) -> None:
        """Judge what lies up to the position ``reacted``; nothing when it is 0."""
        self._streams, self._reacted = streams, reacted
        self._owed: Shelf[_Line] = _shelf(attic)
        self._excluded: Shelf[int] = _shelf(attic)
        """Commissions that are out of terms, and since when: whatever goes back, they stay as they are."""

    def paid(self, record: Record, order: Order) -> None:
        """Expect a commission of every line that brought something, for each payee."""
        if record.position <= self._reacted:
            self._owe(record, order, [facts for facts in order.lines.values() if facts.captured_minor])

    def refunded(self, record: Record, event: RefundIssued, order: Order) -> None:
        """Expect the commissions of some lines to come down."""
        if self._reacted:
            self._owe(record, order, [order.lines[each.line_id] for each in event.allocations])

    def _owe(self, record: Record, order: Order, lines: Iterable[LineFacts]) -> None:
        order_id, position = record.history_id, record.position
        shares = self.terms_of(record, order).shares_for(order.host_id)
        earns = order.buyer_id == order.host_id or order.buyer_id in [each.payee_id for each in shares]
        sold = (order.stream_id, order.terms_version, None if earns else order.buyer_id)
        for facts in lines:
            line_id = facts.line.line_id
            for share in shares:
                owed = commission_id(order_id, line_id, share.payee_id, _PERCENT)
                if position > self._reacted:
                    self._owed.delete(owed)
                elif owed not in self._excluded:
                    self._owed.set(owed, (order_id, line_id, facts.refundable_minor, position, *sold))

    def earning(self, order_id: OrderId, order: Order, terms: Terms) -> list[tuple[LineId, CommissionId]]:
        """Return the commissions of an order that are not out of terms, as far as is known, with their lines."""
        shares, excluded = terms.shares_for(order.host_id), self._excluded
        return [
            (line_id, earned)
            for line_id, facts in order.lines.items()
            if facts.captured_minor
            for share in shares
            if (earned := commission_id(order_id, line_id, share.payee_id, _PERCENT)) not in excluded
        ]

    def terms_of(self, record: Record, order: Order) -> Terms:
        """Return the terms that an order was sold under."""
        stream = self._stream(order.stream_id)
        if not 0 < order.terms_version <= len(stream.agreed):
            found = f"{record.history_id} was sold under terms that {order.stream_id} never agreed"
            raise BreachError(record.position, "commission", found)
        return stream.terms_of(order.terms_version)

    def _stream(self, stream_id: str) -> Stream:
        return self._streams.get(stream_id, (0, STREAM.initial))[1]

    def accrued(self, record: Record, event: CommissionAccrued) -> None:
        """Note a commission that somebody earns, under the terms of the sale."""
        owed = self._begun(record, event, excluded=False)
        if owed is not None and owed[5] != event.terms_version:
            found = f"{record.history_id} is by terms {event.terms_version}, the sale was under terms {owed[5]}"
            raise BreachError(record.position, "commission", found)
        self.stands(record, event.base_minor)

    def excluded(self, record: Record, event: CommissionExcluded) -> None:
        """Note a commission that is none, for a buyer who hosts the show or earns on the sale."""
        self._begun(record, event, excluded=True)
        self._owed.delete(record.history_id)
        self._excluded.set(record.history_id, record.position)

    def _begun(self, record: Record, event: CommissionAccrued | CommissionExcluded, *, excluded: bool) -> _Line | None:
        """Check that who is excluded is of the show, as it is at this position; return the line if it is judged."""
        owed = self._expected(record)
        if owed is None:
            return None
        _, _, _, _, stream_id, _, buyer_id = owed
        if event.stream_id != stream_id:
            found = f"{record.history_id} is of {event.stream_id}, the sale was in {stream_id}"
            raise BreachError(record.position, "commission", found)
        stream = self._stream(stream_id)
        if excluded is not (buyer_id is None or buyer_id in (stream.host_id, *stream.co_hosts)):
            found = f"{record.history_id} is {'out of' if excluded else 'in'} terms, and its buyer is not"
            raise BreachError(record.position, "commission", found)
        return owed

    def stands(self, record: Record, base_minor: int) -> None:
        """Note what a commission stands on now."""
        owed = self._expected(record)
        if owed is not None and owed[2] == base_minor:
            self._owed.delete(record.history_id)

    def _expected(self, record: Record) -> _Line | None:
        """Return what a commission must come to; None when it is too young to be judged."""
        owed = self._owed.get(record.history_id)
        if owed is None and record.position <= self._reacted:
            raise BreachError(record.position, "commission", f"{record.history_id} follows from no payment or refund")
        return owed

    def left(self) -> Iterator[Owed]:
        """Yield those that still do not stand as they must."""
        return (Owed(key, *owed[:4]) for key, owed in self._owed.walk())


def _shelf(attic: Attic) -> Shelf[Any]:
    return Shelf(attic, marshal.dumps, marshal.loads, marked=False)
