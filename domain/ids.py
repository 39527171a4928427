"""Names of things: an aggregate's id is also the id of its history.

The prefix says which aggregate a history belongs to, so a record can be routed without being decoded.
Ids of clients (hosts, buyers, payees, brands) are pseudonyms of 1 to 64 letters, digits, ``_`` or ``-``: they
end up in URLs, NATS subjects and file names, and never hold personal data.
"""

import re
from typing import Final

StreamId = str
ListingId = str
OrderId = str
CommissionId = str
HostId = str
BuyerId = str
BrandId = str
PayeeId = str
LineId = str
ReservationId = str

STREAM: Final = "stream"
LISTING: Final = "listing"
ORDER: Final = "order"
COMMISSION: Final = "commission"
PRESENCE: Final = "presence"

PSEUDONYM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def kind_of(history_id: str) -> str:
    """Say which aggregate a history belongs to: ``listing-01j…`` is a ``listing``."""
    return history_id.partition("-")[0]


def reservation_id(order_id: OrderId, line_id: LineId) -> ReservationId:
    """Name the units that one order line holds on its listing."""
    return f"{order_id}:{line_id}"


def commission_id(order_id: OrderId, line_id: LineId, payee_id: PayeeId, instrument: str) -> CommissionId:
    """Name the one commission of an order line, payee and instrument; whoever computes it, it is the same."""
    return f"{COMMISSION}-{order_id.removeprefix(ORDER + '-')}-{line_id}-{payee_id}-{instrument}"


def presence_id(host_id: HostId) -> str:
    """Name the history that says in which show a host is on air."""
    return f"{PRESENCE}-{host_id}"
