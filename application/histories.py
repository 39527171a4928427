"""Histories in memory: the newest states this process knows, and how they are brought up to date.

Only states are kept, never rows or connections: what falls out of memory is folded again from the journal.
"""

from collections.abc import Iterable, Mapping

from application.cache import Cache
from application.desk import Versioned, decider_of
from application.ports import Journal, Wire
from domain.record import UnreadableError


class Histories:
    """A bounded memory of states; it may lag behind the journal, and the append finds out when it does."""

    def __init__(self, wire: Wire, limit: int) -> None:
        """Start with nothing in memory."""
        self._wire = wire
        self._known: Cache[Versioned] = Cache(limit)
        self._unreadable: dict[str, UnreadableError] = {}
        self.position = 0
        """The last position seen so far."""

    def get(self, history_id: str) -> Versioned | None:
        """Return what is known of a history; ``UnreadableError`` when it could not be read."""
        if history_id in self._unreadable:
            raise self._unreadable[history_id]
        return self._known.get(history_id)

    def peek(self, history_id: str) -> Versioned | None:
        """Return what is known of a history, if anything."""
        return self._known.get(history_id)

    def put(self, history_id: str, versioned: Versioned) -> None:
        """Remember a newer state; an older one changes nothing."""
        known = self._known.get(history_id)
        if known is None or versioned.version >= known.version:
            self._known.put(history_id, versioned)

    def forget_beyond(self, versions: Mapping[str, int]) -> None:
        """Forget states that are ahead of the journal's versions: it was set back to an earlier point meanwhile."""
        for history_id, version in versions.items():
            known = self._known.get(history_id)
            if known is not None and known.version > version:
                self._known.drop(history_id)

    def missing(self, history_ids: Iterable[str]) -> list[str]:
        """Return those of which nothing is known."""
        return [each for each in history_ids if each not in self._known]

    async def load(self, journal: Journal, history_ids: Iterable[str]) -> None:
        """Bring histories up to date: all of an unknown one, the tail of a known one."""
        states = {each: self._known.get(each) or empty(each) for each in history_ids}
        if not states:
            return
        for history_id in states:
            self._unreadable.pop(history_id, None)
        for record in await journal.load({each: state.version for each, state in states.items()}):
            if record.history_id in self._unreadable:
                continue  # what follows does not fit a state that misses a record
            try:
                event = self._wire.decode(record.topic, record.state)
            except UnreadableError as error:
                self._unreadable.setdefault(record.history_id, error)
                continue
            before = states[record.history_id]
            states[record.history_id] = Versioned(
                decider_of(record.history_id).evolve(before.state, event), record.version
            )
            self.position = max(self.position, record.position)
        for history_id, versioned in states.items():
            if history_id not in self._unreadable:
                self.put(history_id, versioned)

    async def newest(self, journal: Journal, history_id: str) -> Versioned:
        """Return a history's state as of now, whoever wrote to it last."""
        await self.load(journal, [history_id])
        return self.get(history_id) or empty(history_id)

    async def at_version(self, journal: Journal, history_id: str, version: int) -> Versioned:
        """Return a history's state as of one of its versions."""
        records = await journal.load({history_id: 0})
        events = (self._wire.decode(r.topic, r.state) for r in records if r.version <= version)
        return Versioned(decider_of(history_id).fold(events), version)

    async def at_position(self, journal: Journal, history_id: str, position: int) -> Versioned:
        """Return a history's state as of a position of the journal."""
        records = [r for r in await journal.load({history_id: 0}) if r.position <= position]
        events = (self._wire.decode(r.topic, r.state) for r in records)
        return Versioned(decider_of(history_id).fold(events), records[-1].version if records else 0)


def empty(history_id: str) -> Versioned:
    """Return the state before the first event."""
    return Versioned(decider_of(history_id).initial, 0)
