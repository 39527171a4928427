"""Writes of read models: what a batch comes to, in one transaction with the marks, and what errors mean."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from adapters.installation import one_line
from adapters.postgres_arrays import BigintArray, TextArray
from adapters.tables_sql import statements
from projections.store import Mark, MarkMovedError, Parked, RowsRefusedError, StoreError, StoreUnavailableError, Write

POSITIONS = """
    CREATE TABLE IF NOT EXISTS views.position (
        name text COLLATE "C" PRIMARY KEY,
        position bigint NOT NULL DEFAULT 0,
        generation bigint NOT NULL DEFAULT 0,
        updated_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 20)"""
_MOVE = """
    UPDATE views.position AS p SET position = m.upto, updated_at = now()
    FROM unnest(%b::text[], %b::bigint[], %b::bigint[], %b::bigint[]) AS m (name, position, generation, upto)
    WHERE p.name = m.name AND p.position = m.position AND p.generation = m.generation"""
_PARK = """
    INSERT INTO views.parked (projection, position, topic, error)
    SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::text[])
    ON CONFLICT (projection, position, topic) DO UPDATE SET error = EXCLUDED.error, at = now()"""
_SETTLE = "DELETE FROM views.parked WHERE projection = %b AND position = %b AND topic = %b"
_TOPIC_LENGTH, _ERROR_LENGTH = 500, 2_000
"""A topic must fit into the index."""
_REFUSING = ("22", "23", "54")
"""Classes of SQLSTATE that speak of the data: bad values, broken constraints, limits."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the driver's errors into the store's."""
    try:
        yield
    except psycopg.Error as error:
        raise _failure(error) from error
    except (UnicodeEncodeError, struct.error) as error:
        raise RowsRefusedError(f"PostgreSQL cannot hold this: {error}") from error


def _failure(error: psycopg.Error) -> StoreError:
    """Only what speaks of the data is refused for good; a missing table or right is mended, and then it goes on."""
    if isinstance(error, psycopg.DataError) or (error.sqlstate or "").startswith(_REFUSING):
        return RowsRefusedError(f"PostgreSQL cannot hold this: {one_line(error)}")
    return StoreUnavailableError(f"The read models cannot be reached: {one_line(error)}")


async def write(connection: AsyncConnection[Any], batch: Write, suffix: str = "") -> None:
    """Write a batch in a transaction, or in a part of the one that is open.

    The marks come first: their rows are the lock that rivals and a switch wait at.
    """
    async with connection.transaction():
        await _move(connection, batch.moves, suffix)
        async with connection.pipeline():
            for table, keys in batch.drops.items():
                of = statements(table, suffix)
                await connection.execute(of.delete, of.packed_keys(keys), prepare=True)
            for table, rows in batch.puts.items():
                of = statements(table, suffix)
                await connection.execute(of.upsert, of.packed(rows), prepare=True)
            if batch.parked:
                await park(connection, batch.parked, suffix)


async def _move(connection: AsyncConnection[Any], moves: Mapping[str, tuple[Mark, int]], suffix: str) -> None:
    """Move the marks, unless one is not where it was seen."""
    marks = [mark for mark, _ in moves.values()]
    parameters = (
        TextArray([name + suffix for name in moves]),
        BigintArray([mark.position for mark in marks]),
        BigintArray([mark.generation for mark in marks]),
        BigintArray([position for _, position in moves.values()]),
    )
    cursor = await connection.execute(_MOVE, parameters, prepare=True)
    if cursor.rowcount != len(moves):
        raise MarkMovedError(f"Another process has moved the mark of {' or '.join(moves)}: read the marks again")


async def park(connection: AsyncConnection[Any], parked: Sequence[Parked], suffix: str = "") -> None:
    """Put things aside; what is parked already gets the newest error."""
    parameters = (
        TextArray([each.projection + suffix for each in parked]),
        BigintArray([each.position for each in parked]),
        TextArray([_storable(each.topic, _TOPIC_LENGTH) for each in parked]),
        TextArray([_storable(each.error, _ERROR_LENGTH) for each in parked]),
    )
    await connection.execute(_PARK, parameters, prepare=True)


async def settle(connection: AsyncConnection[Any], parked: Parked) -> None:
    """Forget what was parked."""
    topic = _storable(parked.topic, _TOPIC_LENGTH)
    await connection.execute(_SETTLE, (parked.projection, parked.position, topic), prepare=True)


def _storable(text: str, length: int) -> str:
    """What is wrong with a record must not keep it from being parked."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()[:length]
