"""Snapshots on PostgreSQL, in the table that the ``eventsourcing`` library keeps snapshots in.

They lie in schema ``views`` beside the read models, for they are derived as well: the program owns them, an auditor
may read them, and nothing is lost when they are removed. Like the read models they are written without waiting for the
disk.
"""

from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import args_row

from adapters.installation import app_conninfo
from adapters.postgres_sessions import READER_SECONDS, failure, pool, session_conninfo
from application.ports import Snapshot

_INSTALLING = 7_431_984_003
"""Key of the advisory lock under which one process at a time makes the table."""
_CONNECTIONS = 2

# As ``adapters.recorders.snapshot_recorder`` makes it. What is packed already is not to be compressed: it would double
# the time of a cold start.
_TABLE: tuple[LiteralString, ...] = (
    """CREATE TABLE IF NOT EXISTS views.snapshot (
        originator_id text NOT NULL, originator_version bigint NOT NULL, topic text, state bytea,
        PRIMARY KEY (originator_id, originator_version))""",
    "ALTER TABLE views.snapshot ALTER COLUMN state SET STORAGE EXTERNAL",
)
_WRITE = """
    INSERT INTO views.snapshot (originator_id, originator_version, topic, state) VALUES (%b, %b, %b, %b)
    ON CONFLICT (originator_id, originator_version) DO UPDATE SET topic = excluded.topic, state = excluded.state
    WHERE snapshot.topic <> excluded.topic OR snapshot.state <> excluded.state"""
_READ = """
    SELECT originator_id, originator_version, topic, state FROM views.snapshot
    WHERE originator_id = %b AND originator_version > %b AND topic = %b ORDER BY originator_version LIMIT %b"""
_HISTORIES = "SELECT DISTINCT originator_id FROM views.snapshot WHERE topic = %b ORDER BY originator_id"


class PostgresSnapshots:
    """Snapshots in a database that ``adapters.installation`` has prepared."""

    def __init__(self, url: str, *, patience_seconds: float = READER_SECONDS) -> None:
        conninfo = app_conninfo(session_conninfo(url), synchronous_commit="off")
        self._pool = pool(conninfo, _CONNECTIONS, patience_seconds)

    async def open(self) -> None:
        """Connect, and make the table if it is missing."""
        await self._pool.open()
        try:
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%b)", (_INSTALLING,))
                for statement in _TABLE:
                    await connection.execute(statement)
        except psycopg.Error as error:
            raise failure(error) from error

    async def close(self) -> None:
        """Let all connections go; a write in flight is waited for."""
        await self._pool.close()

    async def write(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of the one at the same version, if there is one."""
        row = (snapshot.history_id, snapshot.version, snapshot.topic, snapshot.state)
        try:
            async with self._pool.connection() as connection:
                await connection.execute(_WRITE, row, prepare=True)
        except psycopg.Error as error:
            raise failure(error) from error

    async def read(self, history_id: str, topic: str, after: int, limit: int) -> Sequence[Snapshot]:
        """Return up to ``limit`` of a history's snapshots of a topic after a version, by version."""
        return await self._rows(_READ, history_id, after, topic, limit, factory=args_row(Snapshot))

    async def histories(self, topic: str) -> Sequence[str]:
        """Return the histories that have snapshots of a topic."""
        return await self._rows(_HISTORIES, topic, factory=args_row(str))

    async def _rows(self, query: LiteralString, *parameters: object, factory: Any) -> list[Any]:
        try:
            async with self._pool.connection() as connection:
                cursor: Any = connection.cursor(binary=True, row_factory=factory)
                await cursor.execute(query, parameters, prepare=True)
                rows: list[Any] = await cursor.fetchall()
                return rows
        except psycopg.Error as error:
            raise failure(error) from error
