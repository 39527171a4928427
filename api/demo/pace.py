"""Plays a day so that one can watch: so many seconds of the file a second, or as fast as the shop goes."""

import asyncio
from datetime import datetime

from attrs import define


@define
class Pace:
    """Holds a step back until its time has come. A shop that falls behind is never hurried."""

    speed: float | None
    """Seconds of the file a second; None for as fast as it goes."""
    _began: float = 0.0
    _first: datetime | None = None

    def begin(self) -> None:
        """Start a show's clock anew: the night before it is not waited for."""
        self._first = None

    async def until(self, at: datetime) -> None:
        """Wait until an instant of the file has come; the first one starts the clock."""
        if self.speed is None:
            return
        loop = asyncio.get_running_loop()
        if self._first is None:
            self._began, self._first = loop.time(), at
        due = self._began + (at - self._first).total_seconds() / self.speed
        await asyncio.sleep(max(0.0, due - loop.time()))
