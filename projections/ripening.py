"""What ripens: commissions of delivered orders, until the goods can no longer come back.

A delivery says when its return window ends, by the terms of the sale. Its commissions are qualified to lock then, a
little later, by a reaction. Until they are it is kept, in the attic if there is much of it.
"""

import marshal
from datetime import datetime
from typing import Any

from domain.commission.facts import CommissionQualified
from domain.ids import LineId, OrderId
from domain.order.commands import DeliverOrder
from domain.order.events import OrderDelivered
from domain.order.rules import decide
from domain.order.state import Order
from domain.record import Metadata, Record
from projections.attic import Attic, Shelf
from projections.breach import BreachError
from projections.owed import Owing

_Ripens = tuple[OrderId, LineId, str, int]
"""Order, line, when its return window ends, and the position of the delivery."""


class Ripening:
    """Takes deliveries and what becomes of commissions, in order of their positions."""

    def __init__(self, attic: Attic, owing: Owing) -> None:
        """Start with nothing delivered."""
        self._owing = owing
        self._delivered: Shelf[_Ripens] = _shelf(attic)

    def delivered(self, record: Record, metadata: Metadata, event: OrderDelivered, before: Order, order: Order) -> None:
        """Hold a delivery against its terms, and expect its commissions to be qualified."""
        hold_days = self._owing.terms_of(record, before).hold_days
        decided = decide(before, DeliverOrder(hold_days, metadata.ingress_at))
        if decided != [event]:
            found = f"{record.history_id}: {event} is written, its terms say {decided}"
            raise BreachError(record.position, "deadlines", found)
        order_id, position, ends_at = record.history_id, record.position, str(order.return_window_ends_at)
        for line_id, commission_id in self._owing.earning(record, order):
            self._delivered.set(commission_id, (order_id, line_id, ends_at, position))

    def excluded(self, record: Record) -> None:
        """Expect nothing of a commission that is none."""
        self._delivered.delete(record.history_id)

    def qualified(self, record: Record, event: CommissionQualified) -> None:
        """Hold a commission's time against the return window of its order."""
        _, _, ends_at, _ = self._delivered.get(record.history_id) or ("", "", None, 0)
        if ends_at is None or event.locks_at != datetime.fromisoformat(ends_at):
            window = "nothing was delivered" if ends_at is None else f"the goods may come back until {ends_at}"
            raise BreachError(record.position, "commission", f"{record.history_id} locks at {event.locks_at}, {window}")
        self._delivered.delete(record.history_id)


def _shelf(attic: Attic) -> Shelf[Any]:
    return Shelf(attic, marshal.dumps, marshal.loads, marked=False)
