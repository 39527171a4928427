"""The database goes away in mid-show: readers and buyers are told so soon, the log says it once, and it goes on."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adapters.embedded import EmbeddedPostgres
from tests.stories.shopfront import Client, eventually, serving

SOON_SECONDS = 10.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that no server of ours watches over."""
    database = EmbeddedPostgres(tmp_path / "database")
    database.ensure()
    yield database
    database.release()


async def test_an_outage_is_told_soon_to_those_who_ask_and_once_to_those_who_read_the_log(
    tmp_path: Path, database: EmbeddedPostgres, nats_url: str
) -> None:
    """A reader waits for one pool, a buyer for as long as the till tries; neither for anything in a row."""
    shop_dir = tmp_path / "shop"
    shop_dir.mkdir()
    with serving(shop_dir, 1, "--database-url", database.url(), "--nats-url", nats_url) as (server,):
        async with httpx.AsyncClient(timeout=60) as http:
            client = Client(server.url, http)
            stream_id, (listing_id,) = await client.show(10)
            order = {"stream_id": stream_id, "buyer_id": "b1", "lines": [{"listing_id": listing_id, "quantity": 1}]}
            await asyncio.to_thread(database.release)
            read, bought = await asyncio.gather(timed(client, "/v1/streams"), timed(client, "/v1/orders", order))
            assert (read[0], bought[0]) == (503, 503)
            assert read[1] < SOON_SECONDS
            await asyncio.to_thread(database.ensure)

            async def sells_again() -> bool:
                return (await client.post("/v1/orders", order)).status_code == httpx.codes.CREATED

            async def is_told() -> bool:
                return "The database is there again" in server.log.read_text()

            await eventually(sells_again)
            await eventually(is_told)
        events = [json.loads(line)["event"] for line in server.log.read_text().splitlines() if line.startswith("{")]
    away, there = [[event for event in events if phrase in event] for phrase in ("base is away", "base is there again")]
    assert (len(away), len(there)) == (1, 1), events
    assert "onnection" in away[0]
    assert not [event for event in events if "error connecting" in event or "reconnection attempt" in event]


async def timed(client: Client, path: str, order: object = None) -> tuple[int, float]:
    """Ask for something, or order; return the status, and after how many seconds it came."""
    began = time.monotonic()
    method = "GET" if order is None else "POST"
    answer = await client.http.request(method, f"{client.url}{path}", headers=client.headers(), json=order)
    return answer.status_code, time.monotonic() - began
