"""Rows of the "Online Retail" format: one invoice line each, as published, with its gaps and its slips.

What the shop cannot sell is skipped, and counted by reason. Amounts become minor units by decimal arithmetic: a price
with more than two decimals is not one that a till can charge.
"""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final

from api.demo.errors import DemoError
from domain.values import frozen

HEADER: Final = [
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
]  # fmt: skip
CURRENCY: Final = "GBP"
GZIP_MAGIC: Final = b"\x1f\x8b"
DATE_FORMAT: Final = "%d/%m/%Y %H:%M"
"""Day before month: the shop is British."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,50}", re.ASCII)
_CODE = re.compile(r"[ -~]{1,64}")
_DIGIT = re.compile(r"[0-9]")
_QUANTITY = re.compile(r"-?[0-9]{1,6}")
_PRICE = re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,2})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
TITLE_LENGTH: Final = 200


class Skipped(StrEnum):
    """Why a row is left out."""

    NO_DIGIT = "stock_code_without_digit"
    """Postage, fees, manual entries: no goods."""
    UNPARSABLE = "unparsable"
    PRICE = "price_not_positive"
    QUANTITY = "quantity_not_positive"
    NOTHING_CANCELLED = "nothing_cancelled"
    """A cancellation whose quantity is not negative."""


@frozen
class Row:
    """A line of an invoice, or of a cancellation."""

    number: int
    """Its place in the file: 1 is the first after the header."""
    invoice: str
    stock_code: str
    title: str
    quantity: int
    """Of a cancellation: how many units come back. Always positive."""
    at: datetime
    price_minor: int
    customer: str
    """Empty when it is missing."""
    cancels: bool = False


@frozen
class Orders:
    """What a file holds."""

    rows: Sequence[Row]
    rows_read: int
    skipped: Counter[str]


def read_orders(path: Path) -> Orders:
    """Read a file, plain or gzipped; ``DemoError`` when it is not of this format, or holds nothing to play."""
    orders = parse(_lines(_text(path), path), str(path))
    if not orders.rows_read:
        raise DemoError(f"{path} holds no order, only the first line of such a file: choose another")
    return orders


def parse(lines: Iterable[Sequence[str]], name: str = "the file") -> Orders:
    """Sort out rows, header first; ``DemoError`` when the header is another one."""
    records = iter(lines)
    header = next(records, None)
    if header is None:
        raise DemoError(f"{name} is empty; a file of orders begins with {','.join(HEADER)}")
    if list(header) != HEADER:
        raise DemoError(f"{name} is no file of orders; its first line must be {','.join(HEADER)}")
    return _sorted_out(records)


def _sorted_out(records: Iterable[Sequence[str]]) -> Orders:
    rows, skipped, number = [], Counter[str](), 0
    for number, record in enumerate(records, start=1):
        found = row_of(number, record)
        if isinstance(found, Row):
            rows.append(found)
        else:
            skipped[found.value] += 1
    return Orders(rows, number, skipped)


def row_of(number: int, record: Sequence[str]) -> Row | Skipped:
    """Return what a record says, or why it is skipped: the first reason that fits."""
    if len(record) != len(HEADER):
        return Skipped.UNPARSABLE
    invoice, code, title, quantity, date, price, customer, _ = (field.strip() for field in record)
    if code and not _DIGIT.search(code):
        return Skipped.NO_DIGIT
    at = _instant(date)
    if at is None or not _readable(invoice, code, quantity, price, customer):
        return Skipped.UNPARSABLE
    cancels, units, price_minor = invoice.startswith("C"), int(quantity), _minor(price)
    reason = _unsellable(units, price_minor, cancels=cancels)
    return reason or Row(number, invoice, code, _title(title) or code, abs(units), at, price_minor, customer, cancels)


def _unsellable(units: int, price_minor: int, *, cancels: bool) -> Skipped | None:
    if price_minor <= 0:
        return Skipped.PRICE
    if cancels:
        return Skipped.NOTHING_CANCELLED if units >= 0 else None
    return Skipped.QUANTITY if units <= 0 else None


def _title(text: str) -> str:
    return _CONTROL.sub(" ", text)[:TITLE_LENGTH]


def _readable(invoice: str, code: str, quantity: str, price: str, customer: str) -> bool:
    shapes = ((_NAME, invoice), (_CODE, code), (_QUANTITY, quantity), (_PRICE, price))
    return all(shape.fullmatch(text) for shape, text in shapes) and (not customer or bool(_NAME.fullmatch(customer)))


def _instant(date: str) -> datetime | None:
    try:
        return datetime.strptime(date, DATE_FORMAT)  # noqa: DTZ007 - the shop's own clock, only ever compared
    except ValueError:
        return None


def _minor(price: str) -> int:
    return int(Decimal(price) * 100)


def _text(path: Path) -> str:
    """Return a file's text, unpacked if need be."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DemoError(f"{path} is a damaged gzip file; fetch it again") from None
    except OSError as error:
        raise DemoError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DemoError(f"{path} is not text in UTF-8; save it as CSV in UTF-8") from None


def _lines(text: str, path: Path) -> Iterable[list[str]]:
    """Split text into records; a blank line is none."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        yield from (record for record in reader if record)
    except csv.Error as error:
        raise DemoError(f"{path} is not CSV: line {reader.line_num}: {error}") from None
