"""Where a listing's units are. Every unit is in exactly one bucket, and moving it is the only arithmetic there is.

``allotted = available + reserved + committed + shipped + unavailable + returned_to_source`` holds in every state, and
no bucket is ever negative: the ledger is kept by moving units, so nothing can appear or vanish.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import evolve as changed

from domain.ids import BuyerId, HostId, OrderId, ReservationId
from domain.money import portion
from domain.persistent import Heap, Map
from domain.values import frozen


class Disposition(StrEnum):
    """In what state goods came back."""

    RESTOCK = "restock"
    DAMAGED = "damaged"


class Bucket(StrEnum):
    """Where units can be."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    COMMITTED = "committed"
    SHIPPED = "shipped"
    UNAVAILABLE = "unavailable"
    RETURNED_TO_SOURCE = "returned_to_source"


_PLACES: Final = tuple(Bucket)
"""The buckets in the order in which ``Units`` has them."""


@frozen
class Units:
    """A listing's unit ledger."""

    allotted: int = 0
    available: int = 0
    reserved: int = 0
    committed: int = 0
    shipped: int = 0
    unavailable: int = 0
    returned_to_source: int = 0

    @property
    def conserved(self) -> bool:
        """Whether every unit is in exactly one bucket."""
        buckets: list[int] = [getattr(self, bucket.value) for bucket in Bucket]
        return self.allotted == sum(buckets) and min(buckets) >= 0

    def moved(self, quantity: int, source: Bucket, target: Bucket) -> "Units":
        """Return the ledger after a move between buckets."""
        buckets = [
            self.available, self.reserved, self.committed, self.shipped, self.unavailable, self.returned_to_source,
        ]  # fmt: skip
        buckets[_PLACES.index(source)] -= quantity
        buckets[_PLACES.index(target)] += quantity
        return Units(self.allotted, *buckets)

    def allot(self, quantity: int) -> "Units":
        """Return the ledger with more (or, negative, fewer) units to sell."""
        return changed(self, allotted=self.allotted + quantity, available=self.available + quantity)


@frozen
class Hold:
    """Units reserved for an order line until its deadline."""

    order_id: OrderId
    buyer_id: BuyerId
    host_id: HostId
    quantity: int
    until: datetime
    reserved_quantity: int
    """What was held at first: a part of it costs its part of the price."""
    reserved_amount_minor: int
    discount_id: str | None = None

    @property
    def amount_minor(self) -> int:
        """The price of what is still held."""
        return portion(self.reserved_amount_minor, self.quantity, self.reserved_quantity)


@frozen
class Sale:
    """Units of a paid order line that the buyer has or will get."""

    order_id: OrderId
    buyer_id: BuyerId
    host_id: HostId
    quantity: int
    shipped: bool = False
    returns: tuple[str, ...] = ()
    """Returns already booked, so that a repeated one changes nothing."""
    discount_id: str | None = None


@frozen
class Book:
    """Who holds and who bought which units."""

    holds: Map[ReservationId, Hold] = Map()
    sales: Map[ReservationId, Sale] = Map()
    bought: Map[BuyerId, int] = Map()
    """Units a buyer holds or bought, for the purchase limit."""
    deadlines: Heap[tuple[datetime, ReservationId]] = Heap()

    def hold(self, reservation_id: ReservationId, hold: Hold) -> "Book":
        """Return the book with a new hold."""
        return Book(
            self.holds.set(reservation_id, hold),
            self.sales,
            self._count(hold.buyer_id, hold.quantity),
            self.deadlines.push((hold.until, reservation_id)),
        )

    def release(self, reservation_id: ReservationId, quantity: int) -> "Book":
        """Return the book with a hold reduced; it is gone when nothing is left of it."""
        hold = self.holds[reservation_id]
        left = hold.quantity - quantity
        if not left:
            holds = self.holds.delete(reservation_id)
        else:
            holds = self.holds.set(reservation_id, changed(hold, quantity=left))
        return Book(holds, self.sales, self._count(hold.buyer_id, -quantity), _pruned(self.deadlines, holds))

    def commit(self, reservation_id: ReservationId) -> "Book":
        """Return the book with a hold turned into a sale."""
        hold = self.holds[reservation_id]
        holds = self.holds.delete(reservation_id)
        sale = Sale(hold.order_id, hold.buyer_id, hold.host_id, hold.quantity, discount_id=hold.discount_id)
        return Book(holds, self.sales.set(reservation_id, sale), self.bought, _pruned(self.deadlines, holds))

    def ship(self, reservation_id: ReservationId) -> "Book":
        """Return the book with a sale on its way."""
        sales = self.sales.set(reservation_id, changed(self.sales[reservation_id], shipped=True))
        return changed(self, sales=sales)

    def take_back(self, reservation_id: ReservationId, return_id: str, quantity: int) -> "Book":
        """Return the book with part of a sale undone."""
        sale = self.sales[reservation_id]
        sale = changed(sale, quantity=sale.quantity - quantity, returns=(*sale.returns, return_id))
        return changed(self, sales=self.sales.set(reservation_id, sale), bought=self._count(sale.buyer_id, -quantity))

    def expired(self, now: datetime) -> list[tuple[ReservationId, Hold]]:
        """Return the holds whose deadline has come, earliest first."""
        found: dict[ReservationId, Hold] = {}  # a hold made anew at the same instant is in the heap twice
        heap = self.deadlines
        while (first := heap.first) is not None and first[0] <= now:
            hold = self.holds.get(first[1])
            if hold is not None and hold.until == first[0]:
                found[first[1]] = hold
            heap = heap.pop()
        return list(found.items())

    def _count(self, buyer_id: BuyerId, quantity: int) -> Map[BuyerId, int]:
        total = self.bought.get(buyer_id, 0) + quantity
        return self.bought.set(buyer_id, total) if total else self.bought.delete(buyer_id)


def _pruned(
    deadlines: Heap[tuple[datetime, ReservationId]], holds: Map[ReservationId, Hold]
) -> Heap[tuple[datetime, ReservationId]]:
    """Drop deadlines of holds that are gone from the front, so that the next look is short."""
    while (first := deadlines.first) is not None:
        hold = holds.get(first[1])
        if hold is not None and hold.until == first[0]:
            break
        deadlines = deadlines.pop()
    return deadlines
