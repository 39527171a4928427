"""Files of orders: what is read, what is skipped, and what is no such file at all."""

import gzip
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.demo.errors import DemoError
from api.demo.rows import HEADER, Row, Skipped, parse, read_orders, row_of

SOLD = {
    "InvoiceNo": "536365", "StockCode": "85123A", "Description": "WHITE HANGING HEART", "Quantity": "6",
    "InvoiceDate": "01/12/2010 08:26", "UnitPrice": "2.55", "CustomerID": "17850", "Country": "United Kingdom",
}  # fmt: skip


def record(**fields: str) -> list[str]:
    """Return a row of the file; only what a test is about is named."""
    return list((SOLD | fields).values())


def written(tmp_path: Path, data: bytes) -> Path:
    """Put bytes into a file."""
    path = tmp_path / "orders.csv"
    path.write_bytes(data)
    return path


def test_a_row_is_read_as_published() -> None:
    """The day comes before the month, and the price is in pence."""
    at = datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001
    assert row_of(1, record()) == Row(1, "536365", "85123A", "WHITE HANGING HEART", 6, at, 255, "17850")


def test_a_cancellation_counts_what_comes_back() -> None:
    """Its invoice number begins with C, its quantity is negative."""
    found = row_of(1, record(InvoiceNo="C536379", Quantity="-4"))
    assert isinstance(found, Row)
    assert (found.cancels, found.quantity) == (True, 4)


@pytest.mark.parametrize(
    ("price", "price_minor"), [("2.55", 255), ("0.1", 10), ("3", 300), ("19.95", 1995), ("13541.33", 1354133)]
)
def test_prices_are_exact(price: str, price_minor: int) -> None:
    """No price takes the way over a binary fraction."""
    found = row_of(1, record(UnitPrice=price))
    assert isinstance(found, Row)
    assert found.price_minor == price_minor


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"StockCode": "POST"}, Skipped.NO_DIGIT),
        ({"StockCode": "BANK CHARGES"}, Skipped.NO_DIGIT),
        ({"UnitPrice": "0"}, Skipped.PRICE),
        ({"UnitPrice": "-11062.06"}, Skipped.PRICE),
        ({"Quantity": "0"}, Skipped.QUANTITY),
        ({"Quantity": "-3"}, Skipped.QUANTITY),
        ({"InvoiceNo": "C536379", "UnitPrice": "0.0", "Quantity": "-1"}, Skipped.PRICE),
        ({"InvoiceNo": "C536379", "Quantity": "1"}, Skipped.NOTHING_CANCELLED),
        ({"InvoiceNo": ""}, Skipped.UNPARSABLE),
        ({"StockCode": ""}, Skipped.UNPARSABLE),
        ({"Quantity": "six"}, Skipped.UNPARSABLE),
        ({"Quantity": "1.5"}, Skipped.UNPARSABLE),
        ({"UnitPrice": "2.555"}, Skipped.UNPARSABLE),
        ({"UnitPrice": "2,55"}, Skipped.UNPARSABLE),
        ({"UnitPrice": "NaN"}, Skipped.UNPARSABLE),
        ({"UnitPrice": "1e2"}, Skipped.UNPARSABLE),
        ({"InvoiceDate": "12/31/2010 08:26"}, Skipped.UNPARSABLE),
        ({"InvoiceDate": "2010-12-01"}, Skipped.UNPARSABLE),
        ({"CustomerID": "jane@example.org"}, Skipped.UNPARSABLE),
    ],
)
def test_what_no_till_can_ring_up_is_skipped_with_its_reason(fields: dict[str, str], reason: Skipped) -> None:
    """Fees are no goods, free things no sales, and a slip of the pen is not guessed at."""
    assert row_of(1, record(**fields)) is reason


def test_a_row_of_another_length_is_unparsable() -> None:
    """A missing or an additional comma shifts everything: nothing of it is believed."""
    assert row_of(1, record()[:-1]) is Skipped.UNPARSABLE
    assert row_of(1, [*record(), ""]) is Skipped.UNPARSABLE


@given(st.lists(st.text(), min_size=6, max_size=9))
def test_no_row_whatever_breaks_the_reader(fields: list[str]) -> None:
    """Each row is either sold or skipped."""
    assert isinstance(row_of(1, fields), Row | Skipped)


@given(st.lists(st.sampled_from([record(), record(StockCode="M"), record(UnitPrice="0"), ["odd"]])))
def test_every_row_is_accounted_for(records: list[list[str]]) -> None:
    """What was read is what is sold and what is skipped, together."""
    orders = parse([HEADER, *records])
    assert orders.rows_read == len(records) == len(orders.rows) + orders.skipped.total()


def test_plain_and_gzipped_files_are_the_same(tmp_path: Path) -> None:
    """What counts is what is in the file, not what it is called; a byte order mark and blank lines do no harm."""
    text = "\r\n".join([",".join(HEADER), ",".join(record()), "", ",".join(record(Description='"A, B"'))]).encode()
    plain = read_orders(written(tmp_path, b"\xef\xbb\xbf" + text))
    assert read_orders(written(tmp_path, gzip.compress(text, mtime=0))) == plain
    assert [row.title for row in plain.rows] == ["WHITE HANGING HEART", "A, B"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"InvoiceNo;StockCode\n1;2\n", "is no file of orders"),
        (",".join(HEADER).encode() + b"\r\n\r\n", "holds no order"),
        (b"%PDF-1.7\n", "is no file of orders"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not text in UTF-8"),
        (",".join(HEADER).encode("utf-16"), "is not text in UTF-8"),
        (gzip.compress(b"InvoiceNo,StockCode\n" * 99, mtime=0)[:-9], "is a damaged gzip file"),
        (b"\x1f\x8bnothing of the kind", "is a damaged gzip file"),
        (",".join(HEADER).encode() + b'\n"' + b"x" * 200_000, "is not CSV"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, data: bytes, problem: str) -> None:
    """Whatever is given by mistake, the answer names the file and what is wrong with it."""
    path = written(tmp_path, data)
    with pytest.raises(DemoError, match=problem) as caught:
        read_orders(path)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).startswith(f"{path} ")


def test_a_missing_file_and_a_directory_cannot_be_read(tmp_path: Path) -> None:
    """The system's own reason is given."""
    with pytest.raises(DemoError, match="No such file"):
        read_orders(tmp_path / "missing.csv")
    with pytest.raises(DemoError, match="Is a directory"):
        read_orders(tmp_path)
