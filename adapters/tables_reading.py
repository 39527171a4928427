"""Reads of read models over a connection: rows, marks, and a whole read model held still."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, LiteralString

from psycopg import AsyncConnection

from adapters.tables_sql import statements
from adapters.tables_writing import store_errors
from domain.values import frozen
from projections.canonical import lines
from projections.store import Found, Mark, Parked, Query
from projections.tables import Key, R, Table

_WALKED_ROWS = 1_000


async def fetch(connection: AsyncConnection[Any], query: bytes | LiteralString, parameters: Sequence[object]) -> Any:
    """Return all lines that a statement gives."""
    with store_errors():
        cursor: Any = connection.cursor(binary=True)
        await cursor.execute(query, parameters, prepare=True)
        return await cursor.fetchall()


async def load(connection: AsyncConnection[Any], table: Table[R], keys: Sequence[Key], suffix: str) -> dict[Key, R]:
    """Return those rows that are there."""
    of = statements(table, suffix)
    with store_errors():
        parameters = of.packed_keys(keys)
    rows = [of.row(line) for line in await fetch(connection, of.load, parameters)]
    return {table.key_of(row): row for row in rows}


async def find(connection: AsyncConnection[Any], query: Query[R], suffix: str) -> Found[R]:
    """Return rows and their position; one statement, so of one moment."""
    of = statements(query.table, suffix)
    lines = await fetch(connection, *of.find(query))
    rows = [of.row(values) for _, *values in lines if values[-1] is not None]
    return Found(lines[0][0] if lines else 0, rows)


async def marks(connection: AsyncConnection[Any], names: Sequence[str], suffix: str) -> dict[str, Mark]:
    """Return the marks of projections."""
    question = "SELECT name, position, generation FROM views.position WHERE name = ANY(%b)"
    lines = await fetch(connection, question, [[name + suffix for name in names]])
    return {name.removesuffix(suffix): Mark(position, generation) for name, position, generation in lines}


async def parked(connection: AsyncConnection[Any], suffix: str = "") -> list[Parked]:
    """Return what was parked, by projection, position and topic; with a suffix, by those that are being rebuilt."""
    question = """SELECT projection, position, topic, error, at FROM views.parked
                  WHERE (right(projection, 6) = '__next') = %b ORDER BY projection, position, topic"""
    lines = await fetch(connection, question, [bool(suffix)])
    return [Parked(name.removesuffix(suffix), *rest) for name, *rest in lines]


@frozen
class PostgresSnapshot:
    """A projection's rows for as long as the transaction lasts that nobody else can write beside."""

    connection: AsyncConnection[Any]
    position: int
    suffix: str = ""

    async def chunks(self, table: Table[Any]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Walk a table in the order of its key, some rows at a time, each as its columns, over a server's cursor."""
        of = statements(table, self.suffix)
        with store_errors():
            async with self.connection.cursor(f"{table.name}{self.suffix}", binary=True) as cursor:
                await cursor.execute(of.walk)
                while found := await cursor.fetchmany(_WALKED_ROWS):
                    yield of.values(found)

    async def lines(self, table: Table[Any]) -> AsyncIterator[Sequence[bytes]]:
        """Walk a table in the same way, its rows as ``canonical`` writes them."""
        async for rows in self.chunks(table):
            yield lines(rows)
