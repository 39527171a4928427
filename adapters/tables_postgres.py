"""The read models on PostgreSQL, in schema ``views``: one table a row class, and where each projection has come to.

Rows and marks are written in one transaction without waiting for the disk (``synchronous_commit = off``): a crash of
the server may take the last moments away, but rows and marks together, and the follower folds them again from the
journal, which lost nothing. So the read side never queues for the disk that the till waits on.
"""

from asyncio import Lock
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from adapters import tables_reading as reading
from adapters.installation import app_conninfo
from adapters.postgres_sessions import configure, is_usable, pool, session_conninfo
from adapters.tables_installing import install
from adapters.tables_rebuilding import Beside, beside
from adapters.tables_writing import park, settle, store_errors, write
from projections.catalogue import PROJECTIONS
from projections.projection import Projection
from projections.store import Found, Mark, Parked, Query, Write
from projections.tables import Key, R, Table

_READERS = 4


class PostgresStore:
    """The store of the live read models; also for positions of those who follow the journal on their own."""

    def __init__(self, url: str, projections: Iterable[Projection] = PROJECTIONS, *, readers: int = _READERS) -> None:
        self._conninfo = app_conninfo(session_conninfo(url), synchronous_commit="off")
        self._projections = tuple(projections)
        self._names = tuple(each.name for each in self._projections)
        self._writing = Lock()
        self._writer: AsyncConnection[Any] | None = None
        self._readers = pool(self._conninfo, readers)

    async def open(self) -> None:
        """Connect and make the tables that are missing; one that no longer fits its row class is begun anew."""
        async with self._writing:
            with store_errors():
                await install(await self._connection(), self._projections)
        await self._readers.open()

    async def close(self) -> None:
        """Let all connections go; a write in flight is waited for."""
        async with self._writing:
            await self._disconnect()
        await self._readers.close()

    async def marks(self) -> dict[str, Mark]:
        """Return the mark of each projection."""
        async with self._reader() as connection:
            return await reading.marks(connection, self._names, "")

    async def parked(self) -> Sequence[Parked]:
        """Return what was parked, by projection, position and topic."""
        async with self._reader() as connection:
            return await reading.parked(connection)

    async def load(self, table: Table[R], keys: Sequence[Key]) -> dict[Key, R]:
        """Return those rows that are there."""
        async with self._reader() as connection:
            return await reading.load(connection, table, keys, "")

    async def find(self, query: Query[R]) -> Found[R]:
        """Return rows and their position, of one moment."""
        async with self._reader() as connection:
            return await reading.find(connection, query, "")

    async def commit(self, batch: Write) -> None:
        """Make a batch visible, all or nothing."""
        async with self._writing:
            with store_errors():
                connection = await self._connection()
                try:
                    await write(connection, batch)
                except psycopg.Error:
                    raise
                except BaseException:  # Stopped half-way: what the connection still has to say is nobody's any more.
                    if not is_usable(connection):
                        await self._disconnect()
                    raise

    @asynccontextmanager
    async def snapshot(self, projection: Projection) -> AsyncIterator[reading.PostgresSnapshot]:
        """Hold a projection's rows still for as long as the block lasts; writers go on."""
        async with self._session() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            marks = await reading.marks(connection, [projection.name], "")
            yield reading.PostgresSnapshot(connection, marks[projection.name].position)

    @asynccontextmanager
    async def beside(self, projection: Projection) -> AsyncIterator[Beside]:
        """Make new, empty tables beside the live ones; what an earlier rebuild left is dropped."""
        async with self._session() as connection:
            yield await beside(connection, projection)

    async def bookmark(self, name: str) -> int:
        """Return the position that was noted under a name; 0 if none was."""
        async with self._reader() as connection:
            lines = await reading.fetch(connection, "SELECT position FROM views.position WHERE name = %b", [name])
            return int(lines[0][0]) if lines else 0

    async def set_bookmark(self, name: str, position: int) -> None:
        """Note a position under a name. A crash of the server may bring an earlier one back."""
        statement = """INSERT INTO views.position (name, position) VALUES (%b, %b)
                       ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, updated_at = now()"""
        async with self._reader() as connection:
            await connection.execute(statement, (name, position), prepare=True)

    async def park(self, parked: Parked) -> None:
        """Put something aside; said twice, it is parked once."""
        async with self._reader() as connection:
            await park(connection, [parked])

    async def settle(self, parked: Parked) -> None:
        """Forget what was parked, for somebody has dealt with it."""
        async with self._reader() as connection:
            await settle(connection, parked)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AsyncConnection[Any]]:
        with store_errors():
            async with self._readers.connection() as connection:
                yield connection

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Open a connection for long work, so that it takes none from those who ask."""
        with store_errors():
            connection = await self._connect()
            try:
                yield connection
            finally:
                await connection.close()

    async def _connection(self) -> AsyncConnection[Any]:
        """Return the connection that writes, a new one if the last is lost."""
        if self._writer is None or not is_usable(self._writer):
            await self._disconnect()
            self._writer = await self._connect()
        return self._writer

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
        await configure(connection)
        return connection

    async def _disconnect(self) -> None:
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
