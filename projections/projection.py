"""What a projection is: for each kind of event, what it changes in which rows.

A projection is a pure fold. A handler looks at a record and its event and names the changes; whoever runs the
projection finds the rows, applies the changes to copies of them and stores the result. It knows no database, no
clock and no other projection, so the same code serves the live tables, a rebuild and any position of the past.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol

from domain.values import frozen
from projections.tables import Key, R, Table


class Fact(Protocol):
    """What a fold sees of a record: the event and its place, not the envelope. That can be read without the rest."""

    @property
    def position(self) -> int:
        """Its place in the journal."""

    @property
    def history_id(self) -> str:
        """Whose history it belongs to."""

    @property
    def topic(self) -> str:
        """The stored name of its event."""

    @property
    def state(self) -> bytes:
        """The event itself, as it is stored."""


class Fate(Enum):
    """What a step may say of its row besides changing it."""

    DROPPED = "dropped"


DROPPED: Final = Fate.DROPPED
Start = Callable[[Key, Fact, Any], Any]
"""Makes the row of a key from the record and event that begin it."""
Step = Callable[[Any, Fact, Any], Fate | None]
"""Changes a row in place; its position is set by whoever runs it."""


Change = tuple[Table[Any], Key, Start | None, Step | None]
"""What a record does to one row: its table and key, ``start`` and ``step``.

With ``start`` alone the row is put, whatever was there; with ``step`` alone it must be there and is changed; with both
it is begun when it is not there; with neither it is dropped. Plain tuples, for a record makes two of them on average
and a class with names took longer to make than the row took to change.
"""
Handler = Callable[[Fact, Any], Sequence[Change]]
KeyOf = Callable[[Fact, Any], Key]


@frozen(eq=False)
class Projection:
    """A read model: its tables and how events change them."""

    name: str
    tables: tuple[Table[Any], ...]
    handlers: Mapping[type, Handler]
    """By the class of the event; other events mean nothing to it."""


class MissingRowError(Exception):
    """An event changes a row that is not there: what should have begun it was parked, or the journal is broken."""


def of_history(record: Fact, _event: Any) -> Key:
    """Return the key of the row that stands for the record's own history."""
    return (record.history_id,)


def put(table: Table[R], start: Callable[[Key, Fact, Any], R], key: KeyOf = of_history) -> Handler:
    """Handle an event that begins a row or replaces it."""
    return lambda record, event: ((table, key(record, event), start, None),)


def change(table: Table[R], step: Callable[[R, Fact, Any], Fate | None], key: KeyOf = of_history) -> Handler:
    """Handle an event that changes a row."""
    return lambda record, event: ((table, key(record, event), None, step),)


def ensure(
    table: Table[R],
    start: Callable[[Key, Fact, Any], R],
    step: Callable[[R, Fact, Any], Fate | None],
    key: KeyOf = of_history,
) -> Handler:
    """Handle an event that changes a row and begins it if need be."""
    return lambda record, event: ((table, key(record, event), start, step),)


def drop(table: Table[R], key: KeyOf = of_history) -> Handler:
    """Handle an event that ends a row, if there is one."""
    return lambda record, event: ((table, key(record, event), None, None),)
