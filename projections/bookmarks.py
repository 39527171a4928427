"""For those who follow the journal on their own, such as reactions: how far they have come, and what they put aside."""

from domain.values import frozen
from projections.store import Notes, Parked


@frozen
class StoreBookmarks:
    """Remembers positions by name."""

    store: Notes

    async def get(self, name: str) -> int:
        """Return the last position that is done; 0 at first."""
        return await self.store.bookmark(name)

    async def set(self, name: str, position: int) -> None:
        """Note that everything up to a position is done."""
        await self.store.set_bookmark(name, position)


@frozen
class StoreParking:
    """Keeps what nobody can deal with now, beside what the read models could not take in."""

    store: Notes

    async def park(self, who: str, position: int, topic: str, error: str) -> None:
        """Put something aside with the reason; said twice, it is parked once."""
        await self.store.park(Parked(who, position, topic, error))
