"""HEAD: wherever GET is answered, and nothing but the head."""

import asyncio

import httpx
import pytest

from tests.api.shopfront import Shopfront
from tests.api.test_garbage import port

__all__ = ["port"]


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/metrics", "/", "/schema/openapi.json", "/v1/journal"]
)
async def test_head_is_get_without_the_body(shop: Shopfront, port: int, path: str) -> None:
    """Status and headers are those of GET, also the length of the body that is not sent."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=shop.token("auditor")) as http:
        head, got = await http.head(path), await http.get(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "etag", "cache-control") + (() if path == "/metrics" else ("content-length",)):
        assert head.headers.get(name) == got.headers.get(name)


async def test_head_of_a_feed_ends(shop: Shopfront, port: int) -> None:
    """Whoever asks for the head of a live feed does not watch."""
    stream_id, _ = await shop.open()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http, asyncio.timeout(10):
        head = await http.head(f"/v1/streams/{stream_id}/live")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_what_get_does_not_have_head_does_not_have(shop: Shopfront) -> None:
    """A path that is none is 404; one that takes POST alone is 405 and says so."""
    assert (await shop.http.head("/v1/nowhere")).status_code == 404
    refused, got = await shop.http.head("/v1/orders:batch"), await shop.http.get("/v1/orders:batch")
    assert refused.status_code == got.status_code == 405
    assert refused.headers.get("allow") == got.headers.get("allow")


async def test_who_may_not_get_may_not_head(shop: Shopfront) -> None:
    """It is the same request to everybody who judges it."""
    assert (await shop.http.head("/v1/orders")).status_code == 401
    assert (await shop.http.put("/v1/orders")).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await shop.http.options("/v1/orders")).headers["allow"] == "GET, HEAD, OPTIONS, POST"
