"""What people and programs are told in the end."""

import json
from collections import Counter
from io import StringIO

from rich.console import Console

from api.demo.report import Report
from api.demo.rows import Orders
from api.demo.tally import Closing, Payee, Tally


def tally() -> Tally:
    """Return the sums of a small show."""
    sums = Tally(listings=2, orders_placed=2, units_unmatched=3, selling_seconds=2.0)
    sums.of("host-amara").shows = 1
    sums.paid("host-amara", [1_000, 200], 1_234_567)
    sums.refused("host-amara", "sold_out")
    sums.of("host-amara").units_returned = 200
    sums.of("host-amara").refunds_minor = 4_500
    return sums


def report(*, verified: bool = True, board_units: int = 1_000) -> Report:
    """Return the report of the small show, with what the leaderboard says of its units."""
    board = {"units": board_units, "returned_units": 200, "gmv_minor": 1_234_567, "refunded_minor": 4_500}
    closing = Closing(77, {"host-amara": Payee(123_457, 450)}, {"host-amara": board})
    return Report(Orders([], 9, Counter(unparsable=1)), tally(), closing, verified)


def read(told: Report) -> str:
    """Return what a person reads, on a screen of eighty columns."""
    console = Console(file=StringIO(), width=80)
    told.show(console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_people_read_formatted_money_and_reasons() -> None:
    """Sums by host, commissions by payee, and why orders were refused."""
    text = read(report())
    for part in ("12,345.67", "45.00", "1,234.57 GBP", "4.50 GBP", "1 sold out", "1 unparsable", "1,200"):
        assert part in text
    assert "Verified" in text
    assert "…" not in text


def test_people_are_told_when_something_does_not_hold() -> None:
    """A demo that hid a difference would be worth nothing."""
    assert "NOT verified" in read(report(verified=False))
    assert "do NOT" in read(report(board_units=1_001))


def test_programs_get_one_document() -> None:
    """With the names that are promised, and amounts in minor units."""
    document = json.loads(json.dumps(report().document()))
    assert document["gmv_minor"] == 1_234_567
    assert document["units_paid"] == 1_200
    assert document["rows_skipped"] == {"unparsable": 1}
    assert document["commission"] == {"host-amara": {"accrued_minor": 123_457, "reversed_minor": 450}}
    assert (document["orders_placed"], document["orders_refused"], document["orders_paid"]) == (2, 1, 1)
    assert (document["positions"], document["boards_agree"], document["verified"]) == (77, True, True)
