"""The express lane: over a real connection requests are answered as the application answers them, however they come."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from api.express import LARGEST, Asking, Express
from tests.api.doorway import Door, order

JSON = {"content-type": "application/json"}


async def test_an_order_takes_the_lane(door: Door) -> None:
    """The answer is whole: status, where to find the order, its version and the request's id; the connection stays."""
    stream_id, listing_id = await door.shop.open(allotment=2)
    body = order(stream_id, listing_id)
    for number in range(3):
        headers = {**JSON, **door.shop.token("buyer"), "idempotency-key": f"k{number}", "x-request-id": f"r-{number}"}
        response = await door.http.post("/v1/orders", content=body, headers=headers)
        assert response.status_code == (201 if number < 2 else 409)
        assert response.headers["x-request-id"] == f"r-{number}"
        assert "date" in response.headers
        if number < 2:
            assert response.headers["location"] == f"/v1/orders/{response.json()['order_id']}"
            assert response.headers["etag"] == '"1"'
    assert door.taken == ["/v1/orders"] * 3
    told = (await door.http.get("/metrics")).text
    assert 'livetill_http_requests_total{method="POST",route="/v1/orders",status="201"} 2.0' in told
    assert 'livetill_http_request_seconds_count{method="POST",route="/v1/orders"} 3.0' in told


@pytest.mark.parametrize(
    ("method", "path", "who", "headers", "body"),
    [
        ("POST", "/v1/orders", "", {**JSON, "idempotency-key": "a"}, b"{}"),
        ("POST", "/v1/orders", "auditor", {**JSON, "idempotency-key": "a"}, b"{}"),
        ("POST", "/v1/orders", "buyer", JSON, b"{}"),
        ("POST", "/v1/orders", "buyer", {**JSON, "idempotency-key": "x" * 256}, b"{}"),
        ("POST", "/v1/orders", "buyer", {**JSON, "idempotency-key": "a"}, b"{"),
        ("POST", "/v1/orders", "buyer", {**JSON, "idempotency-key": "a"}, b""),
        ("POST", "/v1/orders", "buyer", {**JSON, "idempotency-key": "a"}, b'{"surprise":1}'),
        ("POST", "/v1/orders", "buyer", {"content-type": "text/plain", "idempotency-key": "a"}, b"{}"),
        ("POST", "/v1/orders", "buyer", {**JSON, "idempotency-key": "a"}, b'{"x":"' + b"y" * LARGEST + b'"}'),
        ("POST", "/v1/orders", "buyer", {**JSON, "idempotency-key": "a"}, b'{"x":"' + b"y" * 2**21 + b'"}'),
        ("POST", "/v1/orders?x=1", "buyer", {**JSON, "idempotency-key": "a"}, b"{}"),
        ("POST", "/v1/orders/", "buyer", {**JSON, "idempotency-key": "a"}, b"{}"),
        ("PUT", "/v1/orders", "buyer", JSON, b"{}"),
        ("OPTIONS", "/v1/orders", "", {}, b""),
        ("HEAD", "/v1/orders", "auditor", {}, b""),
        ("GET", "/v1/orders", "auditor", {}, b""),
        ("GET", "/v1/orders", "buyer", {}, b""),
        ("GET", "/v1/orders?limit=0", "buyer", {}, b""),
        ("GET", "/health/live", "", {}, b""),
    ],
)
async def test_it_is_answered_as_by_the_application(
    door: Door, method: str, path: str, who: str, headers: dict[str, str], body: bytes
) -> None:
    """Status, body and headers are the same on either way, whatever is wrong with a request."""
    sent = {**headers, **door.shop.token(who)}
    here = await door.http.request(method, path, content=body, headers=sent)
    there = await door.shop.http.request(method, path, content=body, headers=sent)
    assert (here.status_code, here.content) == (there.status_code, there.content)
    differing = {"date", "x-request-id", "connection"}
    assert {k: v for k, v in here.headers.items() if k not in differing} == {
        k: v for k, v in there.headers.items() if k not in differing
    }


async def test_a_body_may_come_in_pieces(door: Door) -> None:
    """What the network cuts is put together."""
    stream_id, listing_id = await door.shop.open()
    request = door.raw(order(stream_id, listing_id))
    told = await door.talk(request[:20], request[20:200], request[200:-30], request[-30:])
    assert told.startswith(b"HTTP/1.1 201 Created\r\n")
    assert door.taken == ["/v1/orders"]


@pytest.mark.parametrize("twice", ["Idempotency-Key: other", "Authorization: Bearer other", "Content-Type: text/plain"])
async def test_what_may_be_said_once_is_not_said_twice(door: Door, twice: str) -> None:
    """Of two keys or tokens none is guessed at; other headers may come as often as they like."""
    stream_id, listing_id = await door.shop.open()
    body, before = order(stream_id, listing_id), await door.shop.head()
    length = f"Content-Length: {len(body)}"
    told = await door.talk(door.raw(body, length, twice))
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"is given twice" in told
    assert await door.shop.head() == before
    told = await door.talk(door.raw(body, length, "Accept: text/html", "Accept: */*"))
    assert told.startswith(b"HTTP/1.1 201 ")


async def test_a_length_with_leading_zeros_is_that_length(door: Door) -> None:
    """Such a body is as large as one of the same length without, and goes the same way."""
    body = b'{"x":"' + b"y" * 200_000 + b'"}'
    told = await door.talk(door.raw(body, f"Content-Length: 000000000000{len(body)}"))
    assert told.startswith(b"HTTP/1.1 422 ")
    assert door.taken == []


async def test_a_request_whose_body_never_comes_does_nothing(door: Door) -> None:
    """Who hangs up after the head has not said what to cancel: it is not the whole order."""
    stream_id, listing_id = await door.shop.open()
    order_id = await door.shop.place(stream_id, listing_id)
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(door.raw(b"", "Content-Length: 30", path=f"/v1/orders/{order_id}/cancel"))
    writer.close()
    while "/cancel" not in (told := (await door.http.get("/metrics")).text):
        await asyncio.sleep(0.01)
    assert 'route="/v1/orders/{order_id}/cancel",status="400"' in told
    assert (await door.shop.get(f"/v1/orders/{order_id}")).json()["status"] == "placed"


async def test_requests_may_come_before_the_answers(door: Door) -> None:
    """Pipelined requests are answered in order, those behind the first by uvicorn."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    told = await door.talk(b"".join(door.raw(body, key=f"k{number}") for number in range(3)), answers=3)
    assert told.count(b"HTTP/1.1 201 Created\r\n") == 3
    assert door.taken == ["/v1/orders"]


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        (["Transfer-Encoding: chunked"], "1.1"),
        (["Expect: 100-continue", "Content-Length: {length}"], "1.1"),
        (["Connection: keep-alive", "Content-Length: {length}"], "1.0"),
    ],
)
async def test_what_is_unusual_is_left_to_uvicorn(door: Door, headers: list[str], version: str) -> None:
    """It is answered all the same."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    lines = [each.format(length=len(body)) for each in headers]
    if "chunked" in headers[0]:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    told = await door.talk(door.raw(body, *lines, version=version))
    assert b" 201 Created\r\n" in told
    assert door.taken == []


async def test_who_says_so_is_disconnected_after_the_answer(door: Door) -> None:
    """``Connection: close`` is kept."""
    stream_id, listing_id = await door.shop.open()
    body = order(stream_id, listing_id)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(door.raw(body, "Connection: close", f"Content-Length: {len(body)}"))
    told = await reader.read()
    assert b"connection: close\r\n" in told
    assert told.startswith(b"HTTP/1.1 201 Created\r\n")
    assert door.taken == ["/v1/orders"]
    writer.close()


async def test_an_order_stands_although_its_client_has_gone(door: Door) -> None:
    """A client that hangs up before the answer is not answered; what it asked for is done, and the server serves on."""
    stream_id, listing_id = await door.shop.open()
    before = await door.shop.head()
    for request in (door.raw(order(stream_id, listing_id)), door.raw(b"{}", "Content-Length: 50")):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(request)
        await writer.drain()
        writer.transport.abort()
    while await door.shop.head() == before:
        await asyncio.sleep(0.01)
    assert (await door.http.get("/health/live")).status_code == 200


async def test_a_request_that_is_cancelled_leaves_no_open_connection(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stops waits only so long; the client sees the connection end and asks again with its key."""

    async def never(_self: Express, _asking: Asking) -> Any:
        for task in asyncio.all_tasks():
            if "_exchange" in repr(task):
                task.cancel()
        await asyncio.sleep(60)

    monkeypatch.setattr(Express, "answer", never)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(door.raw(b"{}"))
    assert await reader.read() == b""
    with suppress(OSError):
        writer.close()
