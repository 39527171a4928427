"""NATS is a cache: it may be stopped and deleted in mid-show, and ends up with everything, in order."""

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import aiohttp
import httpx
import nats
from nats.aio.client import Client as Nats

from adapters.embedded import EmbeddedNats
from tests.stories.shopfront import Buyers, Client, eventually, livetill, serving

QUIET = 2.0


async def test_sales_go_on_without_nats_and_its_store_is_refilled(tmp_path: Path) -> None:
    """With NATS stopped and its store deleted the shop sells; back again, a consumer gets every position in order."""
    messages = EmbeddedNats(tmp_path / "nats")
    with serving(tmp_path) as (server,):
        async with httpx.AsyncClient(timeout=60) as http, aiohttp.ClientSession() as crowd:
            client = Client(server.url, http)
            stream_id, (listing_id,) = await client.show(1_000)
            buyers = Buyers(stream_id, listing_id)
            await asyncio.gather(*(buyers.one(crowd, server.url, f"b-{n}", f"k-{n}") for n in range(50)))
            assert messages.pid is not None
            os.kill(messages.pid, signal.SIGKILL)
            for store in (tmp_path / "nats").glob("**/jetstream"):
                shutil.rmtree(store)
            during = await asyncio.gather(*(buyers.one(crowd, server.url, f"b-{n}", f"k-{n}") for n in range(50, 100)))
            assert {answer.status for answer in during} == {201}
            records = await client.journal()
            assert await _consumed(messages, len(records)) == list(range(1, len(records) + 1))
        seen = json.loads((await asyncio.to_thread(livetill, "doctor", "--json", "--data-dir", str(tmp_path))).stdout)
        assert (seen["problems"], seen["postgresql"]["relay"]) == ([], "a server relays its records")
        assert seen["nats"]["stream"] == f"fed from database {seen['postgresql']['database']}"


async def _consumed(messages: EmbeddedNats, expected: int) -> list[int]:
    """Return the positions that a new consumer gets, once NATS is back and refilled."""

    async def refilled() -> Nats | None:
        try:
            client = await nats.connect(messages.url(), allow_reconnect=False, connect_timeout=1)
        except (OSError, nats.errors.Error, TimeoutError):
            return None
        try:
            info = await client.jetstream().stream_info("LIVETILL")
        except nats.errors.Error:
            await client.close()
            return None
        if info.state.last_seq >= expected:
            return client
        await client.close()
        return None

    client = await eventually(refilled)
    subscription = await client.jetstream().subscribe("livetill.>", ordered_consumer=True)
    positions: list[int] = []
    while len(positions) < expected:
        message = await subscription.next_msg(timeout=QUIET)
        positions.append(json.loads(message.data)["position"])
    await client.close()
    return positions
