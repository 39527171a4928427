"""Servers and databases are killed under load, again and again; what was acknowledged stands, once."""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx
import pytest

from tests.stories.shopfront import Answer, Buyers, Client, Server, livetill, serving

LOAD = 24
"""Buyers at once."""


class Load:
    """Buyers who order as fast as they are answered, and who repeat their key until they are."""

    def __init__(self, crowd: aiohttp.ClientSession, url: str, buyers: Buyers) -> None:
        self.crowd, self.url, self.buyers = crowd, url, buyers
        self.serial = 0
        self.stopping = False

    async def run(self) -> None:
        """Order until stopped."""
        await asyncio.gather(*(self._shop() for _ in range(LOAD)))

    async def _shop(self) -> None:
        while not self.stopping:
            self.serial += 1
            key = f"key-{self.serial}"
            self.buyers.told[key] = await self._answered(key)

    async def _answered(self, key: str) -> Answer:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                answer = await self.buyers.one(self.crowd, self.url, f"buyer-{key}", key)
                if answer.status in (201, 409):
                    return answer
            await asyncio.sleep(0.02)


async def _nothing_is_lost(client: Client, load: Load) -> None:
    """Every acknowledged order is in the journal exactly once, and a repeated key gets its first answer."""
    records = await client.journal()
    assert [record["position"] for record in records] == list(range(1, len(records) + 1))
    placed = Counter(r["history_id"] for r in records if r["topic"] == "order.order_placed.v1")
    acknowledged = [a.body["order_id"] for a in load.buyers.told.values() if a.status == 201]
    assert acknowledged
    assert all(placed[order_id] == 1 for order_id in acknowledged)
    assert len(set(acknowledged)) == len(acknowledged)
    keys = Counter(r["metadata"]["command_id"] for r in records if r["topic"] == "order.order_placed.v1")
    assert set(keys.values()) == {1}
    for key in random.sample(sorted(load.buyers.told), 20):
        first, again = load.buyers.told[key], await load._answered(key)
        assert (again.status, again.headers["idempotent-replayed"]) == (first.status, "true")
        assert again.body["order_id"] == first.body["order_id"]


def _verified(data_dir: Path) -> None:
    verified = livetill("verify", "--data-dir", str(data_dir))
    assert verified.returncode == 0, verified.stdout + verified.stderr


async def _rounds(tmp_path: Path, rounds: int, strike: Callable[[Server], None]) -> None:
    with serving(tmp_path) as (server,):
        async with httpx.AsyncClient(timeout=60) as http, aiohttp.ClientSession() as crowd:
            client = Client(server.url, http)
            stream_id, (listing_id,) = await client.show(1_000_000)
            load = Load(crowd, server.url, Buyers(stream_id, listing_id))
            shopping = asyncio.create_task(load.run())
            for _ in range(rounds):
                sold = len(load.buyers.told)
                while len(load.buyers.told) < sold + 100:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(random.random() / 10)
                await asyncio.to_thread(strike, server)
            load.stopping = True
            await shopping
            await _nothing_is_lost(client, load)
        _verified(tmp_path)


def _kill_server(server: Server) -> None:
    server.kill()
    server.start()


def _kill_postgres(server: Server) -> None:
    """Kill the postmaster; the server has to notice and bring it back by itself."""
    noted = server.data_dir / "postgres" / "data" / "postmaster.pid"
    if not noted.exists():
        noted = next(server.data_dir.glob("postgres/**/postmaster.pid"))
    os.kill(int(noted.read_text().split()[0]), signal.SIGKILL)


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_a_killed_server_loses_nothing(tmp_path: Path, rounds: int) -> None:
    """Killed under load and started again, the server knows every order it has acknowledged, once."""
    await _rounds(tmp_path, rounds, _kill_server)


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_a_killed_database_loses_nothing(tmp_path: Path, rounds: int) -> None:
    """With PostgreSQL killed under load, the server brings it back and goes on; nobody has to do anything."""
    await _rounds(tmp_path, rounds, _kill_postgres)
