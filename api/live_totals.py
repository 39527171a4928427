"""What a show has sold so far: counted once when somebody comes to watch, and then moved by the journal.

It is exact although orders go on coming in while they are counted: a sale that the rows held already, because its
record is not later than they were read or its order was met among them, is not counted again.
"""

from collections.abc import Iterable
from typing import Any

from attrs import Factory, define

from api.live_news import Ticker, count
from api.live_shapes import Shape, money
from domain.ids import ORDER, OrderId, StreamId, kind_of
from domain.order.state import Stage
from domain.record import Record
from projections.leaderboards import STANDINGS, Board
from projections.orders import ORDERS, OrderRow
from projections.store import Query, Tables

PAGE = 5_000


@define
class Totals:
    """Sales of a show so far."""

    sold: Ticker
    paid_position: int
    """Up to where units and money are in ``sold`` from the start."""
    orders_position: int | None = None
    """Up to where orders are."""
    counted: set[OrderId] = Factory(set)
    """Orders that were met among the rows although they are later."""

    def count(self, ticker: Ticker, sales: Iterable[tuple[Record, Any]]) -> None:
        """Count sales into a ticker, and here unless they were known from the start."""
        for record, sale in sales:
            count(ticker, record, sale)
            if not self._knew(record):
                count(self.sold, record, sale)

    def shape(self, currency: str) -> Shape:
        """Show them."""
        sold = self.sold
        gmv = money(sold.paid_minor, currency)
        units = {"units": sold.paid_units, "returned_units": sold.returned_units}
        return {"orders": sold.orders, "refused": sold.refused, **units, "gmv": gmv}

    def _knew(self, record: Record) -> bool:
        if kind_of(record.history_id) != ORDER:
            return record.position <= self.paid_position
        return record.position <= (self.orders_position or 0) or record.history_id in self.counted

    def add(self, position: int, rows: Iterable[OrderRow]) -> None:
        """Count orders as they were read when the read model stood at ``position``."""
        if self.orders_position is None:
            self.orders_position = position
        for row in rows:
            refused = row.stage == Stage.REFUSED.value
            self.sold.refused += refused
            self.sold.orders += not refused
            if row.position > self.orders_position:
                self.counted.add(row.order_id)


async def totals_of(tables: Tables, stream_id: StreamId) -> Totals:
    """Count what a show has sold, a page of orders at a time so that others get their turn."""
    hosts = await tables.find(Query(STANDINGS, {"stream_id": stream_id, "board": Board.HOSTS.value}))
    returned = sum(row.returned_units for row in hosts.rows)
    sold = Ticker(
        paid_units=sum(row.units for row in hosts.rows) + returned,
        returned_units=returned,
        paid_minor=sum(row.gmv_minor for row in hosts.rows),
    )
    totals = Totals(sold, hosts.position)
    after = None
    while True:
        found = await tables.find(Query(ORDERS, {"stream_id": stream_id}, after=after, limit=PAGE))
        totals.add(found.position, found.rows)
        if len(found.rows) < PAGE:
            return totals
        after = (found.rows[-1].order_id,)
