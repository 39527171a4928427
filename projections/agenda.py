"""What is to happen when, read from the read models for those who make it happen."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

from projections import queries
from projections.live_stock import LIVE_STOCK
from projections.store import Query, Tables

PATIENCE_SECONDS = 30.0

WaitFor = Callable[[int, Collection[str], float], Awaitable[bool]]


class LaggingError(OSError):
    """The read models do not have what is asked of them yet; ask again."""


class Agenda:
    """Deadlines, and what belongs to a show."""

    def __init__(self, tables: Tables, wait_for: WaitFor) -> None:
        self._tables, self._wait_for = tables, wait_for

    async def due(self, now: datetime, limit: int) -> Sequence[tuple[str, str, int]]:
        """Return deadlines that have come, earliest first: history id, kind, number."""
        return [(row.history_id, row.kind, row.number or 0) for row in await queries.due(self._tables, now, limit)]

    async def next_due(self) -> datetime | None:
        """Return the earliest deadline."""
        return await queries.next_due(self._tables)

    async def listings_of(self, stream_id: str, position: int) -> Sequence[str]:
        """Return the listings of a show, as of a position or later; ``LaggingError`` when that takes too long."""
        if not await self._wait_for(position, (LIVE_STOCK.projection or LIVE_STOCK.name,), PATIENCE_SECONDS):
            raise LaggingError(f"live_stock does not have position {position} yet")
        found = await self._tables.find(Query(LIVE_STOCK, {"stream_id": stream_id}))
        return [row.listing_id for row in found.rows]
