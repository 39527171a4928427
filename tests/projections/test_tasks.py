"""A task that is told to end does end, also when its client's library loses the telling."""

import asyncio

import pytest

from projections import tasks
from projections.tasks import ended, together


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say it again soon."""
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.05)


async def deaf(times: int) -> None:
    """Go on whatever we are told, so many times: as a request does whose answer came at the same moment."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_lost_cancellation_is_said_again(times: int) -> None:
    """However often it is lost."""
    task = asyncio.create_task(deaf(times))
    await asyncio.sleep(0)
    await ended(task)
    assert task.cancelled()


async def test_what_has_ended_is_left_as_it_is() -> None:
    """Its result, or its error, is nobody's business any more."""

    async def fail() -> None:
        raise ValueError("done with")

    failed, done = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, done])
    await ended(failed, done)
    await ended()


async def test_an_orderly_end_is_not_cut_short() -> None:
    """What a task still does when it is told to end is waited for."""
    tidied = False

    async def orderly() -> None:
        nonlocal tidied
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            tidied = True

    task = asyncio.create_task(orderly())
    await asyncio.sleep(0)
    await ended(task)
    assert tidied


async def test_who_ends_others_leaves_none_behind() -> None:
    """Cancelled while it waits for them, it tells them once more, waits all the same, and then ends too."""
    stubborn = asyncio.create_task(deaf(1))
    await asyncio.sleep(0)
    ending = asyncio.create_task(ended(stubborn))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert stubborn.cancelled()


@pytest.mark.parametrize("times", [0, 1])
async def test_jobs_done_together_end_together(times: int) -> None:
    """Also one that did not hear it the first time: ``TaskGroup`` would wait for that one for ever."""
    shared = asyncio.create_task(together(deaf(times), asyncio.sleep(60)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shared.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shared


async def test_a_failure_ends_the_jobs_beside_it() -> None:
    """And is the one that is told, as it is."""

    async def fail() -> None:
        raise LookupError("the first")

    with pytest.raises(LookupError, match="the first"):
        await together(deaf(1), fail())


async def test_jobs_done_together_are_waited_for() -> None:
    """Until the last of them is done."""
    done: list[int] = []

    async def work(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)
        done.append(number)

    await together(work(3), work(1))
    assert done == [1, 3]
