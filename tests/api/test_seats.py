"""Seats: who watches over the express lane is told what everybody is told, whatever becomes of the connection."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from attrs import define, field
from uvicorn.protocols.http.flow_control import FlowControl

from api import live_log
from api.commands.serve import _server
from api.seats import Seat
from application import commands as c
from tests.api.watching import PATIENCE_SECONDS, Theatre, Told, parsed, theatre
from tests.api.wire import Wire, answered, connected
from tests.rehearsal import LISTING, STREAM


@define
class Seated:
    """A viewer at the other end of a real connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str
    pending: list[Told] = field(factory=list)

    async def next(self) -> Told:
        """Return the next event."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.pending:
                self.pending += parsed(await self.reader.readuntil(b"\n\n"))
        return self.pending.pop(0)

    async def upto(self, position: int) -> list[Told]:
        """Return all events until the feed has reached a position."""
        told = [await self.next()]
        while told[-1].id < position:
            told.append(await self.next())
        return told

    async def ended(self) -> bytes:
        """Wait until the server hangs up, and return what was still said."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()

    async def leave(self) -> None:
        """Hang up."""
        self.writer.close()
        await self.writer.wait_closed()


@define
class House:
    """A shop in memory behind uvicorn, as ``livetill serve`` has it."""

    theatre: Theatre
    port: int
    seated: list[Seated] = field(factory=list)

    async def connect(self, *headers: str, target: str = f"/v1/streams/{STREAM}/live") -> Seated:
        """Ask for a feed and read the head of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write("\r\n".join([f"GET {target} HTTP/1.1", "Host: shop", *headers, "", ""]).encode())
        self.seated.append(Seated(reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode()))
        return self.seated[-1]

    async def watch(self, *headers: str) -> Seated:
        """Take a seat and the snapshot."""
        seated = await self.connect(*headers)
        assert (await seated.next()).name == "snapshot"
        return seated

    async def head(self) -> int:
        """Return the journal's last position."""
        return await self.theatre.shop.journal.head()

    async def viewers(self, count: int) -> None:
        """Wait until so many are watching: the server hears later that a client has gone."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.theatre.hub.viewers != count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A show on air with one listing of ten units, and a door."""
    async with theatre() as running:
        await running.shop.go_live()
        await running.shop.offer(10)
        server, listening = _server(running.app), socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        opened = House(running, listening.getsockname()[1])
        yield opened
        server.should_exit = True
        await running.hub.close()
        await serving
        for each in opened.seated:
            with suppress(OSError):
                await each.leave()


async def test_a_seat_is_told_what_everybody_is_told(house: House) -> None:
    """Who comes through the application and who has a seat get the same events."""
    seated, standing = await house.watch(), await house.theatre.watch()
    assert (await standing.next()).name == "snapshot"
    for number in range(4):
        await house.theatre.shop.order(f"order-{number}", 3, buyer=f"buyer-{number}")
        position = await house.head()
        assert await seated.upto(position) == await standing.upto(position)
    assert house.theatre.hub.viewers == 2


async def test_the_answer_is_an_event_stream_that_ends_with_its_connection(house: House) -> None:
    """It has what every answer has, is kept by nobody on the way, and is counted like any request."""
    seated = await house.connect("X-Request-Id: mine")
    status, *lines = seated.head.strip().splitlines()
    fields = dict(line.lower().split(": ", 1) for line in lines)
    assert status == "HTTP/1.1 200 OK"
    assert fields["content-type"].startswith("text/event-stream")
    assert "no-cache" in fields["cache-control"]
    assert (fields["x-accel-buffering"], fields["connection"], fields["x-request-id"]) == ("no", "close", "mine")
    assert "date" in fields
    assert not {"content-length", "transfer-encoding"} & fields.keys()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{house.port}") as http:
        told = (await http.get("/metrics")).text
    assert 'livetill_http_requests_total{method="GET",route="/v1/streams/{stream_id}/live",status="200"} 1.0' in told


async def test_who_comes_back_goes_on_where_it_was(house: House) -> None:
    """With the last event's id there is no snapshot, nothing twice and nothing missing."""
    staying, leaving = await house.watch(), await house.watch()
    await house.theatre.shop.order("order-1", 1)
    seen = await leaving.upto(await house.head())
    await leaving.leave()
    await house.theatre.shop.order("order-2", 9, buyer="buyer-2")
    expected = await staying.upto(await house.head())
    back = await house.connect(f"Last-Event-ID: {seen[-1].id}")
    assert [*seen, *await back.upto(await house.head())] == expected


async def test_there_is_no_seat_at_an_unknown_show(house: House) -> None:
    """It is a problem like any other, and the connection serves on."""
    seated = await house.connect(target="/v1/streams/stream-none/live")
    assert seated.head.startswith("HTTP/1.1 404 ")
    assert "content-type: application/problem+json" in seated.head
    length = int(dict(line.split(": ") for line in seated.head.strip().splitlines()[1:])["content-length"])
    await seated.reader.readexactly(length)
    seated.writer.write(b"GET /health/live HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert (await seated.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
    assert house.theatre.hub.viewers == 0


async def test_an_unusual_viewer_watches_all_the_same(house: House) -> None:
    """A query string is uvicorn's business; the feed is the same."""
    seated = await house.connect(target=f"/v1/streams/{STREAM}/live?cache=no")
    assert "transfer-encoding: chunked" in seated.head
    assert b"event: snapshot" in await seated.reader.readuntil(b"\n\n") + await seated.reader.readuntil(b"\n\n")


async def test_a_seat_is_given_up_when_its_viewer_goes(house: House) -> None:
    """Nothing is kept for a connection that has ended; what else it asked for meanwhile does not matter."""
    more = "GET /health/live HTTP/1.1\r\nHost: shop\r\n\r\n"
    seated, other = await house.watch(f"\r\n{more}"), await house.watch()
    seated.writer.write(more.encode())
    await seated.leave()
    await house.viewers(1)
    await house.theatre.shop.order("order-1", 1)
    assert (await other.upto(await house.head()))[-1].id == await house.head()
    other.writer.transport.abort()
    await house.viewers(0)
    assert not house.theatre.hub.running


async def test_the_server_sends_its_viewers_away_when_it_stops(house: House) -> None:
    """An open feed does not hold a shutdown up."""
    seated = await house.watch()
    await house.theatre.hub.close()
    await seated.ended()
    await house.viewers(0)


async def full(house: House, wire: Wire) -> tuple[Seat, FlowControl]:
    """Seat somebody whose connection takes nothing any more."""
    flow = FlowControl(wire)
    seat = Seat(await house.theatre.hub.join(STREAM), wire, flow)
    seat.begin(b"head")
    flow.pause_writing()
    return seat, flow


async def test_a_slow_viewer_misses_figures_but_no_news(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a connection takes nothing nothing is written; then come all news, and how it stands."""
    monkeypatch.setattr(live_log, "FRAMES", 3)
    seat, flow = await full(house, wire)
    quick = await house.watch()
    for number in range(8):
        await house.theatre.shop.order(f"order-{number}", 10, buyer=f"buyer-{number}")
        await quick.upto(await house.head())
        await house.theatre.shop.do(c.CancelOrder(f"order-{number}"))
        await quick.upto(await house.head())
    assert len(wire.written) == 1
    flow.resume_writing()
    seat.go_on()
    (told,) = wire.written[1:]
    assert [each.name for each in parsed(told)] == [*["sold_out", "back_in_stock"] * 8, "snapshot"]
    assert LISTING.encode() in told
    seat.leave()


async def test_who_misses_more_news_than_is_kept_is_sent_away(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back and starts again, rather than believing that it knows everything."""
    monkeypatch.setattr(live_log, "FRAMES", 1)
    monkeypatch.setattr(live_log, "NEWS", 1)
    seat, flow = await full(house, wire)
    quick = await house.watch()
    for number in range(3):
        await house.theatre.shop.order(f"order-{number}", 10, buyer=f"buyer-{number}")
        await quick.upto(await house.head())
        await house.theatre.shop.do(c.CancelOrder(f"order-{number}"))
        await quick.upto(await house.head())
    flow.resume_writing()
    seat.go_on()
    assert (len(wire.written), wire.end) == (1, "closed")
    seat.leave()


async def test_who_takes_nothing_does_not_hold_the_end_up(house: House, wire: Wire) -> None:
    """A server that stops cuts a connection that would not take a farewell."""
    seat, _ = await full(house, wire)
    await house.theatre.hub.close()
    assert wire.end == "aborted"
    seat.leave()


async def test_who_took_nothing_of_the_last_frame_does_not_hold_the_end_up(house: House, wire: Wire) -> None:
    """It waits for its connection and not for the show, so the server that stops looks after it."""
    protocol = connected(house.theatre.app, wire)
    protocol.data_received(f"GET /v1/streams/{STREAM}/live HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
    await answered(protocol)
    protocol.pause_writing()
    quick = await house.watch()
    await house.theatre.shop.order("order-1", 1)
    await quick.upto(await house.head())
    await house.theatre.hub.close()
    protocol.shutdown()
    assert (len(wire.written), wire.end) == (1, "aborted")
    protocol.connection_lost(None)
