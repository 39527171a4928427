"""Rules over the envelopes of all records: order, time, commands, causation, arrival. Nothing here looks at an event.

What is kept in memory does not grow with the journal.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter, le
from typing import Protocol

from domain.record import Metadata, Record, UnreadableError
from projections.breach import BreachError
from projections.once import Once

_position, _recorded_at = attrgetter("position"), attrgetter("recorded_at")


class Envelopes(Protocol):
    """How a stored envelope is read."""

    def decode_metadata(self, metadata: bytes) -> Metadata:
        """Read an envelope; ``UnreadableError`` when it cannot be read."""


class EnvelopeRules:
    """Takes records in order of their positions; ``BreachError`` at the first that breaks a rule."""

    def __init__(self, wire: Envelopes) -> None:
        self._decode = wire.decode_metadata
        self._recorded_at = datetime.min.replace(tzinfo=UTC)
        self._stored = b""
        self._metadata: Metadata
        self._left = 0
        self._arrivals: dict[tuple[str, str], int] = {}
        self.position = 0
        self.commands = Once()

    def in_order(self, records: Sequence[Record]) -> int:
        """Return how many of the next records stand in order, by position and by time.

        All of them are looked at together, in C; only where something is wrong is it looked for record by record.
        """
        first, last = self.position + 1, self.position + len(records)
        times = [self._recorded_at, *map(_recorded_at, records)]
        if list(map(_position, records)) == list(range(first, last + 1)) and all(map(le, times, times[1:])):
            return len(records)
        return next(
            place for place, record in enumerate(records) if self._misplaced(record, first + place, times[place])
        )

    def refuse(self, record: Record) -> None:
        """Say what is wrong with the first record that does not stand in order."""
        breach = self._misplaced(record, self.position + 1, self._recorded_at)
        assert breach is not None
        raise breach

    def take(self, record: Record) -> Metadata:
        """Check the next record, which stands in order, and return its envelope."""
        self.position = record.position
        self._recorded_at = record.recorded_at
        if not self._left:
            self._metadata = self._begin(record)
            self._stored = record.metadata
        elif record.command_id is not None or record.metadata != self._stored:
            raise BreachError(record.position, "command", f"of the command before, {self._left} more must come")
        self._left -= 1
        return self._metadata

    def note(self, records: Iterable[Record]) -> None:
        """Remember which commands begin in some records."""
        self.commands.note([record.command_id for record in records if record.command_id is not None])

    @staticmethod
    def _misplaced(record: Record, position: int, after: datetime) -> BreachError | None:
        if record.position != position:
            return BreachError(position, "dense", f"after {position - 1} comes {record.position}")
        if record.recorded_at < after:
            return BreachError(position, "time", f"recorded {record.recorded_at}, after {after}")
        return None

    def end(self) -> None:
        """Check that the last command is complete."""
        if self._left:
            raise BreachError(self.position, "command", f"of the last command, {self._left} more must come")

    @property
    def left(self) -> int:
        """How many records of the last command are still to come."""
        return self._left

    @property
    def between_commands(self) -> bool:
        """Whether the last record taken was the last of its command."""
        return not self._left

    def _begin(self, record: Record) -> Metadata:
        position = record.position
        try:
            metadata = self._decode(record.metadata)
        except UnreadableError as error:
            raise BreachError(position, "readable", str(error)) from error
        if record.command_id is None or metadata.command_id != record.command_id or metadata.records < 1:
            raise BreachError(position, "command", f"begins as {record.command_id}, its envelope says otherwise")
        if metadata.causation is not None and not 0 < metadata.causation < position:
            raise BreachError(position, "causation", f"reacts to position {metadata.causation}")
        self._left = metadata.records
        return metadata

    def arrive(self, metadata: Metadata, listing_ids: Iterable[str]) -> None:
        """Note that an order for some listings was judged; all of one till must come as they arrived."""
        for listing_id in set(listing_ids):
            queue = (metadata.till, listing_id)
            before = self._arrivals.get(queue, 0)
            if metadata.arrival <= before:
                found = f"arrival {metadata.arrival} of {metadata.till} stands behind {before} at {listing_id}"
                raise BreachError(self.position, "arrival", found)
            self._arrivals[queue] = metadata.arrival
