"""Watches a show through the real application, as a server would run it: ASGI in, Server-Sent Events out.

The tests' own end of the connection can be slow or go away at any moment, which no HTTP client does on demand.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from attrs import Factory, define, field, frozen
from litestar import Litestar

from api.app import create_app
from api.live_hub import Hub
from api.services import Services, Settings
from application.ports import LeadershipLostError
from projections.catalogue import NAMES
from projections.follow import Follower
from projections.memory import MemoryStore
from projections.replay import Past
from projections.store import Tables
from tests.rehearsal import STREAM, Rehearsal

PATIENCE_SECONDS = 20.0
SECRET = "tests only: thirty-two bytes at least"


class OnlyOne:
    """The lead of a process that is alone."""

    @asynccontextmanager
    async def lead(self, name: str) -> AsyncIterator[None]:
        """Have it at once."""
        if not name:
            raise LeadershipLostError
        yield


class NoParking:
    """Where nothing is ever parked."""

    async def park(self, who: str, position: int, topic: str, error: str) -> None:
        """Fail the test: something could not be dealt with."""
        raise AssertionError(f"{who} parked {topic} at {position}: {error}")


@frozen
class Told:
    """An event of the feed, as a browser would see it."""

    id: int
    name: str
    data: Any
    raw: bytes


@define
class Watcher:
    """One viewer."""

    app: Litestar
    path: str
    headers: dict[str, str] = Factory(dict)
    status: int = 0
    answer: dict[str, str] = Factory(dict)
    body: bytes = b""
    chunks: asyncio.Queue[bytes] = Factory(asyncio.Queue)
    open_gate: asyncio.Event = Factory(asyncio.Event)
    gone: asyncio.Event = Factory(asyncio.Event)
    started: asyncio.Event = Factory(asyncio.Event)
    task: asyncio.Task[None] | None = None
    pending: list[Told] = field(factory=list)
    seen: list[Told] = field(factory=list)

    async def connect(self) -> "Watcher":
        """Open the connection and wait for the first headers."""
        self.open_gate.set()
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        scope: Any = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": self.path, "raw_path": self.path.encode(), "root_path": "", "query_string": b"",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        self.task = asyncio.create_task(self.app(scope, self._receive, self._send))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.started.wait()
        return self

    async def leave(self) -> None:
        """Close the connection and wait until the server has noticed."""
        self.gone.set()
        self.open_gate.set()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the server is done with this connection."""
        assert self.task is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(self.task)

    def stall(self) -> None:
        """Take nothing any more: the buffers between are full."""
        self.open_gate.clear()

    def resume(self) -> None:
        """Take again."""
        self.open_gate.set()

    async def next(self) -> Told:
        """Return the next event."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.pending:
                self.pending += parsed(await self.chunks.get())
        self.seen.append(self.pending.pop(0))
        return self.seen[-1]

    async def until(self, name: str) -> Told:
        """Return the next event of a name, passing over others."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (told := await self.next()).name != name:
                continue
        return told

    async def upto(self, position: int) -> list[Told]:
        """Return all events until the feed has reached a position."""
        told = [await self.next()]
        while told[-1].id < position or self.pending:
            told.append(await self.next())
        return told

    async def _receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answer = {name.decode(): value.decode() for name, value in message["headers"]}
            self.started.set()
            return
        await self.open_gate.wait()
        self.body += message.get("body", b"")
        self.chunks.put_nowait(message.get("body", b""))
        if not message.get("more_body"):
            self.gone.set()


def parsed(chunk: bytes) -> list[Told]:
    """Read the events of a chunk; one chunk holds whole events."""
    told = []
    for block in chunk.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "event" in fields:
            told.append(Told(int(fields["id"]), fields["event"], json.loads(fields["data"]), block.encode()))
    return told


@define
class Theatre:
    """A whole shop in memory with its live feed."""

    shop: Rehearsal
    store: MemoryStore
    services: Services
    hub: Hub
    app: Litestar
    watchers: list[Watcher] = field(factory=list)

    async def watch(self, stream_id: str = STREAM, *, last_event_id: object = None) -> Watcher:
        """Let somebody watch."""
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        watcher = Watcher(self.app, f"/v1/streams/{stream_id}/live", headers)
        self.watchers.append(watcher)
        return await watcher.connect()

    async def ask(self, path: str) -> Any:
        """Return what a path answers."""
        watcher = await Watcher(self.app, path).connect()
        await watcher.ended()
        assert watcher.status == 200, watcher.body
        return json.loads(watcher.body)

    @asynccontextmanager
    async def between_ticks(self) -> AsyncIterator[None]:
        """Have everything in the block happen within one tick of the feed."""
        async with self.hub._round_or_join:
            yield


@asynccontextmanager
async def theatre() -> AsyncIterator[Theatre]:
    """Run a shop, its read models and its feed."""
    shop, store = Rehearsal(), MemoryStore()
    follower = Follower(shop.journal, shop.wire, store)
    past = Past(shop.journal, shop.wire)

    async def tables_at(position: int) -> Tables:
        return await past.as_of(position)

    async def caught_up(position: int, seconds: float) -> bool:
        return await follower.wait_for(position, NAMES, seconds)

    async def nothing_wrong() -> dict[str, str]:
        return {}

    services = Services(
        Settings(jwt_secret=SECRET), shop.journal, shop.journal, shop.wire, shop.till, shop.cashier, store, tables_at,
        caught_up, shop.announcer, NoParking(), dict, nothing_wrong,
    )  # fmt: skip
    hub = Hub(services, tick_seconds=0.0)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(shop.open())
        following = asyncio.create_task(follower.run(shop.announcer, OnlyOne()))
        running = Theatre(shop, store, services, hub, create_app(services))
        running.app.state["live_hub"] = hub
        yield running
        await hub.close()
        for watcher in running.watchers:
            await watcher.leave()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
