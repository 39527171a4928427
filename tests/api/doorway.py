"""The shop behind a real port, as ``livetill serve`` has it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from attrs import define, field

from api.app import create_app
from api.commands.serve import _server
from api.express import EXPRESS, Asking, Express
from tests.api.shopfront import Shopfront

LIVE = b"GET /health/live HTTP/1.1\r\nHost: shop\r\n"
ALIVE = b'{"status":"alive"}'


@define
class Door:
    """A shop with a port, and what is served on its lane."""

    shop: Shopfront
    port: int
    express: Express
    http: httpx.AsyncClient
    taken: list[str] = field(factory=list)

    async def talk(self, *pieces: bytes, answers: int = 1) -> bytes:
        """Send pieces over one connection, each by itself, and return so many answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        told = b""
        for _ in range(answers):
            while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 "):
                continue
            fields = dict(line.lower().split(": ", 1) for line in head.decode().splitlines()[1:-1])
            told += head + await reader.readexactly(int(fields["content-length"]))
        writer.close()
        return told

    def raw(self, body: bytes, *more: str, key: str = "k", version: str = "1.1", path: str = "/v1/orders") -> bytes:
        """Write a request for an order, or another that has a body."""
        lines = [f"POST {path} HTTP/{version}", "Host: shop", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.shop.token("buyer").items()]
        lines += [f"Idempotency-Key: {key}", *(more or [f"Content-Length: {len(body)}"])]
        return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
async def door(shop: Shopfront, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """The shop behind uvicorn, as ``livetill serve`` has it."""
    app = create_app(shop.services)
    server, listening = _server(app), socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    port = listening.getsockname()[1]
    original = Express.answer
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        opened = Door(shop, port, app.state[EXPRESS], http)

        async def noted(self: Express, asking: Asking) -> Any:
            opened.taken.append(asking.endpoint.path)
            return await original(self, asking)

        monkeypatch.setattr(Express, "answer", noted)
        yield opened
    server.should_exit = True
    await serving


def order(stream_id: str, listing_id: str, **more: Any) -> bytes:
    """Write an order for one unit."""
    return json.dumps({"stream_id": stream_id, "lines": [{"listing_id": listing_id, "quantity": 1}], **more}).encode()


async def heard(door: Door, *pieces: bytes) -> bytes:
    """Send pieces, each when the one before was taken, and return all that is answered until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    sending = asyncio.create_task(send())
    told = await reader.read()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()
    return told


def last_problem(told: bytes, status: int) -> str:
    """Check that what was answered last is a problem and whole; return its name."""
    head, _, body = told[told.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), told
    for said in (b"content-type: application/problem+json", b"x-request-id: ", b"connection: close"):
        assert said in head
    name: str = json.loads(body)["type"].rpartition(":")[2]
    return name
