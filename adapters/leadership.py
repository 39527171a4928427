"""Who does the job that needs no second one: an advisory lock of the database, or a lock in memory.

The lock belongs to a session of PostgreSQL, so it falls when the process dies or its connection breaks, with nobody
having to judge who is alive. The other side learns of it just as well: the leader listens on its connection, and its
body is cancelled in the moment that the connection breaks. Nobody else of a server learns of an outage as early, so it
is said here, whatever else comes to feel it.
"""

import asyncio
from asyncio import Lock
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from adapters.installation import one_line
from adapters.link import Link
from adapters.postgres_sessions import session_conninfo
from application.ports import LeadershipLostError
from projections.tasks import AGAIN_SECONDS, ended

STANDBY_SECONDS = 0.5
"""How often a stand-by asks for the lead."""


LED = """
    SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (classid::bigint << 32 | objid::bigint) = hashtextextended('livetill lead ' || %s, 0))"""
"""Asks whether somebody has a lead."""


class MemoryLeadership:
    """One leader at a time among the tasks of this process."""

    def __init__(self) -> None:
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    @asynccontextmanager
    async def lead(self, name: str) -> AsyncIterator[None]:
        """Wait for the lead of ``name`` and hold it."""
        async with self._locks[name]:
            yield


class PostgresLeadership:
    """One leader at a time among all processes at one database; every lead has a connection of its own."""

    def __init__(self, url: str, *, standby_seconds: float = STANDBY_SECONDS) -> None:
        self._conninfo = session_conninfo(url)
        self._standby_seconds = standby_seconds
        self._link = Link("The database is away", "The database is there again")

    @asynccontextmanager
    async def lead(self, name: str) -> AsyncIterator[None]:
        """Wait for the lead of ``name`` and hold it, for as long as it takes and also while the database is down.

        The body is cancelled and ``LeadershipLostError`` raised when the connection breaks: stand again.
        """
        connection = await self._stand(name)
        try:
            async with _cancelled_when_lost(name, connection):
                yield
        finally:
            await connection.close()

    async def _stand(self, name: str) -> AsyncConnection[Any]:
        """Return the connection that has won the lead."""
        while True:
            try:
                connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
            except psycopg.Error as error:
                self._link.lost(one_line(error))
                await asyncio.sleep(self._standby_seconds)
                continue
            self._link.made()
            try:
                await self._win(connection, name)
            except psycopg.Error:
                await connection.close()
                await asyncio.sleep(self._standby_seconds)
            except BaseException:
                await connection.close()
                raise
            else:
                return connection

    async def _win(self, connection: AsyncConnection[Any], name: str) -> None:
        question = "SELECT pg_try_advisory_lock(hashtextextended('livetill lead ' || %s, 0))"
        while True:
            cursor = await connection.execute(question, (name,))
            if await cursor.fetchone() == (True,):
                return
            await asyncio.sleep(self._standby_seconds)


@asynccontextmanager
async def _cancelled_when_lost(name: str, connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Cancel the body when the connection breaks, the way ``asyncio.timeout`` does, and again until it has heard it."""
    leader = asyncio.current_task()
    assert leader is not None
    before = leader.cancelling()
    told: list[str] = []

    async def watch() -> None:
        reason = await _until_lost(connection)
        while True:
            told.append(reason)
            leader.cancel()
            await asyncio.sleep(AGAIN_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield
    except BaseException as error:
        for _ in told:
            leader.uncancel()
        if told and leader.cancelling() <= before and isinstance(error, asyncio.CancelledError):
            raise LeadershipLostError(f"The lead of {name} is lost: {told[0]}") from error
        raise
    finally:
        await ended(watching)


async def _until_lost(connection: AsyncConnection[Any]) -> str:
    """Return why the connection broke, when it does."""
    try:
        async for _ in connection.notifies():
            continue
    except psycopg.Error as error:
        return one_line(error)
    return "the connection was closed"
