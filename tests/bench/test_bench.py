"""``livetill bench`` as it is run: every bench checks itself, and prints what the contract promises."""

import json
from typing import Any

import pytest

from api.bench.stage import environment
from api.commands.serve import serve_command
from tests.stories.shopfront import livetill

HOT_LISTING = {"orders_per_s", "ratio_hot_row", "p50_ms", "p99_ms", "rss_mb", "lag_p99_ms", "crowd_us_per_order"}
AUDIENCE = {"stock_age_p99_ms", "unwatched_orders_per_s", "watched_orders_per_s", "ratio_watched"}
TILL = {"orders_per_s", "records_per_s", "ratio_journal_alone", "ratio_bulk", "ratio_stock_library", "ratio_umadb"}


def run(*arguments: str) -> dict[str, Any]:
    """Run a bench for a second and return what it prints."""
    ran = livetill("bench", *arguments, "--seconds", "1", "--json")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    document: dict[str, Any] = json.loads(ran.stdout)
    assert document["checks"]
    assert all(document["checks"].values()), document["checks"]
    assert document["machine"]["cores"]
    assert document["settings"]["postgresql_fsync"] == "on"
    return document


@pytest.mark.parametrize(
    ("arguments", "promised"),
    [
        (("hot-listing", "--viewers", "20"), HOT_LISTING | AUDIENCE),
        (("till", "--listings", "3"), TILL),
        (("follow",), {"records_per_s", "rss_mb"}),
        (("replay", "--records", "30000"), {"records_per_s", "rss_mb", "ratio_reading", "ratio_umadb_read"}),
        (("growth", "--orders", "2000", "--orders", "4000"), {"ratio_growth", "cold_start_s_at_4000"}),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_a_bench_is_right_before_it_is_fast(arguments: tuple[str, ...], promised: set[str]) -> None:
    """Given a second of each, what was acknowledged is in the journal and every promised figure is there."""
    document = run(*arguments)
    assert document["bench"] == arguments[0]
    assert promised <= document.keys()
    assert all(document[name] > 0 for name in promised if name != "lag_p99_ms")


def test_a_bench_sells_on_servers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a shop's own database and NATS in the environment, then no process of a bench is told of them."""
    monkeypatch.setenv("LIVETILL_DATABASE_URL", "postgresql://shop/shop")
    monkeypatch.setenv("LIVETILL_NATS_URL", "nats://shop:4222")
    with serve_command.make_context("serve", []) as told:
        assert told.params["database_url"] == "postgresql://shop/shop"
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    with serve_command.make_context("serve", []) as told:
        assert not told.params["database_url"]
        assert not told.params["nats_url"]


def test_a_wrong_option_is_wrong_usage() -> None:
    """Given no time to measure in, nothing is started."""
    ran = livetill("bench", "till", "--seconds", "0")
    assert ran.returncode == 2
    assert "--seconds" in ran.stderr
