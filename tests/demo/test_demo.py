"""The demo as people run it: a process that starts a shop, sells over HTTP, and leaves nothing behind."""

import csv
import gzip
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.demo.by_hand import SLICE, ByHand, added_up, by_hand

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "api", "demo"]
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROWS_A_DAY = 250

pytestmark = pytest.mark.timeout(300)


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a demo to its end, on a free port."""
    return subprocess.run(
        [*DEMO, "--exit", "--port", "0", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def played(orders: Path, *arguments: str) -> dict[str, Any]:
    """Run a demo that succeeds, and return its document: standard output holds nothing else."""
    done = demo("--json", "--orders", str(orders), *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def selected() -> list[dict[str, str]]:
    """Return the first rows of each day of the slice, and all rows of everybody who gives something back."""
    with gzip.open(SLICE, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seen, give_back = Counter[str](), {row["CustomerID"] for row in rows if row["InvoiceNo"].startswith("C")}
    kept = []
    for row in rows:
        day = row["InvoiceDate"].split()[0]
        seen[day] += 1
        if seen[day] <= ROWS_A_DAY or row["CustomerID"] in give_back - {""}:
            kept.append(row)
    return kept


def written(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    """Write rows as a plain file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER.split(","))
        writer.writeheader()
        writer.writerows(rows)
    return path


def assert_adds_up(document: dict[str, Any], expected: ByHand) -> None:
    """Compare what the shop said with what the file says, to the penny."""
    names = ("rows_read", "gmv_minor", "units_returned", "refunds_minor", "units_unmatched")
    assert {name: document[name] for name in names} == {name: getattr(expected, name) for name in names}
    assert sum(document["rows_skipped"].values()) == expected.rows_skipped
    assert document["units_paid"] == expected.units
    assert document["orders_placed"] == document["orders_paid"] == len(expected.orders)
    assert document["orders_refused"] == 0
    assert document["listings"] == len(expected.listings)
    assert document["shows"] == len({day for day, _ in expected.listings})
    commission = document["commission"].items()
    assert {payee: sums["accrued_minor"] for payee, sums in commission} == dict(expected.accrued)
    assert {payee: sums["reversed_minor"] for payee, sums in commission} == dict(expected.reversed)
    assert document["verified"]
    assert document["boards_agree"]


def test_what_is_sold_over_http_equals_the_file_to_the_penny(tmp_path: Path) -> None:
    """Real rows of three days, three hosts and an agency: units, amounts, returns, refunds and commissions."""
    rows = selected()
    expected = added_up(rows)
    assert expected.units_returned > 0
    assert expected.units_unmatched > 0
    assert_adds_up(played(written(tmp_path / "orders.csv", rows)), expected)


@pytest.mark.slow
def test_the_three_days_that_ship_equal_their_file_to_the_penny() -> None:
    """The whole slice, with its orders of hundreds of lines."""
    assert_adds_up(played(SLICE), by_hand(SLICE))


SCARCE = [
    ("1", "A1", 5, "2.00", "ann"), ("2", "A1", 5, "2.00", "bob"), ("3", "A1", 5, "2.50", "cid"),
    ("4", "A1", 5, "2.00", "dan"), ("5", "A1", 5, "2.00", "eve"), ("5", "B2", 1, "9.99", "eve"),
    ("C6", "A1", -4, "2.00", "ann"), ("7", "A1", 3, "2.00", "fay"), ("C8", "A1", -2, "2.00", "gus"),
    ("9", "POST", 1, "5.00", "fay"),
]  # fmt: skip


def test_with_less_stock_than_demand_orders_are_refused_whole(tmp_path: Path) -> None:
    """Of 28 units asked for 23 are there: who comes fifth finds three, and what comes back is sold to the sixth."""
    rows = [
        f"{invoice},{code},{code},{quantity},03/12/2010 10:00,{price},{customer},UK"
        for invoice, code, quantity, price, customer in SCARCE
    ]
    orders = tmp_path / "orders.csv"
    orders.write_text("\n".join([HEADER, *rows]))
    document = played(orders, "--stock-share", "0.8")
    assert document["refusals"] == {"sold_out": 1}
    assert (document["orders_placed"], document["orders_refused"], document["orders_paid"]) == (5, 1, 5)
    assert (document["units_paid"], document["gmv_minor"]) == (23, 4_850)
    assert (document["units_returned"], document["refunds_minor"], document["units_unmatched"]) == (4, 800, 2)
    assert document["commission"] == {"host-amara": {"accrued_minor": 485, "reversed_minor": 80}}
    assert document["verified"]


def test_a_file_without_a_sale_is_a_short_demo(tmp_path: Path) -> None:
    """Nothing is sold, and that is verified as well."""
    postage = {**selected()[0], "StockCode": "POST"}
    document = played(written(tmp_path / "orders.csv", [postage]))
    assert (document["shows"], document["orders_placed"], document["gmv_minor"]) == (0, 0, 0)
    assert document["verified"]


def test_the_pages_stay_up_until_ctrl_c_and_then_nothing_is_left(tmp_path: Path, scratch: Path) -> None:
    """The address comes first, the pages and the API can be used after the show, and nothing outlives the demo."""
    orders = written(tmp_path / "orders.csv", selected()[:40])
    with subprocess.Popen(
        [*DEMO, "--port", "0", "--orders", str(orders)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env=(env := {**os.environ, "TMPDIR": str(scratch), "PATH": os.defpath}),
    ) as running:  # fmt: skip
        assert running.stdout is not None
        url = running.stdout.readline().split()[1]
        told = next(line for line in running.stdout if "Ctrl-C" in line)
        assert url in told
        assert httpx.get(url, follow_redirects=True, verify=False).status_code == 200  # noqa: S501 - no TLS here
        hint = running.stdout.readline().removeprefix("A token for the API: ")
        made = subprocess.run(shlex.split(hint), cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        allowed = {"Authorization": f"Bearer {made.stdout.strip()}"}
        asked = httpx.get(f"{url}v1/journal", headers=allowed, verify=False)  # noqa: S501 - no TLS here
        running.send_signal(signal.SIGINT)
        assert running.wait() == 0
        assert asked.status_code == 200, hint + made.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, verify=False)  # noqa: S501 - no TLS here
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (["--orders", "missing.csv"], 1, "missing.csv cannot be read"),
        (["--orders", "pyproject.toml"], 1, "pyproject.toml is no file of orders"),
        (["--orders", "tests"], 1, "tests cannot be read: Is a directory"),
        (["--stock-share", "plenty"], 2, "plenty is no share"),
        (["--stock-share", "-1"], 2, "-1 is no share"),
        (["--speed", "0"], 2, "0"),
    ],
)
def test_a_demo_that_cannot_be_says_why_in_one_line(arguments: list[str], status: int, problem: str) -> None:
    """Nothing is started, nobody sees a traceback; wrong usage is told apart."""
    done = demo(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert status == 2 or done.stderr.count("\n") == 1


def test_a_taken_port_is_named() -> None:
    """Another's server is not mistaken for the demo's own."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = demo("--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {port}" in done.stderr
    assert done.stderr.count("\n") == 1
