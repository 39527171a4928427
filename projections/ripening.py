"""What ripens: commissions of delivered orders, until the goods can no longer come back.

A delivery says when its return window ends, by the terms of the sale. Its commissions are qualified to lock then, and
are locked once the order is completed. Both follow by reactions, like all that is ``owed``: what was delivered or
completed up to the position that these have come to must have been followed by the end of the journal. Until it is, it
is kept, in the attic if there is much of it.
"""

import marshal
from collections.abc import Iterator
from datetime import datetime, timedelta

from domain.commission.facts import CommissionQualified
from domain.ids import CommissionId, LineId, OrderId
from domain.order.events import OrderCompleted, OrderDelivered
from domain.order.state import Order, Stage
from domain.record import Metadata, Record
from domain.values import frozen
from projections.attic import Attic, Shelf
from projections.breach import BreachError
from projections.owed import Owing

_Delivered = tuple[OrderId, LineId, int, datetime]
"""Order, line, the position of its delivery, and when its return window ends."""
_Completed = tuple[OrderId, LineId, int]
"""Order, line, and the position at which it was completed."""


@frozen
class Unripe:
    """A commission that did not go the way of its order."""

    commission_id: CommissionId
    order_id: OrderId
    line_id: LineId
    must_become: str
    """``qualified`` or ``locked``."""
    position: int
    """The delivery or completion that it was to follow."""

    def __str__(self) -> str:
        """Say it in a line."""
        came = "delivered" if self.must_become == "qualified" else "completed"
        must = f"commission {self.commission_id} must become {self.must_become}"
        return f"{must}, as line {self.line_id} of {self.order_id} was {came} at position {self.position}"


class Ripening:
    """Takes deliveries, completions and what becomes of commissions, in order of their positions."""

    def __init__(self, attic: Attic, owing: Owing, reacted: int) -> None:
        """Name nobody who is late, but judge what is written all the same, when ``reacted`` is 0."""
        self._owing, self._reacted = owing, reacted
        self._delivered: Shelf[_Delivered] = Shelf(attic, _put, _taken, marked=False)
        self._completed: Shelf[_Completed] = Shelf(attic, marshal.dumps, marshal.loads, marked=False)
        self._held: Shelf[int] = Shelf(attic, marshal.dumps, marshal.loads, marked=False)
        """Commissions that were ever held: they lock when they are let go."""

    def delivered(self, record: Record, metadata: Metadata, event: OrderDelivered, before: Order, order: Order) -> None:
        """Hold a delivery against its terms, and expect its commissions to be qualified."""
        order_id, position, terms = record.history_id, record.position, self._owing.terms_of(record, before)
        ends_at = metadata.ingress_at + timedelta(days=terms.hold_days)
        must = OrderDelivered(metadata.ingress_at, ends_at)
        if before.stage is not Stage.SHIPPED or event != must:
            found = f"{order_id}, {before.stage} before: {event} is written, by its terms it must be {must}"
            raise BreachError(position, "deadlines", found)
        for line_id, earned in self._owing.earning(order_id, order, terms):
            self._delivered.set(earned, (order_id, line_id, position, ends_at))

    def completed(self, record: Record, metadata: Metadata, _: OrderCompleted, __: Order, order: Order) -> None:
        """Expect the commissions to be locked, if it is time."""
        ends_at = order.return_window_ends_at
        if record.position <= self._reacted and ends_at is not None and ends_at <= metadata.ingress_at:
            terms = self._owing.terms_of(record, order)
            for line_id, earned in self._owing.earning(record.history_id, order, terms):
                self._completed.set(earned, (record.history_id, line_id, record.position))

    def excluded(self, record: Record) -> None:
        """Expect nothing of a commission that is none."""
        self._delivered.delete(record.history_id)
        self._completed.delete(record.history_id)

    def qualified(self, record: Record, event: CommissionQualified) -> None:
        """Hold a commission's time against the return window of its order."""
        _, _, _, ends_at = self._delivered.get(record.history_id) or ("", "", 0, None)
        if event.locks_at != ends_at:
            window = "nothing was delivered" if ends_at is None else f"the goods may come back until {ends_at}"
            raise BreachError(record.position, "commission", f"{record.history_id} locks at {event.locks_at}, {window}")
        self._delivered.delete(record.history_id)

    def held(self, record: Record) -> None:
        """Note that a commission is kept from being paid."""
        self._held.set(record.history_id, record.position)

    def locked(self, record: Record) -> None:
        """Note that a commission is payable."""
        self._completed.delete(record.history_id)

    def left(self) -> Iterator[Unripe]:
        """Yield those that should have gone further."""
        for key, (order_id, line_id, position, _) in self._delivered.walk():
            if position <= self._reacted:
                yield Unripe(key, order_id, line_id, "qualified", position)
        for key, (order_id, line_id, position) in self._completed.walk():
            if key not in self._held:
                yield Unripe(key, order_id, line_id, "locked", position)


def _put(delivered: _Delivered) -> bytes:
    return marshal.dumps((*delivered[:3], delivered[3].isoformat()))


def _taken(written: bytes) -> _Delivered:
    order_id, line_id, position, ends_at = marshal.loads(written)  # noqa: S302 - what we wrote ourselves
    return order_id, line_id, position, datetime.fromisoformat(ends_at)
