"""How far the read models have come, and waiting for them to come to a position."""

import asyncio
from asyncio import Event, Lock
from collections.abc import Iterable, Mapping

from projections.store import Mark, Store

LOOK_SECONDS = 0.02
"""How often somebody who waits has the marks read while another process follows."""


class Progress:
    """The marks as last heard of. Whoever follows in this process tells them; otherwise they are read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._positions: dict[str, int] = {}
        self._moved = Event()
        self._looking = Lock()
        self._looked_at = float("-inf")

    def tell(self, positions: Mapping[str, int]) -> None:
        """Note that projections have come to these positions, and wake those who wait."""
        self._positions.update(positions)
        self._moved.set()
        self._moved = Event()

    async def wait(self, position: int, names: Iterable[str], timeout: float) -> bool:  # noqa: ASYNC109 - says "False"
        """Wait until all the named read models hold ``position``; False if they do not within ``timeout`` seconds."""
        behind = tuple(names)
        try:
            async with asyncio.timeout(timeout):
                while not self._reached(position, behind):
                    await self._look()
        except TimeoutError:
            return self._reached(position, behind)
        return True

    def _reached(self, position: int, names: Iterable[str]) -> bool:
        return all(self._positions.get(name, 0) >= position for name in names)

    async def _look(self) -> None:
        """Wait for news, or read the marks: one reading serves all who wait."""
        moved = self._moved
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if not moved.is_set() and now - self._looked_at >= LOOK_SECONDS:
                self._take(await self._store.marks())
                self._looked_at = now
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await moved.wait()
        except TimeoutError:
            return

    def _take(self, marks: Mapping[str, Mark]) -> None:
        self.tell({name: mark.position for name, mark in marks.items()})
