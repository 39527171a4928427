"""Who is on air where: a show takes its hosts when it brings them on air, and keeps none when it is over."""

from random import Random
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

OTHER, CO_HOST = "stream-2", "host-2"
HALF_HOUR = 1800


async def announce(shop: Rehearsal, stream_id: str = OTHER, host_id: str = HOST) -> None:
    """Schedule a show."""
    now = shop.till.now()
    show = sc.ScheduleStream("Another show", host_id, BRAND, now, "EUR", Terms(1000, 14), now)
    await shop.do(c.Tell(stream_id, show, new=True))


async def two_shows(shop: Rehearsal) -> None:
    """Have two shows on air, each with a host of its own, that share a co-host."""
    await shop.go_live()
    await announce(shop, host_id="host-3")
    await shop.do(c.StartStream(OTHER))
    for stream_id in (STREAM, OTHER):
        await shop.do(c.Tell(stream_id, sc.JoinCoHost(CO_HOST)))


def segment(shop: Rehearsal, host_id: str = CO_HOST, stream_id: str = STREAM, listing_id: str | None = None) -> Any:
    """Return what puts somebody on air."""
    return c.Tell(stream_id, sc.StartSegment(host_id, listing_id, shop.till.now()))


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


def lets_go(way: str, shop: Rehearsal) -> Any:
    """Return what takes a co-host off air."""
    return {
        "handing back": segment(shop, HOST),
        "leaving": c.Tell(STREAM, sc.LeaveCoHost(CO_HOST)),
        "the end": c.EndStream(STREAM, EndReason.TECHNICAL),
    }[way]


@pytest.mark.parametrize("way", ["handing back", "leaving", "the end"])
async def test_a_co_host_is_on_air_in_one_show_at_a_time(way: str) -> None:
    """Whoever is on air is taken, until the segment of somebody else, the co-host's leave or the show's end."""
    async with Rehearsal().open() as shop:
        await two_shows(shop)
        await shop.do(segment(shop))
        assert await where(shop, CO_HOST) == STREAM
        assert await where(shop) == STREAM
        await refused(shop, segment(shop, stream_id=OTHER), STREAM)
        await shop.do(lets_go(way, shop))
        assert await where(shop, CO_HOST) is None
        await shop.do(segment(shop, stream_id=OTHER))
        assert await where(shop, CO_HOST) == OTHER


async def test_a_co_host_on_air_starts_no_show_and_a_host_on_air_is_no_co_host() -> None:
    """It is the same person, as host here or as co-host there."""
    async with Rehearsal().open() as shop:
        await two_shows(shop)
        await announce(shop, "stream-3", CO_HOST)
        await shop.do(segment(shop))
        await refused(shop, c.StartStream("stream-3"), STREAM)
        await shop.do(c.Tell(OTHER, sc.JoinCoHost(HOST)))
        await refused(shop, segment(shop, HOST, OTHER), STREAM)


async def test_going_on_with_another_listing_claims_nobody_twice() -> None:
    """The next segment of the same co-host changes nothing about who is taken; said twice, nothing at all."""
    async with Rehearsal().open() as shop:
        await two_shows(shop)
        await shop.do(segment(shop))
        following = await shop.do(segment(shop, listing_id="listing-1"))
        assert [type(event) for _, event in following.events] == [s.SegmentStarted]
        assert (await shop.do(segment(shop, listing_id="listing-1"))).events == ()


async def test_a_show_comes_back_with_whoever_was_on_air() -> None:
    """A co-host who is in another show by then is waited for, or leaves this one."""
    async with Rehearsal().open() as shop:
        await two_shows(shop)
        await shop.do(segment(shop))
        await shop.do(c.EndStream(STREAM, EndReason.TECHNICAL))
        await shop.do(c.StartStream(STREAM, restart=True))
        assert await where(shop, CO_HOST) == STREAM
        await shop.do(c.EndStream(STREAM, EndReason.TECHNICAL))
        await shop.do(segment(shop, stream_id=OTHER))
        await refused(shop, c.StartStream(STREAM, restart=True), OTHER)
        await shop.do(c.Tell(STREAM, sc.LeaveCoHost(CO_HOST)))
        await shop.do(c.StartStream(STREAM, restart=True))
        assert (await where(shop), await where(shop, CO_HOST)) == (STREAM, OTHER)


async def test_who_was_on_air_twice_before_it_was_forbidden_is_let_go_without_harm() -> None:
    """Journals in which nobody claimed a co-host go on: interrupted, resumed, handed back and ended as ever."""
    async with Rehearsal().open() as shop:
        await two_shows(shop)
        on_air = s.SegmentStarted(CO_HOST, None, AIR_TIME)
        await write(shop.journal, (STREAM, on_air), (OTHER, on_air))
        await shop.do(c.Tell(STREAM, sc.InterruptStream(shop.till.now())))
        await shop.do(c.Tell(STREAM, sc.ResumeStream(shop.till.now())))
        await shop.do(segment(shop, HOST))
        await shop.do(c.EndStream(OTHER, EndReason.HOST))
        assert await where(shop, CO_HOST) is None
        await shop.do(segment(shop))
        assert await where(shop, CO_HOST) == STREAM


@pytest.mark.parametrize("seed", range(5))
async def test_everybody_is_where_their_show_says_whatever_happens(seed: int) -> None:
    """Random evenings of three shows: nobody presents two, and every claim is of the show that somebody presents."""
    random, hosts, shows = Random(seed), ["host-1", "host-2", "host-3"], ["stream-1", "stream-2", "stream-3"]
    async with Rehearsal().open() as shop:
        for stream_id, host_id in zip(shows, hosts, strict=True):
            await announce(shop, stream_id, host_id)
        for _ in range(150):
            shop.clock.advance(random.choice((1, 60, HALF_HOUR)))
            now, stream_id, host_id = shop.till.now(), random.choice(shows), random.choice(hosts)
            doings = [
                c.StartStream(stream_id),
                c.StartStream(stream_id, restart=True),
                c.EndStream(stream_id, random.choice(list(EndReason))),
                *[c.Tell(stream_id, told(now)) for told in (sc.InterruptStream, sc.ResumeStream)],
                *[c.Tell(stream_id, told(host_id)) for told in (sc.JoinCoHost, sc.LeaveCoHost)],
                *[segment(shop, host_id, stream_id)] * 3,
            ]
            await shop.ask(random.choice(doings))
            presented = {each: (await shop.state(each)).presenters for each in shows}
            for host in hosts:
                there = [each for each in shows if host in presented[each]]
                assert there == [each for each in [await where(shop, host)] if each]
