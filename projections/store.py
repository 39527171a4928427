"""What projections need of the outside world, as small protocols, and the words they share with it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from attrs import Factory, field

from domain.record import Record
from domain.values import frozen
from projections.projection import Projection
from projections.tables import Key, R, Table

T = TypeVar("T")


class Feed(Protocol):
    """The journal, as far as a follower reads it."""

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Return up to ``limit`` records after a position, in order."""

    def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Walk the journal in chunks, flat in memory."""

    async def head(self) -> int:
        """Return the last position; 0 when empty."""


class Wire(Protocol):
    """How a stored event is read."""

    def decode(self, topic: str, state: bytes) -> Any:
        """Return the event of a record; ``UnreadableError`` when it cannot be read."""


class StoreError(Exception):
    """The tables could not do what they were asked."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The database cannot be reached or did not do it. The marks say whether a commit stands: read them again."""


class RowsRefusedError(StoreError):
    """The database refuses these rows and always will: a text with a zero byte, a number beyond 64 bits."""


class MarkMovedError(StoreError):
    """Somebody else moved the mark, or a rebuilt read model took the place of the one that was known."""


@frozen
class Mark:
    """How far a projection has come."""

    position: int = 0
    generation: int = 0
    """Grows when a rebuilt read model takes over: rows that were known before are then of another table."""


@frozen
class Parked:
    """What somebody could not deal with; the show went on without it."""

    projection: str
    """Who parked it: a projection, or another name such as a reactor's."""
    position: int
    """The record's; 0 for what is no record, such as a callback."""
    topic: str
    """The record's; what is no record is told apart by it."""
    error: str
    at: datetime | None = field(default=None, eq=False)
    """When it was parked; set by the store."""

    @property
    def key(self) -> str:
        """What it is called by among those of the same name."""
        return str(self.position or self.topic)


@frozen
class Write:
    """What a batch of records comes to; all of it becomes visible at once, or nothing."""

    moves: Mapping[str, tuple[Mark, int]]
    """By projection: the mark that must still stand, and the position it moves to."""
    puts: Mapping[Table[Any], Sequence[Any]] = Factory(dict)
    drops: Mapping[Table[Any], Sequence[Key]] = Factory(dict)
    parked: Sequence[Parked] = ()


@frozen
class Query(Generic[R]):
    """Which rows of a table, in which order; by default all, in the order of the key."""

    table: Table[R]
    equals: Mapping[str, object] = Factory(dict)
    at_most: Mapping[str, object] = Factory(dict)
    order: tuple[str, ...] = ()
    """Columns; one with a leading ``-`` is sorted the other way."""
    after: Key | None = None
    """Only rows whose key is greater, for paging in the order of the key."""
    offset: int = 0
    limit: int | None = None

    @property
    def sorting(self) -> tuple[tuple[str, bool], ...]:
        """The columns to sort by, each with whether it descends."""
        return tuple((name.lstrip("-"), name.startswith("-")) for name in self.order or self.table.key)


@frozen
class Found(Generic[T]):
    """Rows, and how far their projection had come when they were so."""

    position: int
    rows: Sequence[T]


class Snapshot(Protocol):
    """A projection's rows at one position, whatever is written meanwhile."""

    @property
    def position(self) -> int:
        """How far the projection had come."""

    def chunks(self, table: Table[Any]) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """Walk a table in the order of its key, some rows at a time, each as its columns; flat in memory."""

    def lines(self, table: Table[Any]) -> AsyncIterator[Sequence[bytes]]:
        """Walk a table in the same way, its rows as ``canonical`` writes them."""


class Tables(Protocol):
    """Where rows can be asked for."""

    async def find(self, query: Query[R]) -> Found[R]:
        """Return rows and their position, of one moment."""

    async def load(self, table: Table[R], keys: Sequence[Key]) -> dict[Key, R]:
        """Return those rows that are there."""


class Store(Tables, Protocol):
    """Where a follower keeps its rows and marks."""

    async def marks(self) -> dict[str, Mark]:
        """Return the mark of each projection."""

    async def commit(self, write: Write) -> None:
        """Make a batch durable; ``MarkMovedError``, ``RowsRefusedError`` or ``StoreUnavailableError`` if not."""

    async def parked(self) -> Sequence[Parked]:
        """Return what was parked, by projection, position and topic."""

    def snapshot(self, projection: Projection) -> AbstractAsyncContextManager[Snapshot]:
        """Hold a projection's rows still for as long as the block lasts."""


class Notes(Protocol):
    """What a store keeps for those who follow the journal on their own, beside the marks of the read models."""

    async def bookmark(self, name: str) -> int:
        """Return the position that was noted under a name; 0 at first."""

    async def set_bookmark(self, name: str, position: int) -> None:
        """Note a position. A crash may bring an earlier one back, so what follows it must bear being done twice."""

    async def park(self, parked: Parked) -> None:
        """Put something aside; said twice, it is parked once."""

    async def settle(self, parked: Parked) -> None:
        """Forget what was parked, for somebody has dealt with it; what is not there is settled."""
