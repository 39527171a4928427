"""Who may do what: the whole matrix on one page.

An endpoint names the roles that may call it at all; a rule here then looks at the very thing. Admins may do
everything that is a matter of the shop; auditors see everything and change nothing.
"""

from collections.abc import Callable
from typing import Final

from api.auth import Forbidden, Principal, Role
from domain.order.state import Order
from domain.stream.state import Stream

EVERYBODY: Final = frozenset(Role)
SHOW_STAFF: Final = frozenset({Role.HOST, Role.BRAND, Role.ADMIN})
OWNERS: Final = frozenset({Role.BRAND, Role.ADMIN})
BUYING: Final = frozenset({Role.BUYER, Role.CLIENT, Role.ADMIN})
FULFILMENT: Final = frozenset({Role.BRAND, Role.CLIENT, Role.ADMIN})
REFUNDING: Final = frozenset({Role.BRAND, Role.FINANCE, Role.CLIENT, Role.ADMIN})
ORDER_READERS: Final = EVERYBODY - {Role.HOST}
EARNINGS_READERS: Final = frozenset({Role.HOST, Role.FINANCE, Role.AUDITOR, Role.ADMIN})
AUDIT: Final = frozenset({Role.AUDITOR, Role.ADMIN})
PAST_READERS: Final = EVERYBODY - {Role.BUYER}
"""Who may ask how it was: a replay costs more than a look, so viewers get the present only."""

OfShow = Callable[[Principal, Stream], bool]
OfOrder = Callable[[Principal, Order, Stream], bool]


def owns(who: Principal, show: Stream) -> bool:
    """Whether it is the brand of a show."""
    return who.role is Role.ADMIN or (who.role is Role.BRAND and who.subject == show.brand_id)


def runs(who: Principal, show: Stream) -> bool:
    """Whether it runs a show: its host or its brand."""
    return owns(who, show) or (who.role is Role.HOST and who.subject == show.host_id)


def presents(who: Principal, show: Stream) -> bool:
    """Whether it decides what viewers see pinned: who runs the show, and the co-host who is on air."""
    return runs(who, show) or (who.role is Role.HOST and who.subject == show.on_air)


def buys(who: Principal, order: Order, _show: Stream) -> bool:
    """Whether it is the buyer of an order, or orders for buyers."""
    return who.role in (Role.CLIENT, Role.ADMIN) or (who.role is Role.BUYER and who.subject == order.buyer_id)


def fulfils(who: Principal, _order: Order, show: Stream) -> bool:
    """Whether it sends what was ordered: the brand of the show, or who orders for buyers."""
    return who.role is Role.CLIENT or owns(who, show)


def refunds(who: Principal, order: Order, show: Stream) -> bool:
    """Whether it may give money back."""
    return who.role is Role.FINANCE or fulfils(who, order, show)


def sees_order(who: Principal, order: Order, show: Stream) -> bool:
    """Whether it may see an order."""
    return who.role in (Role.FINANCE, Role.AUDITOR) or buys(who, order, show) or owns(who, show)


def require_earner(who: Principal, payee_id: str | None) -> None:
    """Let a host see its own earnings only."""
    if who.role is Role.HOST and payee_id != who.subject:
        raise Forbidden(who.role.value)


def buyer_of(who: Principal, buyer_id: str | None) -> str | None:
    """Return for whom is ordered: a buyer orders for itself, others name the buyer; None when they did not."""
    if who.role is not Role.BUYER:
        return buyer_id
    if buyer_id not in (None, who.subject):
        raise Forbidden(who.role.value)
    return who.subject
