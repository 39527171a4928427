"""The stage of a bench: a scratch directory with servers of its own, and processes whose cost is watched."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
from attrs import define

from api.auth import issue
from api.commands.troubles import CommandError
from api.compose import Usage
from api.secrets import token_secret
from api.services import Settings

START_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 0.1
UNITS: Final = 10**9
"""As many as a listing may have: a bench is about selling, not about having sold out."""
PRICE_MINOR: Final = 1_999
NOT_INSTALLED: Final = 3
"""What a yardstick ends with that cannot be measured here."""
SELLS_AT: Final = re.compile(r"livetill sells at (http://[^,\s]+),")


@contextmanager
def scratch() -> Iterator[Path]:
    """Have a directory for as long as it takes; ``TMPDIR`` says on which disk."""
    with tempfile.TemporaryDirectory(prefix="livetill-bench-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


async def yardstick(name: str, *options: object) -> dict[str, float]:
    """Measure what one would use instead, in a process of its own; nothing when it is not installed."""
    arguments = ("-m", "adapters.yardsticks", name, *map(str, options))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    printed, said = await process.communicate()
    if process.returncode == NOT_INSTALLED:
        return {}
    if process.returncode != 0:
        raise CommandError(f"the yardstick {name} could not be measured: {said.decode(errors='replace')[-500:]}")
    figures: dict[str, float] = json.loads(printed)
    return figures


def environment() -> dict[str, str]:
    """Return the environment of a process that runs the same livetill as this one, on the servers of the bench alone.

    Whoever runs a bench may have a shop's own database and NATS named there: nothing may ever be sold into those.
    """
    path = os.pathsep.join(each or os.getcwd() for each in sys.path)  # noqa: PTH109 - a path for Python
    return {**os.environ, "LIVETILL_DATABASE_URL": "", "LIVETILL_NATS_URL": "", "PYTHONPATH": path}


@asynccontextmanager
async def watched(pid: int | None = None, *, family: bool = False) -> AsyncIterator[Usage]:
    """Look at what a process costs for as long as the block lasts; at this one unless told."""
    usage = Usage(pid, family=family)

    async def look() -> None:
        while usage.look():  # noqa: ASYNC110 - nothing tells when memory has grown
            await asyncio.sleep(WATCH_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield usage
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@define
class Served:
    """A ``livetill serve`` of our own."""

    process: "subprocess.Popen[bytes]"
    url: str
    secret: str

    @property
    def port(self) -> int:
        """The port it listens on."""
        return httpx.URL(self.url).port or 80

    def must(self, path: str, body: Any) -> Any:
        """POST something that must be accepted."""
        token = issue("admin", "bench", 3600, self.secret)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"{time.time_ns()}"}
        response = httpx.post(self.url + path, json=body, headers=headers, timeout=60)
        if not response.is_success:
            raise CommandError(f"{path} was answered with {response.status_code}: {response.text[:300]}")
        return response.json()


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Run ``livetill serve`` with everything on, beside the servers in the data directory."""
    log = settings.data_dir / "serve.log"
    command = (sys.executable, "-m", "api", "serve", "--port", "0", "--data-dir", str(settings.data_dir))
    process = await asyncio.to_thread(_spawned, command, log)
    try:
        url = await asyncio.to_thread(_url_in, log, process)
        yield Served(process, url, token_secret(settings.data_dir))
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _spawned(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as said:
        return subprocess.Popen(command, env=environment(), stdout=said, stderr=said)  # noqa: S603 - ourselves


def _url_in(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Wait until the server says where it sells, and answers there."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = SELLS_AT.search(log.read_text(errors="replace"))
        if found is not None and httpx.get(f"{found[1]}/health/ready").is_success:
            return found[1]
        time.sleep(WATCH_SECONDS)
    raise CommandError(f"the server did not start: {log.read_text(errors='replace')[-500:]}")


def open_show(shop: Served, listings: int) -> tuple[str, list[str]]:
    """Open a show with listings that do not sell out; return their ids."""
    announced = {
        "title": "Bench", "host_id": f"host-{time.time_ns()}", "brand_id": "brand", "currency": "EUR",
        "scheduled_at": "2030-01-01T00:00:00Z", "terms": {"rate_bps": 1000, "hold_days": 14},
    }  # fmt: skip
    stream_id = shop.must("/v1/streams", announced)["stream_id"]
    shop.must(f"/v1/streams/{stream_id}/start", {})
    return stream_id, [offered(shop, stream_id, f"sku-{number}", UNITS) for number in range(listings)]


def offered(shop: Served, stream_id: str, sku: str, units: int) -> str:
    """Offer units in a show from now on; return the listing's id."""
    offer = {
        "sku": sku, "title": f"Product {sku}", "allotment": units, "hold_seconds": 3600,
        "price": {"amount_minor": PRICE_MINOR, "currency": "EUR"}, "opens_at": "2020-01-01T00:00:00Z",
    }  # fmt: skip
    listing_id: str = shop.must(f"/v1/streams/{stream_id}/listings", offer)["listing_id"]
    return listing_id


def livetill(settings: Settings, *arguments: str) -> tuple[int, Any]:
    """Run another command of ours to its end; return its exit code and the JSON it printed."""
    command = [sys.executable, "-m", "api", *arguments, "--json", "--data-dir", str(settings.data_dir)]
    ran = subprocess.run(command, env=environment(), capture_output=True, check=False)  # noqa: S603 - ourselves
    if not ran.stdout:
        raise CommandError(f"livetill {arguments[0]} failed: {ran.stderr.decode(errors='replace')[-500:]}")
    return ran.returncode, json.loads(ran.stdout)
