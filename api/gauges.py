"""What is measured about the running shop, and what keeps it from selling."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from application.ports import Journal
from application.reactor import Reactor
from application.till import Till
from projections.follow import Follower

GAUGE_SECONDS = 1.0
HEALTH_SECONDS = 2.0
HELP: Final[Mapping[str, str]] = {
    "projection_lag_records": "Records of the journal that the read model has yet to take in.",
    "reactor_lag_records": "Records of the journal from which the reactor has yet to do what follows.",
    "relay_lag_records": "Records of the journal that have yet to be sent to NATS.",
    "nats_connected": "Whether this server is connected to NATS: 1 or 0. The shop sells without it.",
    "journal_position": "The journal's last position, which is also how many records it holds.",
    "parked_records": "Records and callbacks that nobody could deal with; livetill parked shows them. Should be 0.",
}
"""What each gauge means, by its name, for those who have to act on it."""


class Behind(Protocol):
    """Something that follows the journal, as the relay does."""

    @property
    def lag(self) -> int:
        """How many records it is behind."""


class Gauges:
    """What is measured about the running shop, looked at once a second and never by a request."""

    def __init__(
        self,
        journal: Journal,
        follower: Follower,
        till: Till,
        reactors: tuple[Reactor, ...],
        relay: Behind | None,
        connected: Callable[[], bool],
        lost: Callable[[], bool],
    ) -> None:
        """Look at the parts; ``connected`` says whether NATS is there, ``lost`` whether the data directory is gone."""
        self._journal, self._follower, self._till = journal, follower, till
        self._reactors, self._relay, self._connected, self._lost = reactors, relay, connected, lost
        self._values: dict[str, float] = {}

    def read(self) -> Mapping[str, float]:
        """Return the last values."""
        return self._values

    async def run(self) -> None:
        """Measure until cancelled; while the database is away the last values stand."""
        while True:
            with contextlib.suppress(Exception):
                self._values = await self._measured()
            await asyncio.sleep(GAUGE_SECONDS)

    async def _measured(self) -> dict[str, float]:
        head = await self._journal.head()
        lag = await self._follower.lag()
        values = {f'projection_lag_records{{projection="{name}"}}': float(records) for name, records in lag.items()}
        for reactor in self._reactors:
            done = await reactor.bookmarks.get(reactor.name)
            values[f'reactor_lag_records{{reactor="{reactor.name}"}}'] = float(max(0, head - done))
        if self._relay is not None:
            values["relay_lag_records"] = float(self._relay.lag)
        values["nats_connected"] = float(self._connected())
        values |= {"journal_position": float(head), "parked_records": float(len(await self._follower.parked()))}
        return values

    async def problems(self) -> Mapping[str, str]:
        """Say what keeps the shop from selling now, by part."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                if await asyncio.to_thread(self._lost):
                    return {"data_dir": "the data directory is gone, and what is sold goes with it: close the shop"}
                await self._journal.head()
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is "not ready"
            return {"journal": f"{type(error).__name__}: the database does not answer"}
        if self._till.queued >= self._till.limits.queue:
            return {"till": "the queue is full"}
        return {}
