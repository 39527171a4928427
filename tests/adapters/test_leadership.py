"""One leader at a time, among tasks and among processes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from adapters import leadership
from adapters.installation import install
from adapters.leadership import MemoryLeadership, PostgresLeadership
from application.ports import Leadership, LeadershipLostError

Candidates = Callable[[], Leadership]
QUICK_SECONDS = 0.01


@pytest.fixture(params=["memory", "postgres"])
def candidates(request: pytest.FixtureRequest) -> Candidates:
    """Makes candidates for the same leads: of one process in memory, each of its own process on PostgreSQL."""
    if request.param == "memory":
        shared = MemoryLeadership()
        return lambda: shared
    url = request.getfixturevalue("database_url")
    install(url)
    return lambda: PostgresLeadership(url, standby_seconds=QUICK_SECONDS)


async def test_others_stand_by_until_the_leader_leaves(candidates: Candidates) -> None:
    """The job is never done by two, and the next one takes over."""
    leading = 0

    async def work() -> int:
        nonlocal leading
        async with candidates().lead("relay"):
            leading += 1
            most = leading
            for _ in range(5):
                await asyncio.sleep(0)
                most = max(most, leading)
            leading -= 1
        return most

    assert await asyncio.gather(*(work() for _ in range(4))) == [1, 1, 1, 1]


async def test_different_jobs_have_different_leaders(candidates: Candidates) -> None:
    """Leading one job keeps nobody from another."""
    async with candidates().lead("relay"), candidates().lead("live_stock"):
        pass


async def test_a_body_that_fails_gives_the_lead_back(candidates: Candidates) -> None:
    """The error comes through, and the next one leads."""
    with pytest.raises(LookupError):
        async with candidates().lead("relay"):
            raise LookupError
    async with candidates().lead("relay"):
        pass


async def test_a_cancelled_leader_is_just_cancelled(candidates: Candidates) -> None:
    """Shutting down is not a lost lead."""
    leading = asyncio.Event()

    async def work() -> None:
        async with candidates().lead("relay"):
            leading.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await leading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with candidates().lead("relay"):
        pass


async def test_a_leader_without_connection_is_stopped_and_another_leads(database_url: str) -> None:
    """Its body is cancelled in the middle of whatever it waits for, and it knows why."""
    await asyncio.to_thread(install, database_url)
    leading, taken = asyncio.Event(), asyncio.Event()

    async def lead_for_ever() -> None:
        async with PostgresLeadership(database_url).lead("relay"):
            leading.set()
            await asyncio.Event().wait()

    async def stand_by() -> None:
        async with PostgresLeadership(database_url, standby_seconds=QUICK_SECONDS).lead("relay"):
            taken.set()

    first = asyncio.create_task(lead_for_ever())
    await leading.wait()
    second = asyncio.create_task(stand_by())
    await _end_the_leaders_session(database_url)
    with pytest.raises(LeadershipLostError, match=r"lead of relay is lost: .*closed the connection"):
        await first
    assert first.cancelling() == 0
    await taken.wait()
    await second


async def test_a_leader_that_does_not_hear_it_is_told_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it waits for may come at the same moment and hide the cancellation; two would lead from then on."""
    monkeypatch.setattr(leadership, "AGAIN_SECONDS", QUICK_SECONDS)
    await asyncio.to_thread(install, database_url)
    leading = asyncio.Event()

    async def lead_for_ever() -> None:
        async with PostgresLeadership(database_url).lead("relay"):
            leading.set()
            for _ in range(3):
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            await asyncio.Event().wait()

    first = asyncio.create_task(lead_for_ever())
    await leading.wait()
    await _end_the_leaders_session(database_url)
    with pytest.raises(LeadershipLostError, match="lead of relay is lost"):
        await first
    assert first.cancelling() == 0


async def _end_the_leaders_session(url: str) -> None:
    async with await AsyncConnection.connect(url, autocommit=True) as admin:
        query = """
            SELECT pg_terminate_backend(pid, 10000) FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND database = (
                SELECT oid FROM pg_database WHERE datname = current_database())"""
        assert await (await admin.execute(query)).fetchall() == [(True,)]


async def test_a_candidate_waits_for_a_database_that_is_down(database_url: str, tmp_path: Any) -> None:
    """Standing by goes on while nothing answers, and ends at once when it is cancelled."""
    candidate = PostgresLeadership(make_conninfo(database_url, host=str(tmp_path)), standby_seconds=QUICK_SECONDS)

    async def stand() -> None:
        async with candidate.lead("relay"):
            pytest.fail("There is no database to lead in")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stand(), timeout=20 * QUICK_SECONDS)
