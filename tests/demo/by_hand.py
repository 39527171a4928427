"""A second opinion: what a file of orders adds up to, computed from the CSV alone, without the demo's own modules."""

import csv
import gzip
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from attrs import define, field

SLICE = Path(__file__).parents[2] / "api" / "data" / "online_retail_2010-12-01_03.csv.gz"
RATES = [Decimal("0.10"), Decimal("0.125"), Decimal("0.20")]


@define
class ByHand:
    """The sums of a file, sold without a refusal."""

    rows_read: int = 0
    rows_skipped: int = 0
    units: int = 0
    gmv_minor: int = 0
    units_returned: int = 0
    refunds_minor: int = 0
    units_unmatched: int = 0
    listings: set[tuple[str, str]] = field(factory=set)
    orders: set[tuple[str, int]] = field(factory=set)
    accrued: Counter[str] = field(factory=Counter)
    reversed: Counter[str] = field(factory=Counter)


def by_hand(path: Path) -> ByHand:
    """Add up a gzipped file."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return added_up(csv.DictReader(file))


def added_up(rows: Iterable[dict[str, Any]]) -> ByHand:
    """Add up rows; every single unit is queued by customer and code, and comes back first in, first out."""
    sums, days, prices_seen = ByHand(), dict[str, int](), defaultdict[tuple[str, str], list[Decimal]](list)
    sold, back = Counter[tuple[str, str, Decimal, int]](), Counter[tuple[str, str, Decimal, int]]()
    queues = defaultdict[tuple[str, str], deque[tuple[str, str, Decimal, int]]](deque)
    for row in rows:
        sums.rows_read += 1
        invoice, code, customer = row["InvoiceNo"], row["StockCode"], row["CustomerID"]
        quantity, price, day = int(row["Quantity"]), Decimal(row["UnitPrice"]), row["InvoiceDate"].split()[0]
        cancels = invoice.startswith("C")
        if not any(char.isdigit() for char in code) or price <= 0 or (quantity <= 0 and not cancels):
            sums.rows_skipped += 1
        elif cancels:
            for _ in range(-quantity):
                if customer and queues[customer, code]:
                    back[queues[customer, code].popleft()] += 1
                else:
                    sums.units_unmatched += 1
        else:
            line = (invoice, code, price, days.setdefault(day, len(days)) % 3)
            if price not in prices_seen[invoice, code]:
                prices_seen[invoice, code].append(price)
            sums.orders.add((invoice, prices_seen[invoice, code].index(price)))
            sums.listings.add((day, code))
            sold[line] += quantity
            queues[customer, code].extend([line] * quantity)
    for line, units in sold.items():
        _book(sums, line, units, back[line])
    return sums


def _book(sums: ByHand, line: tuple[str, str, Decimal, int], units: int, units_back: int) -> None:
    _, _, price, host = line
    sums.units += units
    sums.units_returned += units_back
    sums.gmv_minor += int(price * units * 100)
    sums.refunds_minor += int(price * units_back * 100)
    kept = _commission(price * (units - units_back), host)
    for payee, amount in _commission(price * units, host).items():
        sums.accrued[payee] += amount
        sums.reversed[payee] += amount - kept[payee]


def _commission(base: Decimal, host: int) -> dict[str, int]:
    """Round half up in pence; of the third host's commission 30 % are the agency's."""
    whole = _rounded(base * RATES[host] * 100)
    if host < 2:
        return {["host-amara", "host-bruno"][host]: whole}
    own = _rounded(whole * Decimal("0.7"))
    return {"host-chloe": own, "agency-northlight": whole - own}


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))
