"""Nothing that is asked by the thousand leaves anything for Python's collector, which may then be asked rarely."""

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from api import housekeeping
from api.app import create_app
from api.commands.serve import _server
from api.housekeeping import DOUBTED, SAMPLED, YOUNG, Samples, keep_house, settle
from tests.api.shopfront import Shopfront

ROOMS = {"adapters", "api", "application", "domain", "projections"}


@pytest.fixture
async def port(shop: Shopfront) -> AsyncIterator[int]:
    """The shop behind uvicorn, as ``livetill serve`` has it."""
    server, listening = _server(create_app(shop.services)), socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield listening.getsockname()[1]
    server.should_exit = True
    await serving


@contextmanager
def kept() -> Iterator[Callable[[], list[Any]]]:
    """Keep what only the collector could free, of our own classes, from here on."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)

    def found() -> list[Any]:
        gc.collect()
        ours = [each for each in gc.garbage if type(each).__module__.partition(".")[0] in ROOMS]
        gc.garbage.clear()
        return ours

    try:
        yield found
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def ask(port: int, request: bytes) -> None:
    """Ask over a connection of one's own and hang up when there is an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def written(shop: Shopfront, method: str, path: str, body: bytes, key: str) -> bytes:
    """Write a request of a buyer."""
    lines = [f"{method} {path} HTTP/1.1", "Host: shop", "Content-Type: application/json", f"Idempotency-Key: {key}"]
    lines += [f"{name}: {value}" for name, value in shop.token("buyer").items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@pytest.mark.parametrize(
    "what", ["orders", "batches", "sold out", "malformed", "viewers", "pages", "listings", "nowhere", "forbidden"]
)
async def test_a_request_leaves_no_cycle(shop: Shopfront, port: int, what: str) -> None:
    """What it needed is gone when it is answered and its connection has ended."""
    stream_id, listing_id = await shop.open(allotment=0 if what == "sold out" else 1000)
    order = json.dumps({"stream_id": stream_id, "lines": [{"listing_id": listing_id, "quantity": 1}]}).encode()
    method, path, body = {
        "orders": ("POST", "/v1/orders", order),
        "batches": ("POST", "/v1/orders:batch", b'{"orders":[]}'),
        "sold out": ("POST", "/v1/orders", order),
        "malformed": ("POST", "/v1/orders", b"{"),
        "viewers": ("GET", f"/v1/streams/{stream_id}/live", b""),
        "pages": ("GET", f"/shows/{stream_id}", b""),
        "listings": ("GET", f"/v1/listings/{listing_id}", b""),
        "nowhere": ("GET", "/v1/nowhere", b""),
        "forbidden": ("POST", f"/v1/streams/{stream_id}/start", b""),
    }[what]
    await ask(port, written(shop, method, path, body, "first"))
    await asyncio.sleep(0.05)
    with kept() as found:
        for number in range(10):
            await ask(port, written(shop, method, path, body, f"key-{number}"))
        await asyncio.sleep(0.05)
        assert [type(each).__name__ for each in found()] == []


async def test_a_quiet_shop_is_tidied(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is asked anything only the young are looked at; when nobody asks, everything is, once."""
    before = gc.get_threshold()
    monkeypatch.setattr(housekeeping, "WORTH_IT", 0)
    tidied, asked = list[int](), iter(range(1_000_000))
    monkeypatch.setattr(housekeeping, "settle", lambda: tidied.append(1))
    busy = asyncio.create_task(keep_house(lambda: next(asked), 0.001))
    await asyncio.sleep(0.02)
    busy.cancel()
    assert not tidied
    quiet = asyncio.create_task(keep_house(lambda: 7, 0.001))
    while not tidied:
        await asyncio.sleep(0.001)
    quiet.cancel()
    assert gc.get_threshold() == before


class Cyclic:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has settled; what it set aside is looked at again at the end."""
    before, samples = gc.get_threshold(), Samples()
    monkeypatch.setattr(housekeeping, "_samples", samples)
    settle()
    yield
    gc.callbacks.remove(samples)
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.collect()


def lots(count: float) -> list[list[Any]]:
    """Return as many objects that stay as come to so many lots."""
    return [[] for _ in range(int(count * YOUNG))]


@pytest.mark.usefixtures("settled")
def test_what_has_settled_is_not_looked_at_again() -> None:
    """All that is there is set aside; from then on few are looked at at a time."""
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == YOUNG


@pytest.mark.usefixtures("settled")
def test_a_sample_with_garbage_makes_all_be_looked_at() -> None:
    """Given some in each lot after many without, the first are set aside with theirs until a look finds some."""
    stays, escaped = lots(DOUBTED + 1), list[weakref.ref[Cyclic]]()
    for _ in range(3 * SAMPLED):
        stays += lots(0.5)
        escaped.append(weakref.ref(Cyclic()))
        stays += lots(0.5)
    stays += lots(1)
    left = [number for number, each in enumerate(escaped) if each() is not None]
    assert 0 < len(left) < SAMPLED
    assert left == [*range(len(left))]
