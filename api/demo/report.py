"""How a demo went: one JSON document for programs, tables for people."""

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import asdict, frozen
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from api.demo.rows import CURRENCY, Orders
from api.demo.tally import Closing, Tally
from domain.money import formatted


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
        console.print(self._by_host())
        console.print(self._by_payee())
        for line in self._lines():
            console.print(line, highlight=False, soft_wrap=True)

    def _by_host(self) -> Table:
        titles = ("Shows", "Paid", "Refused", "Units", CURRENCY, "Back", "Refunds")
        table = _table("Host", *titles)
        for host_id, host in self.tally.hosts.items():
            table.add_row(host_id, *_cells(partial(getattr, host)))
        table.add_section()
        table.add_row("all", *_cells(self.tally.total))
        return table

    def _by_payee(self) -> Table:
        table = _table("Payee", "Commission", "Reversed", "Stands")
        for payee, sums in self.closing.payees.items():
            amounts = (sums.accrued_minor, sums.reversed_minor, sums.accrued_minor - sums.reversed_minor)
            table.add_row(payee, *map(_money, amounts))
        return table

    def _lines(self) -> list[str]:
        skipped = _listed(self.orders.skipped) or "none"
        lines = [f"{self.orders.rows_read:,} rows read; skipped: {skipped}."]
        if self.tally.refusals:
            lines.append(f"Refused by the shop: {_listed(self.tally.refusals)}.")
        if self.tally.units_unmatched:
            units = f"{self.tally.units_unmatched:,}"
            lines.append(f"{units} cancelled units match nothing that was paid here, and were left out.")
        rate = f"{self.tally.listings:,} listings, {self.orders_per_second:,.0f} orders/s"
        lines.append(f"{rate}; the journal is at position {self.closing.position:,}.")
        lines.append(_verdict(self.verified, self.agrees))
        return lines


def _verdict(verified: bool, agrees: bool) -> str:
    journal = "Verified: journal and read models agree" if verified else "NOT verified: see livetill verify"
    return journal + ("." if agrees else "; the leaderboards do NOT say what the answers said.")


def _table(first: str, *titles: str) -> Table:
    columns = (Column(title, justify="right", no_wrap=True) for title in titles)
    return Table(Column(first, no_wrap=True), *columns, box=SIMPLE_HEAD, pad_edge=False)


def _cells(value: Callable[[str], int]) -> list[str]:
    """Write a line of the hosts' table."""
    names = (
        "shows", "orders_paid", "orders_refused", "units_paid", "gmv_minor", "units_returned", "refunds_minor",
    )  # fmt: skip
    return [_amount(value(name)) if name.endswith("_minor") else f"{value(name):,}" for name in names]


def _amount(amount_minor: int) -> str:
    """Write an amount where the heading says the currency."""
    return _money(amount_minor).removesuffix(f" {CURRENCY}")


def _money(amount_minor: int) -> str:
    return formatted(amount_minor, CURRENCY)


def _listed(counts: Any) -> str:
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in sorted(counts.items()))
