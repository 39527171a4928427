"""Partings: a connection that nobody uses any more ends, and what belongs to it ends with it."""

import asyncio

import pytest

from api.app import create_app
from api.express import ExpressProtocol
from tests.api.doorway import LIVE
from tests.api.shopfront import Shopfront
from tests.api.wire import Wire, answered, connected

ASKING = LIVE + b"\r\n"
GARBAGE = b"no request\r\n\r\n"


def time_passes(protocol: ExpressProtocol) -> None:
    """Let happen what happens next when nothing else does."""
    timer = protocol.patience
    assert timer is not None
    timer._run()
    timer.cancel()


async def asked(shop: Shopfront, wire: Wire, request: bytes = ASKING) -> ExpressProtocol:
    """Answer somebody who takes nothing of it at first."""
    protocol = connected(create_app(shop.services), wire)
    protocol.data_received(request)
    await answered(protocol)
    wire.unsent = 100_000
    time_passes(protocol)
    return protocol


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (ASKING, ""),
        (LIVE + b"Connection: close\r\n\r\n", "closed"),
        (ASKING + b"\r\n" + LIVE, ""),
        (GARBAGE, "closed"),
        (ASKING + GARBAGE, "closed"),
    ],
    ids=["idle", "closing", "half", "refused", "refused second"],
)
async def test_who_takes_nothing_of_an_answer_is_cut_off(
    shop: Shopfront, wire: Wire, request_: bytes, end: str
) -> None:
    """A connection that closes waits until all is taken, and so would this one for ever."""
    protocol = await asked(shop, wire, request_)
    assert wire.end == end
    time_passes(protocol)
    assert wire.end == "aborted"


async def test_who_takes_nothing_is_cut_off_while_it_is_answered(shop: Shopfront, wire: Wire) -> None:
    """Also when what it is told next, or why it is not heard, waits for its turn."""
    protocol = connected(create_app(shop.services), wire)
    protocol.pause_writing()
    protocol.data_received(ASKING + ASKING + GARBAGE)
    await asyncio.sleep(0)
    wire.unsent = 100_000
    time_passes(protocol)
    time_passes(protocol)
    assert wire.end == "aborted"
    protocol.connection_lost(None)
    await answered(protocol)


async def test_who_takes_its_time_is_told_all(shop: Shopfront, wire: Wire) -> None:
    """Whoever has taken anything at all since the last look is left to go on."""
    protocol = await asked(shop, wire)
    while wire.unsent:
        wire.unsent -= 10_000
        time_passes(protocol)
    time_passes(protocol)
    assert wire.end == ""


async def test_what_the_system_keeps_counts_as_well(shop: Shopfront, wire: Wire) -> None:
    """It asks for more only when much of that is gone: until then somebody slow seems to take nothing."""
    for _ in range(3):
        wire.system.send(b"kept")
    protocol = await asked(shop, wire)
    for _ in range(3):
        assert wire.far_end.recv(4) == b"kept"
        time_passes(protocol)
        assert wire.end == ""
    time_passes(protocol)
    assert wire.end == "aborted"


@pytest.mark.parametrize("path", ["live", "live?"])
async def test_a_viewer_who_takes_nothing_loses_its_seat(shop: Shopfront, wire: Wire, path: str) -> None:
    """One who listens, or is slow, stays; on a seat or beside it."""
    stream_id, _ = await shop.open()
    protocol = connected(create_app(shop.services), wire)
    protocol.data_received(
        b"GET /v1/streams/%s/%s HTTP/1.1\r\nHost: shop\r\n\r\n" % (stream_id.encode(), path.encode())
    )
    while not any(b"event: snapshot" in each for each in wire.written):
        await asyncio.sleep(0)
    for unsent in (0, 0, 0, 100_000, 99_999, 99_998):
        wire.unsent = unsent
        time_passes(protocol)
        assert wire.end == ""
    time_passes(protocol)
    assert wire.end == "aborted"
    protocol.connection_lost(None)
    await answered(protocol)


EARLY = b"POST /v1/orders? HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n{}"
"""Answered before its body is there, for it has no token."""


@pytest.mark.parametrize(("request_", "more", "status"), [(EARLY, b"{}", 401), (ASKING, b"\r\n", 200)])
async def test_what_is_no_further_request_does_not_shorten_idling(
    shop: Shopfront, wire: Wire, request_: bytes, more: bytes, status: int
) -> None:
    """The rest of a body that nobody waited for, and empty lines, let a connection idle from its answer on."""
    protocol = connected(create_app(shop.services), wire)
    protocol.data_received(request_)
    await answered(protocol)
    keeping = protocol.timeout_keep_alive_task
    assert keeping is not None
    protocol.data_received(more)
    time_passes(protocol)
    assert (wire.statuses, wire.end) == ([status], "")
    assert protocol.timeout_keep_alive_task is keeping
    assert not keeping.cancelled()


async def test_a_request_behind_the_rest_of_a_body_does_not_idle(shop: Shopfront, wire: Wire) -> None:
    """Nobody hangs up on it although it takes long."""
    protocol = connected(create_app(shop.services), wire)
    protocol.data_received(EARLY)
    await answered(protocol)
    protocol.data_received(b"{}" + ASKING)
    assert protocol.timeout_keep_alive_task is None
    await answered(protocol)
    assert wire.statuses == [401, 200]


async def test_a_connection_that_breaks_leaves_no_timer(shop: Shopfront, wire: Wire) -> None:
    """Whatever belonged to it is gone at once, and not when it would have been idle for too long."""
    protocol = connected(create_app(shop.services), wire)
    protocol.data_received(ASKING)
    await answered(protocol)
    keeping = protocol.timeout_keep_alive_task
    assert keeping is not None
    protocol.connection_lost(ConnectionResetError())
    assert keeping.cancelled()
    assert protocol.patience is None


@pytest.mark.parametrize("behind", [ASKING, GARBAGE], ids=["request", "garbage"])
async def test_whoever_is_answered_learns_that_its_connection_has_gone(
    shop: Shopfront, wire: Wire, behind: bytes
) -> None:
    """It need not be what was heard last: a feed ends that has something waiting behind it."""
    stream_id, _ = await shop.open()
    protocol = connected(create_app(shop.services), wire)
    protocol.data_received(b"GET /v1/streams/%s/live? HTTP/1.1\r\nHost: shop\r\n\r\n" % stream_id.encode() + behind)
    while not any(b"event: snapshot" in each for each in wire.written):
        await asyncio.sleep(0)
    wire.close()
    protocol.connection_lost(ConnectionResetError())
    async with asyncio.timeout(5):
        await answered(protocol)
    assert b"event: snapshot" in wire.written[-1]
