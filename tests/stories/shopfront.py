"""Real servers under real requests: starts ``livetill serve`` as its users do, and talks to it as they do."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import aiohttp
import httpx
from attrs import define, field, frozen

from api.auth import issue

SECRET = "a-secret-of-the-tests-that-is-long-enough"
WEBHOOK_SECRET = "whsec_bGl2ZXRpbGwtdGVzdHMtb25seS1zZWNyZXQ="
START_SECONDS = 60
STOP_SECONDS = 30


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def livetill(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        env=environment() | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def environment() -> dict[str, str]:
    """Return the environment of our servers: their secrets, and no coverage of ours."""
    return os.environ | {"LIVETILL_SECRET": SECRET, "LIVETILL_WEBHOOK_SECRET": WEBHOOK_SECRET}


@define
class Server:
    """One ``livetill serve`` process, which may be killed and started again."""

    data_dir: Path
    port: int = field(factory=free_port)
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it says; on the same disk as its data, so that a full one is a full one."""
        return self.data_dir / f"serve-{self.port}.log"

    def start(self) -> "Server":
        """Start it and wait until it is ready to sell."""
        command = [sys.executable, "-m", "api", "serve", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self.options], env=environment(), stdout=log, stderr=log)
        self.wait()
        return self

    def wait(self) -> None:
        """Wait until it is ready to sell."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server did not become ready: {self.said()}")

    def said(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        """Kill it where it stands."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in order; one that does not end has a fault."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the server did not stop: {self.said()}") from None


@contextmanager
def serving(data_dir: Path, servers: int = 1, *options: str) -> Iterator[list[Server]]:
    """Run servers on one data directory for as long as the block lasts."""
    running: list[Server] = []
    try:
        running += [Server(data_dir, options=options) for _ in range(servers)]
        for server in running:
            server.start()
        yield running
    finally:
        for server in reversed(running):
            server.stop()


@define
class Client:
    """Asks the API as one principal; other roles on demand."""

    url: str
    http: httpx.AsyncClient
    serial: int = 0

    def headers(self, role: str = "admin", subject: str = "tests", key: str = "") -> dict[str, str]:
        """Return the headers of a request."""
        self.serial += 1
        token = issue(role, subject, 3600, SECRET)
        return {"Authorization": f"Bearer {token}", "Idempotency-Key": key or f"{time.time_ns()}-{self.serial}"}

    async def post(self, path: str, body: Any = None, **who: str) -> httpx.Response:
        """POST JSON; any answer will do."""
        return await self.http.post(f"{self.url}{path}", json=body, headers=self.headers(**who))

    async def get(self, path: str, **who: str) -> Any:
        """GET JSON that must be there."""
        response = await self.http.get(f"{self.url}{path}", headers=self.headers(**who))
        assert response.status_code == httpx.codes.OK, response.text
        return response.json()

    async def must(self, path: str, body: Any = None, **who: str) -> Any:
        """POST JSON that must be accepted."""
        response = await self.post(path, body, **who)
        assert response.is_success, f"{path}: {response.status_code} {response.text}"
        return response.json()

    async def show(self, *allotments: int, hold_seconds: int = 300) -> tuple[str, list[str]]:
        """Open a show with listings; return their ids."""
        host = f"host-{time.time_ns()}"
        terms = {"rate_bps": 1000, "hold_days": 14}
        announced = {
            "title": "A show", "host_id": host, "brand_id": "brand", "scheduled_at": "2030-01-01T00:00:00Z",
            "currency": "EUR", "terms": terms,
        }  # fmt: skip
        stream_id = (await self.must("/v1/streams", announced))["stream_id"]
        await self.must(f"/v1/streams/{stream_id}/start", {})
        listings = []
        for number, allotment in enumerate(allotments):
            offered = {
                "sku": f"sku-{number}", "title": f"Product {number}", "allotment": allotment,
                "price": {"amount_minor": 1999, "currency": "EUR"}, "opens_at": "2020-01-01T00:00:00Z",
                "hold_seconds": hold_seconds,
            }  # fmt: skip
            listings.append((await self.must(f"/v1/streams/{stream_id}/listings", offered))["listing_id"])
        return stream_id, listings

    async def journal(self) -> list[dict[str, Any]]:
        """Read the whole journal through the API."""
        records: list[dict[str, Any]] = []
        while True:
            page = await self.get(f"/v1/journal?after={len(records)}&limit=500", role="auditor")
            if not page["records"]:
                return records
            records += page["records"]


@frozen
class Answer:
    """What a buyer was told."""

    status: int
    body: Any
    headers: Mapping[str, str]


@define
class Buyers:
    """Many who order at once; remembers what each was told."""

    stream_id: str
    listing_id: str
    told: dict[str, "Answer"] = field(factory=dict)
    """By key: the first answer that reached the buyer."""

    async def one(self, session: aiohttp.ClientSession, url: str, name: str, key: str) -> "Answer":
        """Order one unit under a key."""
        body = {"stream_id": self.stream_id, "lines": [{"listing_id": self.listing_id, "quantity": 1}]}
        token = issue("buyer", name, 3600, SECRET)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
        async with session.post(f"{url}/v1/orders", json=body, headers=headers) as response:
            return Answer(response.status, await response.json(content_type=None), dict(response.headers))


async def eventually(check: Any, seconds: float = 30.0) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await check()
        if answer or time.monotonic() > deadline:
            assert answer
            return answer
        await asyncio.sleep(0.1)
