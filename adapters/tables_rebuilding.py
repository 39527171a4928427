"""Tables that are built beside the live ones, on a connection of their own, and the switch between them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

from adapters import tables_reading as reading
from adapters.tables_installing import make
from adapters.tables_sql import statements
from adapters.tables_writing import store_errors, write
from domain.values import frozen
from projections.projection import Projection
from projections.store import Found, Mark, Parked, Query, Write
from projections.tables import Key, R, Table

SUFFIX = "__next"


async def beside(connection: AsyncConnection[Any], projection: Projection) -> "Beside":
    """Make new, empty tables; an earlier rebuild that is still at it fails at its next write."""
    async with connection.transaction():
        # The mark's row is what two rebuilds of one read model wait for each other at.
        await connection.execute(
            "INSERT INTO views.position (name) VALUES (%s) ON CONFLICT DO NOTHING", (projection.name + SUFFIX,)
        )
        await make(connection, projection, SUFFIX)
    return Beside(connection, projection)


@frozen
class Beside:
    """The store of one projection's new tables."""

    connection: AsyncConnection[Any]
    projection: Projection

    async def marks(self) -> dict[str, Mark]:
        """Return how far the new tables have come."""
        return await reading.marks(self.connection, [self.projection.name], SUFFIX)

    async def parked(self) -> Sequence[Parked]:
        """Return what the new tables could not take in."""
        return [
            each for each in await reading.parked(self.connection, SUFFIX) if each.projection == self.projection.name
        ]

    async def load(self, table: Table[R], keys: Sequence[Key]) -> dict[Key, R]:
        """Return those rows that are there."""
        return await reading.load(self.connection, table, keys, SUFFIX)

    async def find(self, query: Query[R]) -> Found[R]:
        """Return rows of the new tables."""
        return await reading.find(self.connection, query, SUFFIX)

    async def commit(self, batch: Write) -> None:
        """Write a batch; inside a switch, as part of it."""
        with store_errors():
            await write(self.connection, batch, SUFFIX)

    @asynccontextmanager
    async def snapshot(self, projection: Projection) -> AsyncIterator[reading.PostgresSnapshot]:
        """Hold the new rows still: nobody else writes them."""
        with store_errors():
            async with self.connection.transaction():
                mark = (await self.marks())[projection.name]
                yield reading.PostgresSnapshot(self.connection, mark.position, SUFFIX)

    @asynccontextmanager
    async def switch(self) -> AsyncIterator["Switch"]:
        """Hold the follower for as long as the block lasts; undone if the block fails."""
        with store_errors():
            async with self.connection.transaction():
                # Readers that queue behind the swap would stop all others: give up before that hurts.
                await self.connection.execute("SET LOCAL lock_timeout = '3s'")
                await self.connection.execute("SET LOCAL synchronous_commit = on")
                hold = "SELECT position FROM views.position WHERE name = %s FOR UPDATE"
                await self.connection.execute(hold, (self.projection.name,))
                yield Switch(self.connection, self.projection)


@frozen
class Switch(Beside):
    """The new tables while the follower is held, in one transaction."""

    async def live(self) -> reading.PostgresSnapshot:
        """Return the live rows; they do not move."""
        mark = (await reading.marks(self.connection, [self.projection.name], ""))[self.projection.name]
        return reading.PostgresSnapshot(self.connection, mark.position)

    async def rebuilt(self) -> reading.PostgresSnapshot:
        """Return the new rows as they are now."""
        mark = (await self.marks())[self.projection.name]
        return reading.PostgresSnapshot(self.connection, mark.position, SUFFIX)

    async def swap(self) -> None:
        """Let the new tables take over; the generation tells the follower that what it remembers is of the old ones."""
        name = self.projection.name
        with store_errors():
            for table in self.projection.tables:
                for statement in statements(table, SUFFIX).take_over():
                    await self.connection.execute(statement)
            execute = self.connection.execute
            await execute("DELETE FROM views.parked WHERE projection = %s", (name,))
            await execute("UPDATE views.parked SET projection = %s WHERE projection = %s", (name, name + SUFFIX))
            await execute("DELETE FROM views.position WHERE name = %s", (name + SUFFIX,))
            await execute("UPDATE views.position SET generation = generation + 1 WHERE name = %s", (name,))
