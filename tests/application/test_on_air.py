"""Who is on air where: a show takes its hosts when it brings them on air, and keeps none when it is over."""

from typing import Any

import pytest

from application import commands as c
from application.reactions import on_deadline
from domain.ids import presence_id
from domain.presence import HostIsLiveElsewhere
from domain.stream import commands as sc
from domain.stream import events as s
from domain.stream.events import EndReason
from domain.terms import Terms
from tests.builders import AIR_TIME
from tests.projections.books import write
from tests.rehearsal import BRAND, HOST, STREAM, Rehearsal

OTHER = "stream-2"
HALF_HOUR = 1800


async def announce(shop: Rehearsal, stream_id: str = OTHER, host_id: str = HOST) -> None:
    """Schedule a show."""
    now = shop.till.now()
    show = sc.ScheduleStream("Another show", host_id, BRAND, now, "EUR", Terms(1000, 14), now)
    await shop.do(c.Tell(stream_id, show, new=True))


async def where(shop: Rehearsal, host_id: str = HOST) -> str | None:
    """Tell in which show a host is."""
    stream_id: str | None = (await shop.state(presence_id(host_id))).stream_id
    return stream_id


async def refused(shop: Rehearsal, command: Any, stream_id: str) -> None:
    """Expect that somebody is in that show, and that nothing is written."""
    length = await shop.journal.head()
    refusal = (await shop.ask(command)).refusal
    assert isinstance(refusal, HostIsLiveElsewhere), refusal
    assert (refusal.stream_id, await shop.journal.head()) == (stream_id, length)


def ends(way: str, shop: Rehearsal) -> Any:
    """Return what ends an interrupted show whose time is out."""
    now = shop.till.now()
    return {
        "the picture comes back too late": c.Tell(STREAM, sc.ResumeStream(now)),
        "the timer": on_deadline(STREAM, "end_interrupted_stream", 0, now),
        "the host": c.EndStream(STREAM, EndReason.HOST),
        "moderation": c.Tell(STREAM, sc.EndStream(EndReason.MODERATION, now)),
    }[way]


@pytest.mark.parametrize("way", ["the picture comes back too late", "the timer", "the host", "moderation"])
async def test_a_show_that_is_over_keeps_nobody(way: str) -> None:
    """In whatever way it ends, its host is free in the same append, and may start the next show."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await announce(shop)
        await shop.do(c.Tell(STREAM, sc.InterruptStream(shop.till.now())))
        shop.clock.advance(HALF_HOUR)
        await refused(shop, c.StartStream(OTHER), STREAM)
        ended = await shop.do(ends(way, shop))
        assert [history_id for history_id, _ in ended.events] == [STREAM, presence_id(HOST)]
        assert await where(shop) is None
        await shop.do(c.StartStream(OTHER))
        assert await where(shop) == OTHER


async def test_a_host_is_claimed_again_when_the_show_comes_back() -> None:
    """A restart is refused while the host is in another show."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await announce(shop)
        await shop.do(c.EndStream(STREAM, EndReason.HOST))
        await shop.do(c.StartStream(OTHER))
        await refused(shop, c.StartStream(STREAM, restart=True), OTHER)
        await shop.do(c.EndStream(OTHER, EndReason.HOST))
        await shop.do(c.StartStream(STREAM, restart=True))
        assert await where(shop) == STREAM


async def test_a_claim_that_outlived_its_show_holds_nobody() -> None:
    """Journals in which a show ended and its host was not let go are read, and lock nobody out."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await announce(shop)
        await write(shop.journal, (STREAM, s.StreamEnded(EndReason.TIMEOUT, AIR_TIME)))
        assert await where(shop) == STREAM
        await shop.do(c.StartStream(OTHER))
        assert await where(shop) == OTHER
