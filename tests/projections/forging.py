"""A journal on paper, and what somebody with a pen could do to it.

What is added or left out keeps positions dense, versions without a gap and every command whole: what is left to be
found is that the story cannot be true.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from attrs import define, evolve

from adapters.wire import JsonWire
from domain.record import Metadata, Record

WIRE = JsonWire()
Forge = Callable[[list[Record]], int]
"""Takes honest records and returns the position of the first breach."""


@define
class Written:
    """A journal as somebody with a pen left it: the records are whatever they are."""

    records: list[Record]

    async def head(self) -> int:
        """The position that the last record claims."""
        return self.records[-1].position if self.records else 0

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Records by the position that they claim."""
        return [record for record in self.records if record.position > after][:limit]

    async def scan(self, after: int = 0, upto: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """The records as they stand in the list."""
        yield self.records[after:upto]

    async def load(self, tails: Mapping[str, int]) -> Sequence[Record]:
        """The records of histories, by history and version."""
        found = [r for r in self.records if r.history_id in tails and r.version > tails[r.history_id]]
        return sorted(found, key=lambda record: (record.history_id, record.version))


def first(records: Sequence[Record], kind: type, history_id: str = "", **facts: Any) -> int:
    """Return the place in the list of the first event of a kind, of a history, with some facts."""
    return next(
        place
        for place, record in enumerate(records)
        if history_id in ("", record.history_id)
        and isinstance(event := read(record), kind)
        and all(getattr(event, name) == fact for name, fact in facts.items())
    )


def read(record: Record) -> Any:
    """Return a record's event."""
    return WIRE.decode(record.topic, record.state)


def rewrite(records: list[Record], place: int, **changes: Any) -> int:
    """Change fields of an event; return its position."""
    _, state = WIRE.encode(evolve(read(records[place]), **changes))
    records[place] = evolve(records[place], state=state)
    return records[place].position


def replace(records: list[Record], place: int, event: Any) -> int:
    """Put another event in a record's place; return its position."""
    topic, state = WIRE.encode(event)
    records[place] = evolve(records[place], topic=topic, state=state)
    return records[place].position


def envelope(records: list[Record], place: int, /, **changes: Any) -> int:
    """Change the envelope of a whole command; return the position of its first record."""
    metadata = evolve(WIRE.decode_metadata(records[place].metadata), **changes)
    for number in range(place, place + WIRE.decode_metadata(records[place].metadata).records):
        records[number] = evolve(records[number], metadata=WIRE.encode_metadata(metadata))
    return records[place].position


def add(records: list[Record], place: int, history_id: str, event: Any) -> int:
    """Write a command of one event in before a place; return its position."""
    at = records[place - 1].recorded_at
    command_id = f"planted-{len(records)}"
    metadata = WIRE.encode_metadata(Metadata("test:test", command_id, "test", at, "till-planted", len(records), 1))
    topic, state = WIRE.encode(event)
    records.insert(place, Record(0, history_id, 0, topic, state, at, metadata, command_id))
    _renumber(records)
    return place + 1


def leave_out(records: list[Record], *places: int) -> None:
    """Take records out of their commands as if they had never been there."""
    for place in sorted(places, reverse=True):
        metadata = records[place].metadata
        begin = next(number for number, record in enumerate(records) if record.metadata == metadata)
        size = WIRE.decode_metadata(metadata).records
        envelope(records, begin, records=size - 1)
        if place == begin and size > 1:
            records[place + 1] = evolve(records[place + 1], command_id=records[place].command_id)
        del records[place]
    _renumber(records)


def _renumber(records: list[Record]) -> None:
    versions: dict[str, int] = {}
    for place, record in enumerate(records):
        versions[record.history_id] = versions.get(record.history_id, 0) + 1
        records[place] = evolve(record, position=place + 1, version=versions[record.history_id])
