"""Health, metrics, request ids and logs: what those who run the shop look at."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from api.gauges import HELP, Gauges
from api.logs import SAMPLED, configure_logs
from projections.bookmarks import StoreBookmarks
from projections.memory import MemoryStore
from tests.api.shopfront import Shopfront


async def test_a_process_that_runs_is_alive(shop: Shopfront) -> None:
    """Whatever else is wrong."""
    shop.problems["journal"] = "the database does not answer"
    assert (await shop.get("/health/live", who="")).json() == {"status": "alive"}


async def test_a_shop_that_can_sell_is_ready(shop: Shopfront) -> None:
    """200 when all is well; 503 and the part that is not otherwise."""
    ready = await shop.get("/health/ready", who="")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "problems": {}})
    shop.problems["journal"] = "the database does not answer"
    away = await shop.get("/health/ready", who="")
    assert (away.status_code, away.json()["status"]) == (503, "not_ready")
    assert away.json()["problems"] == {"journal": "the database does not answer"}


async def test_metrics_say_what_the_till_did(shop: Shopfront) -> None:
    """Counters of the till, gauges of the shop, and requests by route, never by id."""
    stream_id, listing_id = await shop.open(allotment=1)
    await shop.place(stream_id, listing_id)
    await shop.order(stream_id, listing_id)
    await shop.get("/nowhere")
    told = (await shop.get("/metrics", who="")).text
    assert "livetill_till_accepted_total 4.0" in told
    assert "livetill_till_refused_total 1.0" in told
    assert 'livetill_projection_lag_records{projection="orders"} 0.0' in told
    assert "livetill_journal_position 7.0" in told
    assert 'livetill_http_requests_total{method="POST",route="/v1/orders",status="201"} 1.0' in told
    assert 'livetill_http_requests_total{method="POST",route="/v1/orders",status="409"} 1.0' in told
    assert 'livetill_http_requests_total{method="ANY",route="unknown",status="404"} 1.0' in told
    assert stream_id not in told


async def test_every_metric_says_what_it_means(shop: Shopfront) -> None:
    """In a sentence, not in the words of its name: whoever is woken by it has never seen it before."""
    reactor: Any = SimpleNamespace(name="reactions", bookmarks=StoreBookmarks(MemoryStore()))
    relay = SimpleNamespace(lag=3)
    gauges = Gauges(shop.journal, shop.follower, shop.services.till, (reactor,), relay, lambda: True, lambda: False)
    measured = {name.partition("{")[0] for name in await gauges._measured()}
    assert measured == set(HELP)
    told = (await shop.get("/metrics", who="")).text
    helps = re.findall(r"# HELP livetill_((?:till|projection|journal)\S*) (.*)", told)
    assert len(helps) > 10
    assert all(help_.endswith(".") and " " in help_ for _, help_ in helps)


@pytest.mark.parametrize("given", ["trace-7", "a.b_c-1"])
async def test_a_request_keeps_its_id(shop: Shopfront, given: str) -> None:
    """What the client calls a request is what we call it."""
    assert (await shop.get("/health/live", X_Request_Id=given)).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "new\tline"])
async def test_a_request_without_a_sound_id_is_given_one(shop: Shopfront, given: str) -> None:
    """Nothing a client makes up gets into the log unchecked; also what no route takes has an id."""
    ids = [(await shop.get(path, X_Request_Id=given)).headers["x-request-id"] for path in ("/health/live", "/nowhere")]
    assert all(re.fullmatch("[0-9a-f]{12}-[0-9a-f]{6,}", each) for each in ids)
    assert ids[0] != ids[1]


async def test_one_request_in_a_thousand_is_logged(
    shop: Shopfront, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """The path of an order is not spent on writing logs."""
    configure_logs(json=True)
    request.addfinalizer(structlog.reset_defaults)
    capfd.readouterr()
    for _ in range(SAMPLED):
        await shop.http.get("/health/live")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (logged,) = [line for line in lines if line["event"] == "request"]
    assert (logged["path"], logged["status"], logged["level"]) == ("/health/live", 200, "info")
    assert logged["request_id"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_tells_no_values(
    capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest, *, as_json: bool
) -> None:
    """What a request carried may be secret; where it broke is not."""
    configure_logs(json=as_json)
    request.addfinalizer(structlog.reset_defaults)
    token = "Bearer " + "very-secret"
    try:
        token.index("nothing")
    except ValueError as error:
        structlog.get_logger().error("internal_fault", exc_info=error)
    logged = capfd.readouterr().err
    assert "ValueError" in logged
    assert "test_health.py" in logged
    assert "very-secret" not in logged
