"""Rules over the envelopes of all records: order, time, commands, causation, arrival. Nothing here looks at an event.

What is kept does not grow with the journal, save for sixteen bytes a command: its id must not come twice, and a set
of strings would take ten times as much.
"""

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol

from domain.record import Metadata, Record, UnreadableError
from projections.breach import BreachError

_BUCKETS = 256


class Envelopes(Protocol):
    """How a stored envelope is read."""

    def decode_metadata(self, metadata: bytes) -> Metadata:
        """Read an envelope; ``UnreadableError`` when it cannot be read."""


class Once:
    """Finds out which keys came twice, in sixteen bytes a key: a hash and the position."""

    def __init__(self) -> None:
        self._hashes = [array("q") for _ in range(_BUCKETS)]
        self._positions = [array("q") for _ in range(_BUCKETS)]

    def __len__(self) -> int:
        """Count the keys that were noted."""
        return sum(map(len, self._hashes))

    def note(self, key: str, position: int) -> None:
        """Remember that a key stands at a position."""
        digest = hash(key)
        bucket = digest % _BUCKETS
        self._hashes[bucket].append(digest)
        self._positions[bucket].append(position)

    def suspects(self) -> list[tuple[int, int]]:
        """Return pairs of positions whose keys have the same hash, by the later one; whoever asks compares the keys."""
        pairs = [
            pair
            for hashes, positions in zip(self._hashes, self._positions, strict=True)
            if len(set(hashes)) < len(hashes)
            for pair in _pairs(hashes, positions)
        ]
        return sorted(pairs, key=lambda pair: pair[1])


def _pairs(hashes: Iterable[int], positions: Iterable[int]) -> list[tuple[int, int]]:
    first: dict[int, int] = {}
    pairs = []
    for digest, position in zip(hashes, positions, strict=True):
        before = first.setdefault(digest, position)
        if before != position:
            pairs.append((before, position))
    return pairs


class EnvelopeRules:
    """Takes records in order of their positions; ``BreachError`` at the first that breaks a rule."""

    def __init__(self, wire: Envelopes) -> None:
        self._decode = wire.decode_metadata
        self._recorded_at = datetime.min.replace(tzinfo=UTC)
        self._stored = b""
        self._metadata: Metadata | None = None
        self._left = 0
        self._arrivals: dict[tuple[str, str], int] = {}
        self.position = 0
        self.commands = Once()

    def take(self, record: Record) -> Metadata:
        """Check the next record and return its envelope."""
        position = self.position + 1
        if record.position != position:
            raise BreachError(position, "dense", f"after {self.position} comes {record.position}")
        self.position = position
        if record.recorded_at < self._recorded_at:
            raise BreachError(position, "time", f"recorded {record.recorded_at}, after {self._recorded_at}")
        self._recorded_at = record.recorded_at
        if not self._left:
            self._begin(record)
        elif record.command_id is not None or record.metadata != self._stored:
            raise BreachError(position, "command", f"{self._left} records of the command before are missing")
        self._left -= 1
        assert self._metadata is not None
        return self._metadata

    def end(self) -> None:
        """Check that the last command is complete."""
        if self._left:
            raise BreachError(self.position, "command", f"{self._left} records of the last command are missing")

    @property
    def between_commands(self) -> bool:
        """Whether the last record taken was the last of its command."""
        return not self._left

    def _begin(self, record: Record) -> None:
        position = record.position
        try:
            metadata = self._decode(record.metadata)
        except UnreadableError as error:
            raise BreachError(position, "readable", str(error)) from error
        if record.command_id is None or metadata.command_id != record.command_id or metadata.records < 1:
            raise BreachError(position, "command", f"begins as {record.command_id}, its envelope says otherwise")
        if metadata.causation is not None and not 0 < metadata.causation < position:
            raise BreachError(position, "causation", f"reacts to position {metadata.causation}")
        self.commands.note(record.command_id, position)
        self._stored, self._metadata, self._left = record.metadata, metadata, metadata.records

    def arrive(self, metadata: Metadata, listing_ids: Iterable[str]) -> None:
        """Note that an order for some listings was judged; all of one till must come as they arrived."""
        for listing_id in set(listing_ids):
            queue = (metadata.till, listing_id)
            before = self._arrivals.get(queue, 0)
            if metadata.arrival <= before:
                found = f"arrival {metadata.arrival} of {metadata.till} stands behind {before} at {listing_id}"
                raise BreachError(self.position, "arrival", found)
            self._arrivals[queue] = metadata.arrival
