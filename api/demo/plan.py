"""What is to happen in the shows: pure, so that it can be checked against the file without a shop.

A day of the file is a show, a stock code of a day a listing, an invoice an order. An invoice with one code at two
prices becomes two orders, for a listing has one price at a time. Everything happens in file order; an invoice counts
where its first row stands, even if others are in between.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Final

from api.demo.rows import Row
from domain.values import frozen


@frozen
class Host:
    """Who takes a show, and what is earned on it."""

    host_id: str
    rate_bps: int
    shares: tuple[tuple[str, int], ...] = ()
    """Payees and their parts in basis points; without them all goes to the host."""

    @property
    def payees(self) -> tuple[str, ...]:
        """Who earns on a sale of this host."""
        return tuple(payee for payee, _ in self.shares) or (self.host_id,)


HOSTS: Final = (
    Host("host-amara", 1_000),
    Host("host-bruno", 1_250),
    Host("host-chloe", 2_000, (("host-chloe", 7_000), ("agency-northlight", 3_000))),
)
"""They take the shows in turn."""


@frozen
class Line:
    """What an invoice asks of a stock code."""

    stock_code: str
    quantity: int
    price_minor: int
    """Of one unit."""


@frozen
class Order:
    """An invoice, or the part of it that other prices leave over."""

    order_key: str
    """Unique in the file: the invoice and which of its orders it is."""
    at: datetime
    customer: str
    """Empty for a guest, whom nobody recognises later."""
    buyer_id: str
    lines: tuple[Line, ...]


@frozen
class TakeBack:
    """A row of a cancellation: units that a customer gives back."""

    row: int
    at: datetime
    customer: str
    stock_code: str
    quantity: int


Step = Order | TakeBack


@frozen
class Offering:
    """A stock code in a show."""

    stock_code: str
    title: str
    price_minor: int
    """At first; later orders of the day may ask for another."""
    demand: int
    """Units that the day's orders ask for."""


@frozen
class Show:
    """A day of the file."""

    day: date
    host: Host
    offerings: tuple[Offering, ...]
    steps: tuple[Step, ...]


def plan(rows: Iterable[Row]) -> tuple[Show, ...]:
    """Make shows of a file's rows."""
    days: dict[date, list[Step]] = defaultdict(list)
    titles: dict[str, str] = {}
    rows = list(rows)
    for row in rows:
        titles.setdefault(row.stock_code, row.title)
    for step in steps(rows):
        days[step.at.date()].append(step)
    return tuple(
        Show(day, HOSTS[number % len(HOSTS)], _offerings(told, titles), tuple(told))
        for number, (day, told) in enumerate(days.items())
    )


def steps(rows: Iterable[Row]) -> Sequence[Step]:
    """Return what happens, in the order of the first rows."""
    invoices: dict[str, list[Row]] = {}
    told: list[tuple[int, Sequence[Step]]] = []
    for row in rows:
        if row.cancels:
            told.append((row.number, [TakeBack(row.number, row.at, row.customer, row.stock_code, row.quantity)]))
        else:
            invoices.setdefault(row.invoice, []).append(row)
    told += [(of_invoice[0].number, orders_of(of_invoice)) for of_invoice in invoices.values()]
    return [step for _, together in sorted(told, key=lambda each: each[0]) for step in together]


def orders_of(rows: Sequence[Row]) -> Sequence[Order]:
    """Sum an invoice's rows by code and price; a code's second price goes into a second order, and so on."""
    units: dict[str, dict[int, int]] = {}
    for row in rows:
        prices = units.setdefault(row.stock_code, {})
        prices[row.price_minor] = prices.get(row.price_minor, 0) + row.quantity
    parts: dict[int, list[Line]] = defaultdict(list)
    for code, prices in units.items():
        for part, (price_minor, quantity) in enumerate(prices.items(), start=1):
            parts[part].append(Line(code, quantity, price_minor))
    return [_order(rows[0], part, parts[part]) for part in sorted(parts)]


def _order(first: Row, part: int, lines: Iterable[Line]) -> Order:
    buyer_id = f"customer-{first.customer}" if first.customer else f"guest-{first.invoice}"
    return Order(f"{first.invoice}-{part}", first.at, first.customer, buyer_id, tuple(lines))


def _offerings(told: Iterable[Step], titles: dict[str, str]) -> tuple[Offering, ...]:
    wanted: dict[str, list[Line]] = {}
    for step in told:
        for line in step.lines if isinstance(step, Order) else ():
            wanted.setdefault(line.stock_code, []).append(line)
    return tuple(
        Offering(code, titles[code], lines[0].price_minor, sum(line.quantity for line in lines))
        for code, lines in wanted.items()
    )


def allotment(demand: int, stock_share: Decimal) -> int:
    """Return how many units a brand gives to a show, rounded up."""
    return int((demand * stock_share).to_integral_value(ROUND_CEILING))
