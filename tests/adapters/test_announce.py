"""Wake-ups, in one process and between two, with NATS and without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest

from adapters.announce import HEAD, LocalAnnouncer, NatsAnnouncer, Paced
from adapters.embedded import EmbeddedNats

LONG = 60.0
NOBODY = "nats://127.0.0.1:1"


async def heard(announcer: LocalAnnouncer | NatsAnnouncer, after: int) -> bool:
    """Tell whether a wait beyond a position ends before its time, which is far beyond the test's."""
    async with asyncio.timeout(20):
        await announcer.wait(after, LONG)
    return True


@asynccontextmanager
async def process(nats_url: str) -> AsyncIterator[NatsAnnouncer]:
    """What one server process has."""
    announcer = NatsAnnouncer(LocalAnnouncer(), nats_url)
    task = asyncio.create_task(announcer.run())
    yield announcer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def say_until_heard(speaker: NatsAnnouncer, listener: NatsAnnouncer, after: int) -> int:
    """Append and announce until the other process has heard of it; return the last position."""
    waiting = asyncio.create_task(listener.wait(after, LONG))
    position = after
    while not waiting.done():
        position += 1
        speaker.appended(position)
        await asyncio.wait([waiting], timeout=0.05)
    return position


async def test_whoever_waits_is_woken_by_an_append() -> None:
    """All waiters below the new head wake."""
    announcer = LocalAnnouncer()
    waiting = [asyncio.create_task(heard(announcer, after)) for after in (0, 4)]
    await asyncio.sleep(0)
    announcer.appended(5)
    assert await asyncio.gather(*waiting) == [True, True]


async def test_what_has_already_grown_is_not_waited_for() -> None:
    """An append between the look and the wait is not missed."""
    announcer = LocalAnnouncer()
    announcer.appended(5)
    assert await heard(announcer, 4)


async def test_a_wait_ends_when_its_time_is_up() -> None:
    """Polling is the floor: with nothing to hear, the caller looks by itself."""
    announcer = LocalAnnouncer()
    announcer.appended(5)
    async with asyncio.timeout(20):
        await announcer.wait(5, 0.01)


async def test_other_processes_are_woken_over_nats(nats_url: str) -> None:
    """An append in one process ends the wait in another."""
    async with process(nats_url) as one, process(nats_url) as other:
        await say_until_heard(one, other, 0)
        assert await heard(other, 0)


async def test_wake_ups_return_when_nats_returns(nats_server: EmbeddedNats, nats_url: str) -> None:
    """A restart of NATS is survived without a word to the caller."""
    async with process(nats_url) as one, process(nats_url) as other:
        position = await say_until_heard(one, other, 0)
        await asyncio.to_thread(nats_server.wipe)
        await asyncio.to_thread(nats_server.ensure)
        assert await say_until_heard(one, other, position) > position


async def test_appends_are_announced_here_while_nats_is_away() -> None:
    """The shop sells on."""
    async with process(NOBODY) as alone:
        alone.appended(1)
        assert await heard(alone, 0)


async def test_an_absence_of_nats_is_one_line_and_its_return_another(
    nats_server: EmbeddedNats, nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However long it lasts and however often it is tried; and without the token."""
    await asyncio.to_thread(nats_server.wipe)
    async with process(nats_url) as announcer:
        async with asyncio.timeout(20):
            while not caplog.messages:
                await asyncio.sleep(0.01)
            await asyncio.sleep(1)
            assert not announcer.link.connected
            await asyncio.to_thread(nats_server.ensure)
            while not announcer.link.connected:
                await asyncio.sleep(0.01)
    token, _, place = nats_url.removeprefix("nats://").partition("@")
    assert len(token) == 64
    away, back = caplog.messages
    assert away.startswith(f"The shop sells without NATS, nats://{place} is away: ")
    assert "Connect call failed" in away
    assert back == f"NATS at nats://{place} is there again"


async def test_what_is_not_a_position_is_ignored(nats_url: str) -> None:
    """Anybody can talk on NATS."""
    async with process(nats_url) as one, process(nats_url) as other, await nats.connect(nats_url) as stranger:
        position = await say_until_heard(one, other, 0)
        await stranger.publish(HEAD, b"-3; DROP")
        assert await say_until_heard(one, other, position) > position


async def test_a_burst_of_appends_is_one_message(nats_url: str) -> None:
    """Announcements are coalesced: a thousand appends at once are not a thousand messages."""
    messages: list[int] = []
    async with process(nats_url) as one, process(nats_url) as other, await nats.connect(nats_url) as listener:
        subscription = await listener.subscribe(HEAD)
        await listener.flush()
        position = await say_until_heard(one, other, 0)
        for burst in range(position + 1, position + 1_001):
            one.appended(burst)
        while not messages or messages[-1] != position + 1_000:
            messages.append(int((await subscription.next_msg(timeout=20)).data))
    assert len(messages) < position + 3


async def test_who_is_paced_is_woken_at_once_and_then_not_too_soon() -> None:
    """The first record after a silence is followed at once; a stream of them is taken in at intervals."""
    local = LocalAnnouncer()
    follower = Paced(local, 0.05)
    clock = asyncio.get_running_loop().time
    started = clock()
    follower.appended(1)
    await follower.wait(0, LONG)
    assert clock() - started < 0.05
    local.appended(2)
    await follower.wait(1, LONG)
    assert clock() - started >= 0.05
