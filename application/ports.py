"""What the application needs of the outside world, as small protocols.

The journal deals in bytes: what an event means is the wire's business. One contract suite (``tests/contracts``) runs on
every implementation of a port, in memory and real.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from attrs import Factory

from domain.record import Metadata, Record
from domain.values import frozen


@frozen
class Draft:
    """A record to be; the append gives it its position and time."""

    history_id: str
    version: int
    topic: str
    state: bytes
    metadata: bytes
    command_id: str | None = None


@frozen
class Batch:
    """What one append writes, all or nothing."""

    drafts: Sequence[Draft]
    expected: Mapping[str, int]
    """The version of every history the batch was decided on, written to or only read; 0 for a new one."""


@frozen
class Appended:
    """The batch is durable; its records took the positions from ``first_position`` on."""

    first_position: int
    recorded_at: datetime


@frozen
class Conflict:
    """Nothing was written: the batch was decided on something that is no longer so."""

    moved: Mapping[str, int] = Factory(dict)
    """Histories that are not at their expected version, with the version they are at."""
    seen: frozenset[str] = frozenset()
    """Command ids of the batch that the journal already holds."""


class JournalError(Exception):
    """The journal could not do what it was asked."""


class JournalUnavailableError(JournalError):
    """The database cannot be reached or rolled the append back: nothing was written, trying again is safe."""


class OutcomeUnknownError(JournalError):
    """The connection was lost before the reply: the append may stand or not. Ask by command id."""


class JournalRejectedError(JournalError):
    """The database refuses this data and always will: trying again is useless."""


class JournalDamagedError(JournalError):
    """The journal contradicts itself, and nothing can be appended to it until an operator has mended it."""


class Journal(Protocol):
    """The append-only store of all records, in one total order."""

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Write a batch in one round trip; durable when it returns."""

    def turn(self) -> AbstractAsyncContextManager["Journal"]:
        """Hold the journal's lock: what is loaded inside cannot move before the append inside."""

    async def load(self, tails: Mapping[str, int], limit: int | None = None) -> Sequence[Record]:
        """Return the records of each history after the given version, by history and version.

        ``limit``: no more than that many of each; if there are that many, there may be more.
        """

    async def at(self, history_id: str, versions: Collection[int]) -> Sequence[Record]:
        """Return the records that a history has at some of its versions, by version."""

    async def of_commands(self, command_ids: Iterable[str]) -> Sequence[Record]:
        """Return all records of the commands that the journal holds, by position."""

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""

    def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Walk the journal in chunks, flat in memory, as of the moment of the call."""

    async def head(self) -> int:
        """Return the last position; 0 when empty."""

    async def position_at(self, instant: datetime) -> int:
        """Return the last position recorded at or before an instant; 0 when there is none."""


class Wire(Protocol):
    """How an event is written: a stored name and JSON bytes."""

    def encode(self, event: object) -> tuple[str, bytes]:
        """Return the topic and the state of an event."""

    def decode(self, topic: str, state: bytes) -> Any:
        """Return the event of a record; ``UnreadableError`` when the topic is unknown or the state does not fit."""

    def encode_metadata(self, metadata: Metadata) -> bytes:
        """Write an envelope."""

    def decode_metadata(self, metadata: bytes) -> Metadata:
        """Read an envelope."""


@frozen
class Snapshot:
    """What was written down of a history's state, so that it is had without folding all records."""

    history_id: str
    version: int
    """The last record it covers."""
    topic: str
    """How ``state`` is written."""
    state: bytes


class Snapshots(Protocol):
    """Keeps snapshots: derived from the journal, never the truth, and removed by anybody at any time."""

    async def write(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of the one at the same version, if there is one; ``JournalError`` if it cannot."""

    async def read(self, history_id: str, topic: str, after: int, limit: int) -> Sequence[Snapshot]:
        """Return up to ``limit`` of a history's snapshots of a topic after a version, by version."""

    async def histories(self, topic: str) -> Sequence[str]:
        """Return the histories that have snapshots of a topic."""


class Chapter(Protocol):
    """A snapshot of what a stretch of a history has changed; a history's chapters together are its state."""

    @property
    def bond(self) -> bytes:
        """The hash of the record it ends with: it counts only in a journal that holds this very record."""


class Merging(Protocol):
    """Makes one state of chapters."""

    def add(self, chapter: Any) -> None:
        """Take the next chapter, as ``open`` gave it."""

    async def state(self) -> Any:
        """Return the state after the last chapter; nothing may be added any more."""


class Binding(Protocol):
    """How the chapters of one kind of history are written and read."""

    @property
    def topic(self) -> str:
        """The name of the format. Another shape of the state has another name, so that old chapters are left alone."""

    def bind(self, before: Any, now: Any, bond: bytes) -> bytes:
        """Write what has changed from one state to a later one; equal states give the same bytes."""

    def open(self, state: bytes) -> Chapter:
        """Read a chapter; ``UnreadableError`` when it is torn."""

    def merging(self) -> Merging:
        """Begin with the state before the first event."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current instant, in UTC."""


@frozen
class Payment:
    """What a provider answers to a charge."""

    payment_id: str
    """The provider's own id: the key by which callbacks are recognised."""
    status: str
    """``succeeded``, ``declined`` or ``pending`` (the answer will come as a webhook)."""
    amount_minor: int = 0
    reason: str = ""


class ProviderError(Exception):
    """The payment provider did not answer; what it did is unknown until it is asked again with the same key."""


class PaymentProvider(Protocol):
    """Takes and returns money. Every call carries a key; the same key is done once."""

    async def charge(self, *, key: str, order_id: str, token: str, amount_minor: int, currency: str) -> Payment:
        """Charge a payment token; ``ProviderError`` when the outcome is unknown."""

    async def refund(self, *, key: str, payment_id: str, amount_minor: int) -> None:
        """Return money of a payment; ``ProviderError`` when the outcome is unknown."""


class Announcer(Protocol):
    """Tells others that something happened, at most once and as fast as possible: a wake-up, never the truth."""

    def appended(self, position: int) -> None:
        """Say that the journal has grown to ``position``."""

    async def wait(self, after: int, timeout: float) -> None:  # noqa: ASYNC109 - waiting in vain is no error here
        """Return when the journal may have grown beyond ``after``, or after ``timeout`` seconds."""


class LeadershipLostError(Exception):
    """The lead fell to another, or will, while the job was being done: stop, and stand for it again."""


class Leadership(Protocol):
    """Lets one server process at a time do a job that needs no second one; the others stand by.

    It saves work, it does not guard truth: a leader that was cut off may act once more, so every job it leads must
    bear being done twice (positions in the same transaction, command ids, expected sequences).
    """

    def lead(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for the lead of ``name`` and hold it; it falls to another when this process or its connection dies.

        ``LeadershipLostError`` is raised in place of a body that was cut off from the lead.
        """


class Bookmarks(Protocol):
    """Remembers up to which position somebody has read the journal."""

    async def get(self, name: str) -> int:
        """Return the last position that is done; 0 at first."""

    async def set(self, name: str, position: int) -> None:
        """Note that everything up to a position is done."""


class Agenda(Protocol):
    """What is to happen when, as the read models know it."""

    async def due(self, now: datetime, limit: int) -> Sequence[tuple[str, str, int]]:
        """Return deadlines that have come, earliest first: history id, kind, number."""

    async def next_due(self) -> datetime | None:
        """Return the earliest deadline."""

    async def listings_of(self, stream_id: str, position: int) -> Sequence[str]:
        """Return the listings of a show, as of a position or later."""


class Parking(Protocol):
    """Where things wait that nobody can deal with now, until somebody looks."""

    async def park(self, who: str, position: int, topic: str, error: str) -> None:
        """Put something aside with the reason; said twice, it is parked once."""


@frozen
class Limits:
    """Bounds of the till, so that load is shed with an answer instead of growing a queue."""

    queue: int = 20_000
    batch: int = 512
    cached_histories: int = 100_000
    outage_seconds: float = 10.0
    """How long a batch waits for a lost database before its callers are told."""
