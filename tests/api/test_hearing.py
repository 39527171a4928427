"""Hearing requests: whoever connects is heard for a while, up to a size, and gets an answer in our words."""

import asyncio
import re

import pytest

from api import hearing
from api.hearing import LARGEST_HEAD
from tests.api.doorway import ALIVE, LIVE, Door, heard, last_problem, order

H2C = ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings")


async def test_an_offer_of_another_protocol_is_declined(door: Door) -> None:
    """A client that offers HTTP/2 with its request is served as if it had not, body and all."""
    stream_id, listing_id = await door.shop.open()
    order_id = await door.shop.place(stream_id, listing_id, 3)
    body = b'{"line_id": "1", "quantity": 1}'
    cancelling = door.raw(body, *H2C, f"Content-Length: {len(body)}", path=f"/v1/orders/{order_id}/cancel")
    told = await door.talk(cancelling)
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    after = (await door.shop.get(f"/v1/orders/{order_id}")).json()
    assert (after["status"], after["lines"][0]["cancelled"]) == ("placed", 1)


@pytest.mark.parametrize("cut", [30, 250, 430, -1])
async def test_an_offer_is_declined_in_whatever_pieces_it_comes(door: Door, cut: int) -> None:
    """The lane takes it too, and the connection goes on."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    ordering = door.raw(body, *H2C, f"Content-Length: {len(body)}")
    told = await door.talk(ordering[:cut], ordering[cut:], door.raw(body, key="k2"), LIVE + b"\r\n", answers=3)
    assert told.count(b"HTTP/1.1 201 Created\r\n") == 2
    assert told.endswith(ALIVE)
    assert door.taken == ["/v1/orders", "/v1/orders", "/health/live"]


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/orders?"])
@pytest.mark.parametrize(("version", "more"), [("1.0", ()), ("1.1", ("Connection: close",))])
async def test_an_offer_is_declined_on_a_connection_that_ends(
    door: Door, version: str, more: tuple[str, ...], path: str
) -> None:
    """Who says that this is the last request, or is of an older HTTP, is answered all the same, and only once."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    ordering = door.raw(body, *H2C, *more, f"Content-Length: {len(body)}", version=version, path=path)
    told = await heard(door, ordering + ordering)
    assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"201"]


async def test_offers_come_one_behind_the_other(door: Door) -> None:
    """Pipelined, chunked or without a body: each is answered, in order."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    chunked = door.raw(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), *H2C, "Transfer-Encoding: chunked")
    asking = LIVE + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    told = await door.talk(asking + chunked + asking + chunked, answers=4)
    assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"200", b"201", b"200", b"201"]


async def test_nobody_is_connected_through(door: Door) -> None:
    """CONNECT offers another protocol by itself; there is no method that would take somebody elsewhere."""
    told = await heard(door, b"CONNECT shop:80 HTTP/1.1\r\nHost: shop\r\n\r\n")
    assert last_problem(told, 405) == "method_not_allowed"
    assert b"\r\nallow: \r\n" in told


@pytest.mark.parametrize("name", [b"x", b"X-Long"])
@pytest.mark.parametrize("size", [LARGEST_HEAD, 14_000_000])
async def test_a_head_is_of_moderate_size(door: Door, name: bytes, size: int) -> None:
    """In one header or in many, in one piece or in hundreds: what is too large is refused before it is there."""
    large = name + b": " + b"x" * size + b"\r\n"
    many = b"".join(b"%s%d: %s\r\n" % (name, number, b"x" * 100) for number in range(size // 100))
    for more in (large, many):
        told = await heard(door, LIVE + more + b"\r\n")
        assert last_problem(told, 431) == "head_too_large"
    assert (await door.http.get("/health/live")).status_code == 200


async def test_a_target_belongs_to_the_head(door: Door) -> None:
    """A path of megabytes is refused as well, and one of some kilobytes is read."""
    for size, status in ((14_000_000, 431), (LARGEST_HEAD, 431)):
        told = await heard(door, b"GET /health/live?" + b"x" * size + b" HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert last_problem(told, status) == "head_too_large"
    assert (await door.http.get("/health/live", headers={"x": "y" * 30_000})).status_code == 200


async def test_a_head_behind_a_large_body_is_not_taken_for_large(door: Door) -> None:
    """Only what belongs to a head counts."""
    stream_id, listing_id = await door.shop.open()
    large = b" " * 200_000 + order(stream_id, listing_id)
    requests = b"".join(door.raw(large, key=f"k{number}") for number in range(3))
    told = await door.talk(requests + LIVE, b"\r\n", answers=4)
    assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"201", b"201", b"201", b"200"]


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [("1.1", [], 400), ("1.1", ["Host: shop", "host: other"], 400), ("1.0", ["Host: shop"] * 2, 400), ("1.0", [], 200)],
)
@pytest.mark.parametrize("more", [(), H2C], ids=["plain", "offer"])
@pytest.mark.parametrize("target", ["/health/live", "/health/live?"])
async def test_a_request_names_its_host_once(
    door: Door, version: str, hosts: list[str], status: int, more: tuple[str, ...], target: str
) -> None:
    """Who names none or two cannot have meant us (RFC 9112, 3.2); before HTTP/1.1 there was none to name."""
    told = await heard(door, "\r\n".join([f"GET {target} HTTP/{version}", *hosts, *more, "", ""]).encode())
    assert told.startswith(b"HTTP/1.1 %d " % status)
    assert told.endswith(ALIVE) == (status == 200)


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/orders?"])
async def test_blanks_behind_a_value_are_no_part_of_it(door: Door, path: str) -> None:
    """A length is a length, on the lane and beside it, and a key is the same key (RFC 9110, 5.5)."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    told = await door.talk(door.raw(body, f"Content-Length: {len(body)} \t ", key="k \t", path=path))
    assert told.startswith(b"HTTP/1.1 201 Created\r\n")
    told = await door.talk(door.raw(body, key="k"))
    assert told.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"idempotent-replayed: true" in told
    assert len(door.taken) == (2 if path == "/v1/orders" else 1)


CHUNKED = "Transfer-Encoding: chunked"


async def test_what_comes_behind_a_body_is_no_header(door: Door) -> None:
    """A trailer names no other key and nobody else (RFC 9110, 6.5.1): the order is placed as its head says."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    trailers = b"Authorization: Bearer other\r\nIdempotency-Key: other\r\nExpect: 100-continue\r\n"
    told = await door.talk(door.raw(b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers), CHUNKED))
    assert told.startswith(b"HTTP/1.1 201 Created\r\n")


@pytest.mark.parametrize("more", [b"0\r\nx: ", b"1;", b"0\r\n" + b"x: y\r\n" * 9000 + b"x: "])
async def test_what_is_no_body_is_of_moderate_size(door: Door, more: bytes) -> None:
    """Trailers and what is said of a chunk are bounded like a head, however large the body before them is."""
    stream_id, listing_id = await door.shop.open()
    body, before = b" " * 200_000 + order(stream_id, listing_id), await door.shop.head()
    chunk = b"%x\r\n%s\r\n" % (len(body), body)
    told = await heard(door, door.raw(chunk + chunk, CHUNKED), more, *[b"x" * 60_000] * 20)
    assert last_problem(told, 431) == "head_too_large"
    assert await door.shop.head() == before


async def test_a_large_body_may_have_trailers(door: Door) -> None:
    """In chunks of any size, with a trailer of some kilobytes behind them."""
    stream_id, listing_id = await door.shop.open()
    large = b" " * 200_000 + order(stream_id, listing_id)
    chunks = [
        b"%x;x=y\r\n%s\r\n" % (len(part), part) for part in (large[n : n + 999] for n in range(0, len(large), 999))
    ]
    told = await door.talk(door.raw(b"".join([*chunks, b"0\r\nx: "]), CHUNKED), b"y" * 20_000 + b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 201 Created\r\n")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nno header\r\n\r\n",
        LIVE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        LIVE + b"Content-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "h2", "header", "lengths", "length", "chunk"],
)
async def test_what_is_no_request_is_told_so_in_our_words(door: Door, garbage: bytes) -> None:
    """A problem with a request id, and the connection ends."""
    assert last_problem(await heard(door, garbage), 400) == "bad_request"


async def test_what_is_no_request_waits_for_its_turn(door: Door) -> None:
    """Behind two orders it is answered third: nobody takes its answer for that of an order."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    for garbage in (b"no request\r\n\r\n", door.raw(b"zz\r\n", "Transfer-Encoding: chunked")):
        told = await heard(door, door.raw(body) + door.raw(body, key="k2") + garbage)
        assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"201", b"201", b"400"]
        assert last_problem(told, 400) == "bad_request"


@pytest.fixture
def hasty(door: Door, monkeypatch: pytest.MonkeyPatch) -> Door:
    """A door whose patience ends soon."""
    monkeypatch.setattr(hearing, "PATIENCE_SECONDS", 0.2)
    return door


@pytest.mark.parametrize(
    "half",
    [LIVE, LIVE + b"\r\n" + LIVE, LIVE + b"Content-Length: 9\r\n\r\nx"],
    ids=["head", "second head", "body"],
)
async def test_half_a_request_is_not_waited_for_for_ever(hasty: Door, half: bytes) -> None:
    """Whatever the half has, the connection ends with an answer."""
    told = await heard(hasty, half)
    assert last_problem(told, 408) == "request_timeout"


async def test_half_an_order_is_not_waited_for_and_not_placed(hasty: Door) -> None:
    """On the lane and beside it."""
    stream_id, listing_id = await hasty.shop.open()
    body, before = order(stream_id, listing_id), await hasty.shop.head()
    for path in ("/v1/orders", "/v1/orders?"):
        told = await heard(hasty, hasty.raw(body, path=path)[:-1])
        assert told.count(b"HTTP/1.1 ") == 1
        assert last_problem(told, 408) == "request_timeout"
    assert await hasty.shop.head() == before


async def test_who_says_nothing_is_told_nothing(hasty: Door) -> None:
    """A connection without a request ends, also one that sends nothing but empty lines."""
    for nothing in (b"", b"\r\n"):
        assert await heard(hasty, nothing) == b""


async def test_idle_and_watching_connections_stay(hasty: Door) -> None:
    """Patience is for requests that come: who has had an answer may wait, and a viewer only listens."""
    stream_id, _ = await hasty.shop.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    watched, watching = await asyncio.open_connection("127.0.0.1", hasty.port)
    watching.write(b"GET /v1/streams/%s/live HTTP/1.1\r\nHost: shop\r\n\r\n" % stream_id.encode())
    await watched.readuntil(b"event: snapshot")
    for _ in range(2):
        writer.write(LIVE + b"\r\n")
        await reader.readuntil(ALIVE)
        await asyncio.sleep(1.0)  # longer than patience
    assert not watched.at_eof()
    writer.close()
    watching.close()
