"""The journal's records on JetStream, for whoever wants to follow the shop from outside.

JetStream holds a copy that may be deleted at any time. The relay keeps no position of its own: the stream's last
sequence is its position, because record N is message N. Every message says which sequence it expects before it, so
two relays, a repeated send or a lost one cannot put a record in the wrong place, only be turned away. After any trouble
the relay asks the stream where it stands and goes on from there; an empty stream is filled from the first record on.
A stream that is not a copy of this journal (a restored database, another shop's server) is made anew.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from adapters.cloudevent import SUBJECTS, CloudEvent, cloud_event, is_of
from adapters.nats_link import Link, keep_at
from adapters.pipeline import publish
from application.ports import Announcer, JournalError
from domain.record import Metadata, Record

log = logging.getLogger(__name__)

WINDOW = 500
"""How many messages are under way before the first must be acknowledged."""
IDLE_SECONDS = 1.0


class Records(Protocol):
    """What the relay needs of a journal."""

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""

    async def head(self) -> int:
        """Return the last position; 0 when empty."""


class Envelopes(Protocol):
    """What the relay needs of the wire."""

    def decode_metadata(self, metadata: bytes) -> Metadata:
        """Read an envelope."""


class RelayError(Exception):
    """The stream is not what it was a moment ago; the relay begins again by looking at it."""


class Relay:
    """Copies the journal to a JetStream stream, in order and without holes, for as long as it runs."""

    head: int = 0
    """The journal's last position, as of the last look."""
    relayed: int = 0
    """The last position known to be in the stream."""

    def __init__(
        self,
        journal: Records,
        wire: Envelopes,
        nats_url: str,
        announcer: Announcer,
        *,
        stream: str = "LIVETILL",
        source: str = "livetill",
    ) -> None:
        """Make a relay; ``source`` names the journal in its messages, such as ``livetill/shop-3``."""
        self._journal = journal
        self._wire = wire
        self._link = Link(nats_url, level=logging.DEBUG)  # The announcer beside it says when NATS is away.
        self._announcer = announcer
        self._stream = stream
        self._source = source

    @property
    def lag(self) -> int:
        """How many records the stream is behind the journal, as of the last look."""
        return max(0, self.head - self.relayed)

    async def run(self) -> None:
        """Relay until cancelled; nothing is raised, whatever happens to NATS or the database."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_head())
            tasks.create_task(keep_at(self._link, self._relay, "livetill relay"))

    async def _watch_head(self) -> None:
        """Know how far the journal is also while NATS is away: that is when the lag matters."""
        while True:
            with contextlib.suppress(JournalError):
                self.head = await self._journal.head()
            await asyncio.sleep(IDLE_SECONDS)

    async def _relay(self, client: Client) -> None:
        jetstream = client.jetstream()
        self.relayed = await self._resume(jetstream)
        while True:
            records = await self._journal.read(self.relayed, WINDOW)
            if records:
                await publish(client, self._stream, [self._event(record) for record in records])
                self.relayed = records[-1].position
                self.head = max(self.head, self.relayed)
            else:
                await self._idle(jetstream)

    async def _idle(self, jetstream: JetStreamContext) -> None:
        """Wait for records, and see whether the stream is still there: it may be deleted under a live connection."""
        await self._announcer.wait(self.relayed, IDLE_SECONDS)
        if await self._last(jetstream) != self.relayed:
            raise RelayError("the stream was changed by somebody else")

    def _event(self, record: Record) -> CloudEvent:
        return cloud_event(record, self._wire.decode_metadata(record.metadata), self._source)

    async def _resume(self, jetstream: JetStreamContext) -> int:
        """Return the position that the stream is at; a stream that is no copy of this journal is made anew."""
        try:
            last = await self._last(jetstream)
        except NotFoundError:
            return await self._create(jetstream)
        if last == 0 or await self._is_copy(jetstream, last):
            return last
        log.warning("stream %s is no copy of this journal: it is made anew and filled from the beginning", self._stream)
        await jetstream.delete_stream(self._stream)
        return await self._create(jetstream)

    async def _last(self, jetstream: JetStreamContext) -> int:
        return (await jetstream.stream_info(self._stream)).state.last_seq

    async def _is_copy(self, jetstream: JetStreamContext, last: int) -> bool:
        records = await self._journal.read(last - 1, 1)
        try:
            message = await jetstream.get_msg(self._stream, last)
        except NotFoundError:
            return False
        return bool(records) and is_of(message.data or b"", records[0], self._source)

    async def _create(self, jetstream: JetStreamContext) -> int:
        config = StreamConfig(name=self._stream, subjects=[SUBJECTS], storage=StorageType.FILE)
        await jetstream.add_stream(config)
        return 0
