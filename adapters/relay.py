"""The journal's records on JetStream, for whoever wants to follow the shop from outside.

JetStream holds a copy that may be deleted at any time. The relay keeps no position of its own: the stream's last
sequence is its position, because record N is message N. Every message says which sequence it expects before it, so
two relays, a repeated send or a lost one cannot put a record in the wrong place, only be turned away. After any trouble
the relay asks the stream where it stands and goes on from there; an empty stream is filled from the first record on.
A stream that is not a copy of this journal (a restored database) is made anew.

A stream has one journal. Two shops that share a NATS would each make it anew, for ever: whoever feeds a stream says so
when asked, and who finds it taken by another database waits until that is gone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.json import decode, encode
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswerError
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from adapters.cloudevent import SUBJECTS, CloudEvent, cloud_event, is_of
from adapters.nats_link import NatsLink, keep_at
from adapters.pipeline import publish
from application.ports import Announcer, JournalError
from domain.record import Metadata, Record
from projections.tasks import together

log = logging.getLogger(__name__)

WINDOW = 500
"""How many messages are under way before the first must be acknowledged."""
IDLE_SECONDS = 1.0
STREAM = "LIVETILL"
CLAIMS = "livetill.relay"
"""Below this subject, which no stream keeps, whoever feeds a stream tells of which database it is the journal."""
CLAIM_SECONDS = 0.3


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


LAST = "~"
"""The name of one who only asks: it comes after that of every database."""


class _Claim(Struct):
    """What whoever feeds a stream, or is about to, says of itself."""

    database: str
    feeds: bool = False

    def outranks(self, other: "_Claim") -> bool:
        """Tell whether the other must wait."""
        return self.database != other.database and (self.feeds or self.database < other.database)


async def fed_by(client: Client, stream: str = STREAM) -> str:
    """Return of which database a stream holds the journal; empty when nobody feeds it."""
    asking = encode(_Claim(LAST))
    try:
        answer = await client.request(f"{CLAIMS}.{stream}", asking, timeout=CLAIM_SECONDS)
    except (NoRespondersError, NoAnswerError):
        return ""
    return decode(answer.data, type=_Claim).database


async def position_of(client: Client, stream: str = STREAM) -> int:
    """Return the position that a stream is at; 0 when there is none."""
    try:
        return (await client.jetstream().stream_info(stream)).state.last_seq
    except NotFoundError:
        return 0


class StreamTakenError(Exception):
    """Another shop feeds the stream."""


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
        stream: str = STREAM,
        source: str = "livetill",
        database: str = "",
    ) -> None:
        """Make a relay.

        ``source`` names the journal in its messages, such as ``livetill/shop-3``; ``database`` is where it is kept, in
        a name that no copy of it has.
        """
        self._journal = journal
        self._wire = wire
        self._link = NatsLink(nats_url, level=logging.DEBUG)  # The announcer beside it says when NATS is away.
        self._announcer = announcer
        self._stream = stream
        self._source = source
        self._database = database

    @property
    def lag(self) -> int:
        """How many records the stream is behind the journal, as of the last look."""
        return max(0, self.head - self.relayed)

    async def run(self) -> None:
        """Relay until cancelled; nothing is raised, whatever happens to NATS or the database."""
        await together(self._watch_head(), keep_at(self._link, self._relay, "livetill relay"))

    async def _watch_head(self) -> None:
        """Know how far the journal is also while NATS is away: that is when the lag matters."""
        while True:
            with contextlib.suppress(JournalError):
                self.head = await self._journal.head()
            await asyncio.sleep(IDLE_SECONDS)

    async def _relay(self, client: Client) -> None:
        jetstream = client.jetstream()
        await self._claim(client)
        self.relayed = await self._resume(jetstream)
        while True:
            records = await self._journal.read(self.relayed, WINDOW)
            if records:
                await publish(client, self._stream, [self._event(record) for record in records])
                self.relayed = records[-1].position
                self.head = max(self.head, self.relayed)
            else:
                await self._idle(jetstream)

    async def _claim(self, client: Client) -> None:
        """See that no other shop feeds the stream, and from now on say that we do.

        Of two that ask at the same time the one with the smaller name goes first, whichever of them hears the other.
        """
        subject, ours = f"{CLAIMS}.{self._stream}", _Claim(self._database)
        others: list[_Claim] = []

        async def say(asked: Msg) -> None:
            if not ours.feeds:
                others.append(decode(asked.data, type=_Claim))
            await asked.respond(encode(ours))

        await client.subscribe(subject, cb=say)
        with contextlib.suppress(NoRespondersError, NoAnswerError):
            answer = await client.request(subject, encode(ours), timeout=CLAIM_SECONDS)
            others.append(decode(answer.data, type=_Claim))
        if any(each.outranks(ours) for each in others):
            raise StreamTakenError(
                f"another shop feeds the stream {self._stream} on this NATS: give each shop a NATS of its own"
            )
        ours.feeds = True

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
