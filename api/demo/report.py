"""How a demo went: one JSON document for programs, tables for people."""

from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import Any, Final

from attrs import asdict
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from api.commands.output import counted
from api.demo.rows import CURRENCY, Orders
from api.demo.tally import Closing, Tally
from domain.money import formatted
from domain.values import frozen

HOST_COLUMNS: Final = {
    "Shows": "shows",
    "Paid": "orders_paid",
    "Refused": "orders_refused",
    "Units": "units_paid",
    CURRENCY: "gmv_minor",
    "Back": "units_returned",
    "Refunds": "refunds_minor",
}
"""What people read of a host, and what it is called in the tally."""
BROADEST: Final = 1_000
"""Wider than any table."""


@frozen
class Report:
    """Everything that a demo found out."""

    orders: Orders
    tally: Tally
    closing: Closing
    verified: bool

    @property
    def agrees(self) -> bool:
        """Whether the read models say what the answers said."""
        return self.closing.agrees(self.tally)

    @property
    def orders_per_second(self) -> float:
        """Orders placed, paid or refused, in a second of selling."""
        orders = self.tally.orders_placed + self.tally.total("orders_refused")
        return orders / self.tally.selling_seconds if self.tally.selling_seconds else 0.0

    def document(self) -> dict[str, Any]:
        """Return the figures for programs; amounts in minor units."""
        tally = self.tally
        return {
            "rows_read": self.orders.rows_read,
            "rows_skipped": dict(sorted(self.orders.skipped.items())),
            "shows": tally.total("shows"),
            "listings": tally.listings,
            "orders_placed": tally.orders_placed,
            "orders_refused": tally.total("orders_refused"),
            "refusals": dict(sorted(tally.refusals.items())),
            "orders_paid": tally.total("orders_paid"),
            "units_paid": tally.total("units_paid"),
            "gmv_minor": tally.total("gmv_minor"),
            "units_returned": tally.total("units_returned"),
            "refunds_minor": tally.total("refunds_minor"),
            "units_unmatched": tally.units_unmatched,
            "currency": CURRENCY,
            "commission": {payee: asdict(sums) for payee, sums in sorted(self.closing.payees.items())},
            "hosts": {host_id: asdict(sums) for host_id, sums in sorted(tally.hosts.items())},
            "positions": self.closing.position,
            "boards_agree": self.agrees,
            "verified": self.verified,
            "selling_seconds": round(tally.selling_seconds, 3),
            "orders_per_second": round(self.orders_per_second, 1),
        }

    def show(self, console: Console) -> None:
        """Write the figures for people."""
        console.print(_fitting(console, self._by_host, ("Shows", "Refused", "Paid", "Back", "Refunds")))
        console.print(_fitting(console, self._by_payee, ("Reversed", "Commission")))
        for line in self._lines():
            console.print(line, highlight=False, soft_wrap=True)

    def _by_host(self, left_out: Container[str]) -> Table:
        table = _table("Host", HOST_COLUMNS, left_out)
        for host_id, host in self.tally.hosts.items():
            table.add_row(host_id, *_cells(partial(getattr, host), left_out))
        table.add_section()
        table.add_row("all", *_cells(self.tally.total, left_out))
        return table

    def _by_payee(self, left_out: Container[str]) -> Table:
        titles = ("Commission", "Reversed", "Stands")
        table = _table("Payee", titles, left_out)
        for payee, sums in self.closing.payees.items():
            amounts = (sums.accrued_minor, sums.reversed_minor, sums.accrued_minor - sums.reversed_minor)
            shown = zip(titles, map(_money, amounts), strict=True)
            table.add_row(payee, *(amount for title, amount in shown if title not in left_out))
        return table

    def _lines(self) -> list[str]:
        skipped = _listed(self.orders.skipped) or "none"
        lines = [f"{counted(self.orders.rows_read, 'row')} read; skipped: {skipped}."]
        if self.tally.refusals:
            lines.append(f"Refused by the shop: {_listed(self.tally.refusals)}.")
        if self.tally.units_unmatched:
            units = counted(self.tally.units_unmatched, "cancelled unit")
            lines.append(f"Left out: {units}, matching nothing that was paid here.")
        rate = f"{counted(self.tally.listings, 'listing')}, {self.orders_per_second:,.0f} orders/s"
        lines.append(f"{rate}; the journal is at position {self.closing.position:,}.")
        lines.append(_verdict(self.verified, self.agrees))
        return lines


def _verdict(verified: bool, agrees: bool) -> str:
    journal = "Verified: journal and read models agree" if verified else "NOT verified: see livetill verify"
    return journal + ("." if agrees else "; the leaderboards do NOT say what the answers said.")


def _fitting(console: Console, make: Callable[[Container[str]], Table], spare: Sequence[str]) -> Table:
    """Make a table that a screen has room for: columns are left out, the first of the spare ones first.

    What is too wide even so is folded. A figure is never cut: its last digits are those that count.
    """
    unbounded = console.options.update(width=BROADEST)
    for number in range(len(spare)):
        table = make(spare[:number])
        if console.measure(table, options=unbounded).maximum <= console.width:
            return table
    return make(spare)


def _table(first: str, titles: Iterable[str], left_out: Container[str]) -> Table:
    columns = (Column(title, justify="right", overflow="fold") for title in titles if title not in left_out)
    return Table(Column(first, overflow="fold"), *columns, box=SIMPLE_HEAD, pad_edge=False)


def _cells(value: Callable[[str], int], left_out: Container[str]) -> list[str]:
    """Write a line of the hosts' table."""
    names = [name for title, name in HOST_COLUMNS.items() if title not in left_out]
    return [_amount(value(name)) if name.endswith("_minor") else f"{value(name):,}" for name in names]


def _amount(amount_minor: int) -> str:
    """Write an amount where the heading says the currency."""
    return _money(amount_minor).removesuffix(f" {CURRENCY}")


def _money(amount_minor: int) -> str:
    return formatted(amount_minor, CURRENCY)


def _listed(counts: Any) -> str:
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in sorted(counts.items()))
