"""Pipelines: what comes behind another request is answered behind it, whatever it is, and never in its place."""

import asyncio
import re

import pytest

from tests.api.doorway import ALIVE, LIVE, Door, heard, last_problem, order

UNREADABLE = [b"http://shop", b"http://a:99999/", b"http://[", b"http://shop?x"]
"""Targets that the parser lets through and nobody can take apart."""
BESIDE = LIVE.replace(b" HTTP", b"? HTTP") + b"\r\n"
"""What is left to uvicorn, for its query string."""


def asking(target: bytes) -> bytes:
    """Ask for a target."""
    return b"GET %s HTTP/1.1\r\nHost: shop\r\n\r\n" % target


@pytest.mark.parametrize("target", UNREADABLE)
async def test_who_asks_first_for_what_cannot_be_read_is_told_so(door: Door, target: bytes) -> None:
    """A connection without any request yet ends with an answer, too."""
    assert last_problem(await heard(door, asking(target)), 400) == "bad_request"


@pytest.mark.parametrize("target", UNREADABLE)
async def test_a_target_that_cannot_be_read_is_not_charged_to_what_came_before(door: Door, target: bytes) -> None:
    """An order, or what else is being answered, gets its own answer; the refusal comes behind it."""
    stream_id, listing_id = await door.shop.open()
    for before, status in ((door.raw(order(stream_id, listing_id)), b"201"), (BESIDE, b"200")):
        told = await heard(door, before + asking(target))
        assert re.findall(rb"HTTP/1.1 (\d+)", told) == [status, b"400"]
        assert last_problem(told, 400) == "bad_request"


@pytest.mark.parametrize("before", [LIVE + b"\r\n", BESIDE], ids=["lane", "beside"])
async def test_who_was_answered_is_told_what_is_wrong_with_the_next(door: Door, before: bytes) -> None:
    """The connection does not just end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(before)
    await reader.readuntil(ALIVE)
    writer.write(asking(b"http://shop"))
    assert last_problem(await reader.read(), 400) == "bad_request"
    writer.close()


async def test_thousands_of_offers_come_one_behind_the_other(door: Door) -> None:
    """Each is declined and answered in its turn; they are heard one after the other and not one within the other."""
    offer = BESIDE[:-2] + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    told = await door.talk(offer * 2000 + LIVE + b"\r\n", answers=2001)
    assert told.count(b"HTTP/1.1 200 OK\r\n") == 2001


async def test_who_wants_to_be_connected_through_waits_for_its_turn(door: Door) -> None:
    """Behind an order and another offer it is refused third, and what follows is not heard."""
    stream_id, listing_id = await door.shop.open()
    offer = BESIDE[:-2] + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    connecting = b"CONNECT shop:80 HTTP/1.1\r\nHost: shop\r\n\r\n"
    told = await heard(door, door.raw(order(stream_id, listing_id)) + offer + connecting + LIVE + b"\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"201", b"200", b"405"]
    assert last_problem(told, 405) == "method_not_allowed"
