"""The journal on PostgreSQL. The protocol is in ``journal_rights.sql``; here is how it is called and what errors mean.

An append is one function call in autocommit: one round trip, and the reply comes after the commit. What is read comes
over other connections, so that a slow reader never stands in the way of the till.
"""

import struct
from abc import ABC, abstractmethod
from asyncio import Lock
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import RowFactory, args_row, tuple_row

from adapters.installation import one_line
from adapters.journal_rules import refuse_malformed
from adapters.postgres_arrays import BigintArray, ByteaArray, TextArray
from adapters.postgres_sessions import (
    HANGING_SECONDS,
    configure,
    failure,
    is_lost,
    is_usable,
    pool,
    roll_back,
    session_conninfo,
)
from application.ports import (
    Appended,
    Batch,
    Conflict,
    JournalError,
    JournalRejectedError,
    JournalUnavailableError,
)
from domain.record import Record
from projections.projection import Fact

CHUNK = 5_000
"""Records that ``scan`` reads at a time."""
_READERS = 4

_APPEND = """
    SELECT first_position, recorded_at, moved, moved_to, seen
    FROM journal.append(%b::text[], %b::bigint[],
        %b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[], %b::text[])"""
_LOAD = """
    SELECT r.position, r.history_id, r.version, r.topic, r.state, r.recorded_at, r.metadata, r.command_id
    FROM unnest(%b::text[], %b::bigint[]) AS tail (history_id, version)
    CROSS JOIN LATERAL (
        SELECT * FROM journal.record r WHERE r.history_id = tail.history_id AND r.version > tail.version
        ORDER BY r.version LIMIT %b
    ) AS r
    ORDER BY r.history_id, r.version"""
_AT = """
    SELECT r.position, r.history_id, r.version, r.topic, r.state, r.recorded_at, r.metadata, r.command_id
    FROM unnest(%b::bigint[]) AS asked (version)
    CROSS JOIN LATERAL (
        SELECT * FROM journal.record r WHERE r.history_id = %b AND r.version = asked.version OFFSET 0
    ) AS r
    ORDER BY r.version"""
_READ = """
    SELECT r.position, r.history_id, r.version, r.topic, r.state, r.recorded_at, r.metadata, r.command_id
    FROM journal.record r WHERE r.position > %b ORDER BY r.position LIMIT %b"""
_FACTS = """
    SELECT r.position, r.history_id, r.topic, r.state
    FROM journal.record r WHERE r.position > %b ORDER BY r.position LIMIT %b"""
DATABASE = """
    SELECT concat(c.system_identifier, '/', d.oid) FROM pg_control_system() c, pg_database d
    WHERE d.datname = current_database()"""
"""Names the database: a copy of it, on this server or another, has another name."""
# A command's records follow each other and share one metadata; its id stands on the first.
_OF_COMMANDS = """
    SELECT r.position, r.history_id, r.version, r.topic, r.state, r.recorded_at, r.metadata, r.command_id
    FROM unnest(%b::text[]) AS asked (command_id)
    CROSS JOIN LATERAL (
        SELECT f.position, f.metadata FROM journal.record f WHERE f.command_id = asked.command_id LIMIT 1
    ) AS first
    CROSS JOIN LATERAL (
        SELECT coalesce((
            SELECT n.position FROM journal.record n
            WHERE n.position > first.position AND (n.command_id IS NOT NULL OR n.metadata <> first.metadata)
            ORDER BY n.position LIMIT 1
        ), 9223372036854775807) AS position
    ) AS next
    CROSS JOIN LATERAL (
        SELECT * FROM journal.record r WHERE r.position >= first.position AND r.position < next.position OFFSET 0
    ) AS r
    ORDER BY r.position"""


class _Bare(NamedTuple):
    """A record without its envelope: half the time that a ``Record`` takes to make."""

    position: int
    history_id: str
    topic: str
    state: bytes


def _bare(_: object) -> Callable[[Sequence[Any]], _Bare]:
    return _Bare._make


_RECORDS: RowFactory[Record] = args_row(Record)


class _Reading(ABC):
    """All that can be asked of the journal, over whatever ``_rows`` asks."""

    @abstractmethod
    async def _rows(self, query: LiteralString, *parameters: object, make: RowFactory[Any] = _RECORDS) -> list[Any]:
        """Return the rows of a query, made into records unless told otherwise."""

    async def load(self, tails: Mapping[str, int], limit: int | None = None) -> Sequence[Record]:
        """Return the records of each history after the given version, no more than ``limit`` of each; one query."""
        return await self._rows(_LOAD, TextArray(tails), BigintArray(tails.values()), limit) if tails else []

    async def at(self, history_id: str, versions: Collection[int]) -> Sequence[Record]:
        """Return the records that a history has at some of its versions, by version."""
        return await self._rows(_AT, BigintArray(versions), history_id)

    async def of_commands(self, command_ids: Iterable[str]) -> Sequence[Record]:
        """Return all records of the commands that the journal holds, by position."""
        return await self._rows(_OF_COMMANDS, TextArray(set(command_ids)))

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""
        return await self._rows(_READ, after, limit)

    async def facts(self, after: int, limit: int) -> Sequence[Fact]:
        """Return the same records without their envelopes, which are most of their bytes: a third of the time."""
        return await self._rows(_FACTS, after, limit, make=_bare)

    async def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Walk the journal in chunks, up to the head of this moment; ``JournalError`` if a position is missing.

        Each chunk is a query of its own: no connection is held and no old snapshot kept while the caller works.
        """
        head = await self.head()
        end = head if upto is None else min(head, upto)
        while after < end:
            records = await self.read(after, min(CHUNK, end - after))
            if not records or records[-1].position != after + len(records):
                raise JournalError(f"The journal has a gap after position {after}: it was tampered with or damaged")
            yield records
            after = records[-1].position

    async def head(self) -> int:
        """Return the last position; 0 when empty."""
        return await self._number("SELECT position FROM journal.head")

    async def position_at(self, instant: datetime) -> int:
        """Return the last position recorded at or before an instant; 0 when there is none."""
        return await self._number("SELECT journal.position_at(%b)", instant)

    async def database(self) -> str:
        """Name the database that the journal is in; a copy of it, on this server or another, has another name."""
        [(name,)] = await self._rows(DATABASE, make=tuple_row)
        return str(name)

    async def _number(self, query: LiteralString, *parameters: object) -> int:
        [(number,)] = await self._rows(query, *parameters, make=tuple_row)
        return int(number)


class PostgresJournal(_Reading):
    """The journal in a database that ``adapters.installation`` has prepared.

    One connection appends, for only one append at a time can hold the head; a few others read. All of them act as
    ``livetill_app``, whoever the URL logs in as, and come back by themselves after an outage.
    """

    def __init__(self, url: str, *, hanging_seconds: float = HANGING_SECONDS) -> None:
        self._conninfo = session_conninfo(url, hanging_seconds)
        self._appending = Lock()
        self._writer: AsyncConnection[Any] | None = None
        self._readers = pool(self._conninfo, _READERS)

    async def open(self) -> None:
        """Connect; ``JournalUnavailableError`` when the database cannot be reached."""
        async with self._appending:
            await self._connection()
        await self._readers.open()

    async def close(self) -> None:
        """Let all connections go. An append in flight is waited for."""
        async with self._appending:
            await self._disconnect()
        await self._readers.close()

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Write a batch in one round trip; durable when it returns.

        ``JournalUnavailableError``: nothing was written, try again. ``OutcomeUnknownError``: ask ``of_commands``.
        ``JournalRejectedError``: trying again is useless. A caller that is cancelled does not know the outcome either.
        """
        refuse_malformed(batch)
        async with self._appending:
            connection = await self._connection()
            try:
                return await _append(connection, batch)
            except psycopg.Error as error:
                raise failure(error, unknown=is_lost(connection, error)) from error

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["_Turn"]:
        """Hold the journal's lock; what is appended inside is durable only after the block has ended without an error.

        Other appends wait, also those of this process: use the yielded journal inside, never this one.
        """
        async with self._appending:
            connection = await self._connection()
            turn = _Turn(connection)
            try:
                await turn.begin()
                yield turn
                await turn.commit()
            finally:
                await roll_back(connection)

    async def _rows(self, query: LiteralString, *parameters: object, make: RowFactory[Any] = _RECORDS) -> list[Any]:
        try:
            async with self._readers.connection() as connection:
                return await _fetch(connection, query, parameters, make)
        except psycopg.Error as error:
            raise failure(error) from error

    async def _connection(self) -> AsyncConnection[Any]:
        """Return the connection that appends, a new one if the last is lost."""
        if self._writer is None or not is_usable(self._writer):
            await self._disconnect()
            try:
                self._writer = await AsyncConnection.connect(self._conninfo, autocommit=True)
            except psycopg.Error as error:
                raise JournalUnavailableError(f"The database cannot be reached: {one_line(error)}") from error
            await configure(self._writer)
        return self._writer

    async def _disconnect(self) -> None:
        if self._writer is not None:
            await self._writer.close()
            self._writer = None


class _Turn(_Reading):
    """The journal inside ``turn``: everything on the one connection that holds the lock, in one transaction."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._written = False

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Write a batch; durable after the turn. A failure here writes nothing, for the commit was never asked for."""
        refuse_malformed(batch)
        try:
            outcome = await _append(self._connection, batch)
        except psycopg.Error as error:
            raise failure(error) from error
        self._written = self._written or isinstance(outcome, Appended)
        return outcome

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["_Turn"]:
        """Hold what is held already."""
        yield self

    async def begin(self) -> None:
        """Open the transaction and wait for the lock."""
        try:
            await self._connection.execute("BEGIN")
            await self._connection.execute("SELECT journal.hold()", prepare=True)
        except psycopg.Error as error:
            raise failure(error) from error

    async def commit(self) -> None:
        """Make it durable; the outcome is unknown only if something was written and the reply got lost."""
        if self._connection.info.transaction_status == TransactionStatus.INERROR:
            # COMMIT would roll back without an error.
            raise JournalUnavailableError("The turn had failed before it ended: nothing was written")
        try:
            await self._connection.execute("COMMIT")
        except psycopg.Error as error:
            unknown = self._written and is_lost(self._connection, error)
            raise failure(error, unknown=unknown) from error

    async def _rows(self, query: LiteralString, *parameters: object, make: RowFactory[Any] = _RECORDS) -> list[Any]:
        try:
            return await _fetch(self._connection, query, parameters, make)
        except psycopg.Error as error:
            raise failure(error) from error


async def _append(connection: AsyncConnection[Any], batch: Batch) -> Appended | Conflict:
    cursor = connection.cursor(binary=True)
    await cursor.execute(_APPEND, _columns(batch), prepare=True)
    row = await cursor.fetchone()
    assert row is not None
    first_position, recorded_at, moved, moved_to, seen = row
    if first_position is None:
        return Conflict(moved=dict(zip(moved or (), moved_to or (), strict=True)), seen=frozenset(seen or ()))
    return Appended(first_position=first_position, recorded_at=recorded_at)


def _columns(batch: Batch) -> tuple[object, ...]:
    drafts = batch.drafts
    try:
        return (
            TextArray(batch.expected),
            BigintArray(batch.expected.values()),
            TextArray([draft.history_id for draft in drafts]),
            BigintArray([draft.version for draft in drafts]),
            TextArray([draft.topic for draft in drafts]),
            ByteaArray([draft.state for draft in drafts]),
            ByteaArray([draft.metadata for draft in drafts]),
            TextArray([draft.command_id for draft in drafts]),
        )
    except (UnicodeError, struct.error) as error:
        raise JournalRejectedError(f"The batch does not fit the database's types: {error}") from error


async def _fetch(
    connection: AsyncConnection[Any], query: LiteralString, parameters: Sequence[object], make: RowFactory[Any]
) -> list[Any]:
    cursor = connection.cursor(binary=True, row_factory=make)
    await cursor.execute(query, parameters, prepare=True)
    return await cursor.fetchall()
