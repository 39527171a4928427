"""How one history was at a position: its records, folded by its decider."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from domain.aggregates import DECIDERS
from domain.ids import kind_of
from domain.record import Record, UnreadableError
from domain.values import frozen
from projections.store import Wire


class Histories(Protocol):
    """Where a history can be read."""

    async def load(self, tails: Mapping[str, int]) -> Sequence[Record]:
        """Return the records of each history after the given version, by history and version."""


@frozen
class HistoryState:
    """A history's state, and the last record that made it so."""

    state: Any
    version: int
    position: int
    recorded_at: datetime


async def history_at(journal: Histories, wire: Wire, history_id: str, position: int, kind: str) -> HistoryState | None:
    """Return a history's state as of a position; None when it had none, or is no history of that kind of aggregate.

    ``UnreadableError`` says at which position a record cannot be read or folded.
    """
    if kind_of(history_id) != kind:
        return None
    records = [record for record in await journal.load({history_id: 0}) if record.position <= position]
    if not records:
        return None
    state = DECIDERS[kind].initial
    for record in records:
        try:
            state = DECIDERS[kind].evolve(state, wire.decode(record.topic, record.state))
        except UnreadableError as error:
            raise UnreadableError(f"position {record.position}: {error}") from error
        except Exception as error:
            found = f"{record.topic} does not follow from what is before it ({type(error).__name__}: {error})"
            raise UnreadableError(f"position {record.position}: {found}") from error
    last = records[-1]
    return HistoryState(state, last.version, last.position, last.recorded_at)
