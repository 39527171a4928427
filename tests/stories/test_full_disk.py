"""A disk that is full: one clear line at the start, a clear answer while selling, and nothing acknowledged is lost."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import httpx
import pytest

from tests.stories.shopfront import Buyers, Client, eventually, livetill, serving

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="making a small disk takes root and mount"
)


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """Make a disk of so many megabytes in memory."""
    directory.mkdir()
    mounted = subprocess.run(
        [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a disk in memory")
    try:
        yield directory
    finally:
        subprocess.run([shutil.which("umount") or "umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Take all the room that is left."""
    filler = directory / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65_536)
                file.flush()
        except OSError:
            pass
    return filler


def test_a_full_disk_is_said_in_one_line_at_the_start(tmp_path: Path) -> None:
    """With no room for the database the server does not start, and says why and what to do."""
    with small_disk(tmp_path / "disk", 8) as disk:
        fill(disk)
        started = livetill("serve", "--port", "0", "--data-dir", str(disk / "shop"), timeout=60)
        assert started.returncode == 1
        assert len(started.stderr.strip().splitlines()) == 1
        assert "space" in started.stderr or "full" in started.stderr
        assert "Traceback" not in started.stderr


async def test_a_disk_that_fills_up_loses_nothing(tmp_path: Path) -> None:
    """Buyers are told to come again; when there is room the shop sells on, with every order it had acknowledged."""
    with small_disk(tmp_path / "disk", 200) as disk, serving(disk) as (server,):
        async with httpx.AsyncClient(timeout=60) as http, aiohttp.ClientSession() as crowd:
            client = Client(server.url, http)
            stream_id, (listing_id,) = await client.show(100_000)
            buyers = Buyers(stream_id, listing_id)
            filler = fill(disk)
            told = []
            for number in range(5_000):
                told.append(await buyers.one(crowd, server.url, f"b-{number}", f"k-{number}"))
                if told[-1].status != httpx.codes.CREATED:
                    break
            turned_away = told.pop()
            assert turned_away.status == httpx.codes.SERVICE_UNAVAILABLE
            assert turned_away.body["type"] == "urn:livetill:problem:unavailable"
            filler.unlink()

            async def sells_again() -> bool:
                return (await buyers.one(crowd, server.url, "late", "k-late")).status == httpx.codes.CREATED

            await eventually(sells_again, seconds=60)
            placed = {r["history_id"] for r in await client.journal() if r["topic"] == "order.order_placed.v1"}
            assert {answer.body["order_id"] for answer in told} <= placed
        verified = await asyncio.to_thread(livetill, "verify", "--data-dir", str(disk))
        assert verified.returncode == 0, verified.stdout + verified.stderr
