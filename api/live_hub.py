"""The hub: reads the journal once for all viewers of this process, and tells each show's viewers what is new.

It wakes when the journal has grown, reads the records since its position, waits until the read models hold them, reads
the rows that changed and appends one frame a show to its log. That is one reading and one encoding a tick, however many
watch. It runs while somebody watches, and a show is kept in memory while somebody watches it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from attrs import define

from api.live_channel import Channel, open_channel
from api.live_news import Digest, digest
from api.services import Services
from application.tickets import OverloadedError
from domain.ids import LISTING, ORDER, STREAM, ListingId, StreamId, kind_of
from domain.record import Record, UnreadableError
from domain.refusal import NotFound

TICK_SECONDS = 0.1
"""The shortest time between two frames: ten a second."""
FRAMES_PER_SECOND = 8_000
"""What a process sends to all its viewers together: the more they are, the less often each is told."""
IDLE_SECONDS = 1.0
CAUGHT_UP_SECONDS = 2.0
BATCH = 10_000
RECENT = 5_000
"""Records that are looked at for the sales of the last minutes when a show is first watched."""
MAX_VIEWERS = 20_000
_log = logging.getLogger(__name__)


class BehindError(Exception):
    """The read models do not hold yet what the journal says; try again shortly."""


@define(eq=False)
class Viewer(AsyncIterator[bytes]):
    """One open connection: what to send to it, piece by piece or, as an iterator, whenever there is more."""

    channel: Channel
    hub: "Hub"
    number: int | None = None
    """The last frame it has taken; None before the first bytes."""
    last_position: int | None = None
    """What it had seen before, when it comes back."""

    def __aiter__(self) -> "Viewer":
        return self

    async def __anext__(self) -> bytes:
        if self.number is None:
            return self.first()
        await self.channel.log.grown(self.number)
        if (data := self.more()) is None:
            raise StopAsyncIteration
        return data

    def first(self) -> bytes:
        """Return what comes first: what was missed by who comes back, or how everything stands."""
        log = self.channel.log
        self.number = log.number
        missed = None if self.last_position is None else log.after_position(self.last_position)
        return b"retry: 2000\n\n" + (self.hub.snapshot(self.channel) if missed is None else missed)

    def more(self) -> bytes | None:
        """Return what is new; one who is too late gets the news missed and a snapshot. None: the viewer must go."""
        log, number = self.channel.log, self.number
        assert number is not None
        if log.closed:
            return None
        self.number = log.number
        data = log.after(number)
        if data is not None:
            return data
        news = log.news_after(number)
        return None if news is None else news + self.hub.snapshot(self.channel)


class Hub:
    """All viewers of this process."""

    def __init__(self, services: Services, *, tick_seconds: float | None = None) -> None:
        self._services = services
        self._tick_seconds = tick_seconds
        self._channels: dict[StreamId, Channel] = {}
        self._of_listing: dict[ListingId, Channel] = {}
        self._position = 0
        self._round_or_join = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def viewers(self) -> int:
        """How many are watching."""
        return sum(channel.viewers for channel in self._channels.values())

    @property
    def running(self) -> bool:
        """Whether the journal is being followed."""
        return self._task is not None

    async def join(self, stream_id: StreamId, last_position: int | None = None) -> Viewer:
        """Let somebody watch; whoever joins must leave.

        Refuses with ``NotFound``; raises ``OverloadedError`` when there are too many or the read models are behind.
        """
        if self.viewers >= MAX_VIEWERS:
            raise OverloadedError
        async with self._round_or_join:
            channel = self._channels.get(stream_id) or await self._open(stream_id)
            channel.viewers += 1
        self._task = self._task or asyncio.create_task(self._run(), name="live hub")
        return Viewer(channel, self, last_position=last_position)

    def leave(self, viewer: Viewer) -> None:
        """Stop watching; the last one to leave a show closes it, the last of all stops the hub."""
        channel = viewer.channel
        channel.viewers -= 1
        if channel.viewers == 0 and self._channels.get(channel.stream_id) is channel:
            del self._channels[channel.stream_id]
            channel.log.close()  # whoever left lately still waits there for a frame: a cycle
            self._of_listing = {key: each for key, each in self._of_listing.items() if each is not channel}
        if not self._channels and self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """Send everybody away and stop."""
        for channel in self._channels.values():
            channel.log.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def snapshot(self, channel: Channel) -> bytes:
        """Return what somebody who knows nothing is told, with the time that orders are judged by."""
        return channel.snapshot(self._services.till.now(), asyncio.get_running_loop().time())

    async def _open(self, stream_id: StreamId) -> Channel:
        if not self._channels:
            self._position = await self._services.journal.head()
        if not await self._services.wait_for(self._position, CAUGHT_UP_SECONDS):
            raise OverloadedError
        tables, now = self._services.tables, self._services.till.now()
        moment = asyncio.get_running_loop().time()
        channel = await open_channel(tables, stream_id, self._position, now, moment)
        if channel is None:
            raise NotFound("stream", stream_id)
        before = max(0, self._position - RECENT)
        lately = await self._services.journal.read(before, self._position - before)
        self._channels[stream_id] = channel  # from here on nothing is waited for: a channel that is known has viewers
        self._of_listing |= dict.fromkeys(channel.rows, channel)
        channel.remember(self._digested(lately)[stream_id].sales)
        return channel

    async def _run(self) -> None:
        """Follow the journal; whatever goes wrong, viewers keep what they have and the next round tries again."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._services.announcer.wait(self._position, IDLE_SECONDS)
            started = clock()
            try:
                async with self._round_or_join:
                    await self._round()
            except Exception as error:  # noqa: BLE001 - a feed that ends is worse than any error it meets
                _log.warning("The live feed stands still, next try in %s s: %s", IDLE_SECONDS, error)
                started += IDLE_SECONDS
            await asyncio.sleep(max(0.0, started + self._pace() - clock()))

    def _pace(self) -> float:
        if self._tick_seconds is not None:
            return self._tick_seconds
        return max(TICK_SECONDS, self.viewers / FRAMES_PER_SECOND)

    async def _round(self) -> None:
        """Read what is new for all shows, then tell it; nothing is told twice if the reading fails half-way."""
        services, moment = self._services, asyncio.get_running_loop().time()
        records = await services.feed.read(self._position, BATCH)
        position = records[-1].position if records else self._position
        if not await services.wait_for(position, CAUGHT_UP_SECONDS):
            raise BehindError(f"the read models do not hold position {position} yet")
        digests = self._digested(records)
        channels = list(self._channels.values())
        fresh = [await each.read(services.tables, digests[each.stream_id], moment) for each in channels]
        now = services.till.now()
        for channel, read in zip(channels, fresh, strict=True):
            channel.tell(read, digests[channel.stream_id], position, now, moment)
        self._position = position

    def _digested(self, records: Sequence[Record]) -> dict[StreamId, Digest]:
        digests = {stream_id: Digest() for stream_id in self._channels}
        for record in records:
            stream_id, event = self._of_interest(record)
            if stream_id in digests:
                digest(digests[stream_id], record, event)
        return digests

    def _of_interest(self, record: Record) -> tuple[StreamId, object]:
        """Return the show a record belongs to, and its event; the empty id when nobody cares."""
        kind = kind_of(record.history_id)
        if kind == STREAM and record.history_id in self._channels:
            return record.history_id, self._decoded(record)
        if kind == LISTING and record.history_id in self._of_listing:
            return self._of_listing[record.history_id].stream_id, self._decoded(record)
        if kind not in (LISTING, ORDER) or record.version != 1:
            return "", None
        event = self._decoded(record)
        stream_id = getattr(event, "stream_id", "")
        if kind == LISTING and stream_id in self._channels:
            self._of_listing[record.history_id] = self._channels[stream_id]
        return stream_id, event

    def _decoded(self, record: Record) -> object:
        """Return a record's event; None when it cannot be read, for which the read models raise the alarm."""
        try:
            return self._services.wire.decode(record.topic, record.state)
        except UnreadableError:
            return None
