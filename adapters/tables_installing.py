"""Makes the tables of the read models, and begins those anew that no longer fit."""

from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection

from adapters.tables_sql import SCHEMA, TableSql, statements
from adapters.tables_writing import POSITIONS
from projections.projection import Projection

_INSTALLING = 7_431_984_002
"""Key of the advisory lock under which one process at a time makes tables."""


async def install(connection: AsyncConnection[Any], projections: Iterable[Projection]) -> None:
    """Make what is missing. A read model whose tables do not fit its row classes is dropped and begins at 0."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_INSTALLING,))
        await connection.execute(POSITIONS)
        for projection in projections:
            if not await _fits(connection, projection):
                await make(connection, projection)
            await connection.execute(
                "INSERT INTO views.position (name) VALUES (%s) ON CONFLICT DO NOTHING", (projection.name,)
            )


async def make(connection: AsyncConnection[Any], projection: Projection, suffix: str = "") -> None:
    """Make a projection's tables, empty, and set its mark to 0; what was there is dropped."""
    name = projection.name + suffix
    await connection.execute(
        "UPDATE views.position SET position = 0, generation = generation + 1 WHERE name = %s", (name,)
    )
    for table in projection.tables:
        of = statements(table, suffix)
        for statement in [of.drop(), *of.create()]:
            await connection.execute(statement)
    await connection.execute("DELETE FROM views.parked WHERE projection = %s", (name,))


async def _fits(connection: AsyncConnection[Any], projection: Projection) -> bool:
    found = [await _shape(connection, statements(table)) == statements(table).shape for table in projection.tables]
    return all(found)


async def _shape(connection: AsyncConnection[Any], of: TableSql) -> list[Any]:
    """Return name, type and whether it is required, of each column in the database."""
    question = """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    cursor = await connection.execute(question, (f"{SCHEMA}.{of.table.name}{of.suffix}",))
    return await cursor.fetchall()
