"""The crowd that orders: it counts what it is told, and leaves no wait out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count, islice

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as some

from api.bench.load import Crowd, Plan, _requests, percentile

PLAN = Plan("127.0.0.1", 0, "a-secret-of-the-tests-that-is-long-enough", "stream-1", ["listing-1", "listing-2"], 0.3,
            warmup_seconds=0.0, connections=4, buyers=3)  # fmt: skip
CREATED = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}"
CONFLICT = b"HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\n{}"
Answering = Callable[[int], bytes]


@asynccontextmanager
async def shop(answer: Answering, *, opened: asyncio.Event | None = None) -> AsyncIterator[Plan]:
    """Serve answers by the number of the request, from when it is opened; no answer hangs up."""
    numbers = count()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        while await _received(reader):
            if opened is not None:
                await opened.wait()
            told = answer(next(numbers))
            writer.write(told)
            if not told:
                break
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield evolve(PLAN, port=server.sockets[0].getsockname()[1])
        await asyncio.gather(*serving)


async def _received(reader: asyncio.StreamReader) -> bool:
    """Read a request; False when there will be none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    length = next(int(line.partition(b":")[2]) for line in head.split(b"\r\n") if b"Content-Length" in line)
    await reader.readexactly(length)
    return True


async def test_every_answer_is_counted_by_its_status() -> None:
    """Given a shop that refuses every other order, only the taken ones are acknowledged."""
    async with shop(lambda number: CONFLICT if number % 2 else CREATED) as plan:
        told = await Crowd(plan).run()
    assert told.lost == 0
    assert told.answered.keys() == {"201", "409"}
    assert 0 < told.acknowledged <= told.answered["201"]
    assert told.crowd_us > 0


async def test_an_order_that_nobody_answers_is_lost_and_not_forgotten() -> None:
    """Given a shop that hangs up on an order, the crowd says so and goes on with the other connections."""
    async with shop(lambda number: b"" if number == 1 else CREATED) as plan:
        told = await Crowd(plan).run()
    assert told.lost == 1
    assert told.answered["201"] > 1


async def test_an_open_loop_counts_the_wait_of_orders_that_could_not_be_sent() -> None:
    """Given one connection and a shop that stalls, an order that came due meanwhile waits from then on."""
    opened = asyncio.Event()
    async with shop(lambda _: CREATED, opened=opened) as plan:
        crowd = Crowd(evolve(plan, rate=200.0, connections=1, seconds=0.5))
        running = asyncio.create_task(crowd.run())
        while len(crowd._waiting) < 20:
            await asyncio.sleep(0.01)
        opened.set()
        told = await running
    assert told.answered["201"] > 20
    assert told.worst_ms > 50, "twenty orders at 200 a second came due over some 100 ms, and the first waited all of it"
    assert told.p99_ms >= told.p50_ms > 0


def test_no_two_orders_share_a_key_and_buyers_and_listings_take_turns() -> None:
    """Given a plan, each request has its own key; tokens and listings go round."""
    requests = list(islice(_requests(PLAN), 12))
    keys = {line for each in requests for line in each.split(b"\r\n") if line.startswith(b"Idempotency-Key")}
    tokens = {line for each in requests for line in each.split(b"\r\n") if line.startswith(b"Authorization")}
    assert (len(keys), len(tokens)) == (12, 3)
    assert sum(b"listing-1" in each for each in requests) == 6


@given(some.lists(some.floats(0, 1e6), min_size=1), some.sampled_from([50.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], percent: float) -> None:
    """Given measured values, at least that share is at or below the percentile, and fewer below it."""
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert sum(value <= found for value in ordered) >= len(ordered) * percent / 100 - 1e-6
    assert sum(value < found for value in ordered) < len(ordered) * percent / 100 + 1e-6
