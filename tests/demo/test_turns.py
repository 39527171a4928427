"""Side by side, but never out of turn."""

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.demo.errors import DemoError
from api.demo.pace import Pace
from api.demo.turns import Turns, side_by_side

STEPS = st.lists(st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.integers(0, 3)), max_size=20)


@given(STEPS)
def test_who_shares_something_goes_in_order(steps: list[tuple[set[str], int]]) -> None:
    """However long each takes, on every thing the steps follow each other as they queued, and none overlap."""
    begun: list[int] = []
    log: dict[str, list[tuple[str, int]]] = {thing: [] for thing in "abc"}

    async def step(number: int, shared: set[str], pauses: int, turns: Turns) -> None:
        async with turns.queue(sorted(shared)):
            begun.append(number)
            for thing in shared:
                log[thing].append(("begins", number))
            for _ in range(pauses):
                await asyncio.sleep(0)
            for thing in shared:
                log[thing].append(("ends", number))

    async def everything() -> None:
        turns = Turns()
        async with side_by_side() as group:
            for number, (shared, pauses) in enumerate(steps):
                group.create_task(step(number, shared, pauses, turns))

    asyncio.run(everything())
    assert sorted(begun) == list(range(len(steps)))
    for thing, told in log.items():
        numbers = [number for number, (shared, _) in enumerate(steps) if thing in shared]
        assert told == [(what, number) for number in numbers for what in ("begins", "ends")]


async def test_strangers_do_not_wait_for_each_other() -> None:
    """The second step ends while the first is still at work."""
    turns, free = Turns(), asyncio.Event()
    async with side_by_side() as group:
        first = turns.queue(["a"])

        async def waits() -> None:
            async with first:
                await free.wait()

        group.create_task(waits())
        async with turns.queue(["b"]):
            free.set()


async def test_the_first_failure_is_the_one_that_is_told() -> None:
    """What else was going on ends, and no group of errors reaches people."""
    ended = False

    async def stays() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async def fails() -> None:
        raise DemoError("enough")

    async def both() -> None:
        async with side_by_side() as group:
            group.create_task(stays())
            group.create_task(fails())

    with pytest.raises(DemoError, match="enough"):
        await both()
    assert ended


async def test_a_paced_show_takes_its_time() -> None:
    """A minute of the file at 600 seconds a second is a tenth of a second; what comes late is not held back."""
    pace, loop, morning = Pace(600), asyncio.get_running_loop(), datetime(2010, 12, 1, 8, 0)  # noqa: DTZ001
    pace.begin()
    began = loop.time()
    await pace.until(morning)
    await pace.until(morning + timedelta(minutes=1))
    assert loop.time() - began >= 0.1
    await asyncio.wait_for(pace.until(morning), 1)


async def test_an_unpaced_show_waits_for_nothing() -> None:
    """A whole day passes at once."""
    pace, morning = Pace(None), datetime(2010, 12, 1, 8, 0)  # noqa: DTZ001
    for hour in range(12):
        await asyncio.wait_for(pace.until(morning + timedelta(hours=hour)), 1)
