"""What people and programs are told in the end."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from io import StringIO

import pytest
from rich.console import Console

from api.commands.output import counted
from api.demo.plan import HOSTS, Offering, Show, TakeBack
from api.demo.report import Report
from api.demo.rows import Orders
from api.demo.screen import Screen
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


def read(told: Report, width: int = 80) -> str:
    """Return what a person reads, on a screen of eighty columns unless told."""
    console = Console(file=StringIO(), width=width)
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


@pytest.mark.parametrize("width", [20, 30, 40, 50, 60, 70])
def test_a_narrow_screen_shows_fewer_columns_and_never_fewer_digits(width: int) -> None:
    """A figure without its last digits is a wrong figure."""
    text = read(report(), width)
    assert "…" not in text
    tables = text.split("rows read")[0]
    assert all(len(line) <= width for line in tables.splitlines())
    if width >= 40:
        for part in ("host-amara", "1,200", "12,345.67", "1,230.07 GBP"):
            assert part in tables
    if width >= 60:
        assert "Refunds" in tables


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 100])
def test_progress_on_a_narrow_screen_keeps_its_digits(width: int) -> None:
    """What is counted and the time are whole; the words give way."""
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    screen = Screen(console)
    offering = Offering("A1", "A product", 100, 1)
    show = Show(date(2010, 12, 1), HOSTS[0], (offering,) * 3_388, ())
    with screen.shows():
        screen.begin(1, 3, show)
        screen.advance()
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    assert "…" not in said
    assert "1/3388" in said
    assert "0:00:00" in said


def test_progress_counts_one_kind_of_thing_at_a_time() -> None:
    """Listings are made in a moment and orders take the day: counted together they would promise an early end."""
    console = Console(file=StringIO(), width=100, force_terminal=True, color_system=None)
    screen = Screen(console)
    step = TakeBack(1, datetime(2010, 12, 1, tzinfo=UTC), "ann", "A1", 1)
    show = Show(date(2010, 12, 1), HOSTS[0], (Offering("A1", "A product", 100, 1),) * 88, (step,) * 7)
    with screen.shows():
        screen.begin(1, 3, show)
        for _ in range(88):
            screen.advance()
        screen.sell(show)
        screen.advance()
    assert isinstance(console.file, StringIO)
    last = console.file.getvalue().rpartition("Show 1 of 3")[2]
    assert "1/7" in last
    assert "/95" not in console.file.getvalue()


def test_one_of_a_thing_is_one() -> None:
    """Counts agree with their words."""
    console = Console(file=StringIO(), width=120)
    few = Show(
        date(2010, 12, 1),
        HOSTS[0],
        (Offering("A1", "A product", 100, 1),),
        (TakeBack(1, datetime(2010, 12, 1, tzinfo=UTC), "ann", "A1", 1),),
    )
    Screen(console).begin(1, 1, few)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().endswith("1 listing, 1 order or cancellation\n")
    assert [counted(number, "record") for number in (0, 1, 1_000)] == ["0 records", "1 record", "1,000 records"]


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
