"""The ``eventsourcing`` library as it comes: its application, its aggregates, its recorder, its table.

The library's cache of aggregates is on, and the listing keeps counts only, so that nothing has to be replayed and
little has to be copied: the library at its best for this. One command saves one order and the one hot listing.
"""

import time
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from adapters.yardsticks.pgbench import database

LISTING: Final = uuid5(NAMESPACE_URL, "listing")


class Listing(Aggregate):
    """How many are left."""

    @event("Created")
    def __init__(self, available: int) -> None:
        self.available = available

    @event("Reserved")
    def reserve(self, order_id: UUID, buyer_id: str, quantity: int, price_minor: int) -> None:  # noqa: ARG002 - the event's facts
        """Take units away."""
        self.available -= quantity


class Order(Aggregate):
    """Who ordered what."""

    @event("Placed")
    def __init__(self, listing_id: UUID, buyer_id: str, quantity: int, price_minor: int) -> None:
        self.listing_id, self.buyer_id = listing_id, buyer_id
        self.quantity, self.price_minor = quantity, price_minor


class Shop(Application[UUID]):
    """One command: place an order."""

    def place(self, listing_id: UUID, buyer_id: str) -> None:
        """Reserve a unit and save both."""
        listing: Listing = self.repository.get(listing_id)
        if listing.available < 1:
            raise ValueError("sold out")
        order = Order(listing_id, buyer_id, 1, 1999)
        listing.reserve(order.id, buyer_id, 1, 1999)
        self.save(order, listing)


def run(url: str, seconds: float) -> dict[str, float]:
    """Return orders a second, one after the other: a second writer would only collide with the first."""
    known = conninfo_to_dict(database(url))
    shop = Shop({
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(known["dbname"]),
        "POSTGRES_HOST": str(known.get("host", "")),
        "POSTGRES_PORT": str(known.get("port", "")),
        "POSTGRES_USER": str(known.get("user", "")),
        "POSTGRES_PASSWORD": str(known.get("password", "")),
        "AGGREGATE_CACHE_MAXSIZE": "1000",
        "AGGREGATE_CACHE_FASTFORWARD": "false",
    })  # fmt: skip
    listing = Listing(10**9)
    shop.save(listing)
    for number in range(20):
        shop.place(listing.id, f"warm-up-{number}")
    began, orders = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        shop.place(listing.id, f"buyer-{uuid4().hex}")
        orders += 1
    shop.close()
    return {"orders_per_s": orders / spent}
