"""Histories in memory: the newest states this process knows, and how they are brought up to date.

Only states are kept, never rows or connections: what falls out of memory is folded again from the journal; a long
history from its chapters and what came after them. Long histories are read page by page and folded slice by slice, so
that others get their turn meanwhile.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, takewhile
from operator import attrgetter
from typing import Final
from weakref import WeakValueDictionary

from application.cache import Cache
from application.chapters import Chapters, Included
from application.desk import Versioned, decider_of
from application.ports import Draft, Journal, Wire
from domain.record import Record, UnreadableError

PAGE: Final = 1_000
"""Records of one history that are read at once; whoever has so many may be long."""
SLICE: Final = 200
"""Records that are folded before others get their turn: some milliseconds."""

_history_id = attrgetter("history_id")


class Histories:
    """A bounded memory of states; it may lag behind the journal, and the append finds out when it does."""

    def __init__(self, wire: Wire, limit: int, chapters: Chapters | None = None) -> None:
        """Start with nothing in memory."""
        self._wire = wire
        self._chapters = chapters or Chapters()
        self._known: Cache[Versioned] = Cache(limit, self._chapters.forget)
        self._unreadable: dict[str, UnreadableError] = {}
        self._loading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
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

    def keep(
        self, states: Mapping[str, Versioned], drafts: Sequence[Draft], between: Sequence[Mapping[str, Versioned]] = ()
    ) -> None:
        """Remember what an append leaves that is durable, and have the chapters written that it came to the end of.

        ``between``: states that it went through; where a chapter ends at one of them, nothing is folded again.
        """
        for number, draft in enumerate(drafts, 1):
            if self._chapters.ends(draft.history_id, draft.version):
                now = _found(draft, between) or self._refolded(draft.history_id, drafts[:number])
                if now is not None:
                    self._chapters.passed(draft.history_id, now, draft)
        for history_id, versioned in states.items():
            self.put(history_id, versioned)

    def _refolded(self, history_id: str, drafts: Iterable[Draft]) -> Versioned | None:
        """Return the state in the midst of a command, from the one before its batch if that is still known."""
        known = self._known.get(history_id)
        own = [draft for draft in drafts if draft.history_id == history_id]
        if known is None or own[0].version != known.version + 1:
            return None
        return self._fold(known, own, passing=False)

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
        records = await journal.load({each: state.version for each, state in states.items()}, PAGE)
        found = {history_id: [*own] for history_id, own in groupby(records, _history_id)}
        for history_id, state in states.items():
            own = found.get(history_id, [])
            try:
                if len(own) < PAGE:
                    await self._advance(history_id, state, own)
                else:
                    await self._load_long(journal, history_id)
            except UnreadableError as error:
                self._unreadable[history_id] = error

    async def newest(self, journal: Journal, history_id: str) -> Versioned:
        """Return a history's state as of now, whoever wrote to it last."""
        await self.load(journal, [history_id])
        return self.get(history_id) or empty(history_id)

    async def at_version(self, journal: Journal, history_id: str, version: int) -> Versioned:
        """Return a history's state as of one of its versions."""
        return await self._as_of(journal, history_id, lambda record: record.version <= version)

    async def at_position(self, journal: Journal, history_id: str, position: int) -> Versioned:
        """Return a history's state as of a position of the journal."""
        return await self._as_of(journal, history_id, lambda record: record.position <= position)

    async def _load_long(self, journal: Journal, history_id: str) -> None:
        """Bring a long history up to date, page by page. Others who need it wait for this instead of doing it again."""
        async with self._loading.setdefault(history_id, asyncio.Lock()):
            state = self._known.get(history_id) or await self._begun(journal, history_id)
            while len(records := await journal.load({history_id: state.version}, PAGE)) == PAGE:
                state = await self._folded(state, records, passing=True)
            await self._advance(history_id, state, records)

    async def _begun(self, journal: Journal, history_id: str) -> Versioned:
        """Start a long history of which nothing is known."""
        begun = await self._chapters.read(journal, history_id, lambda _: True)
        self._chapters.begin(history_id, begun.versioned)
        self.position = max(self.position, begun.position)
        return begun.versioned

    async def _advance(self, history_id: str, state: Versioned, records: Sequence[Record]) -> None:
        """Fold the last records of a history and remember the state."""
        self.put(history_id, await self._folded(state, records, passing=True))
        if records:
            self.position = max(self.position, records[-1].position)

    async def _as_of(self, journal: Journal, history_id: str, included: Included) -> Versioned:
        """Return a history's state as of the last included record; what is in memory stays as it is."""
        state, records = empty(history_id), await journal.load({history_id: 0}, PAGE)
        if len(records) == PAGE:
            state = (await self._chapters.read(journal, history_id, included)).versioned
            records = await journal.load({history_id: state.version}, PAGE)
        while len(own := [*takewhile(included, records)]) == PAGE:
            state = await self._folded(state, own)
            records = await journal.load({history_id: state.version}, PAGE)
        return await self._folded(state, own)

    async def _folded(self, state: Versioned, records: Sequence[Record], *, passing: bool = False) -> Versioned:
        """Fold records in slices, between which others get their turn."""
        for begin in range(0, len(records), SLICE):
            state = self._fold(state, records[begin : begin + SLICE], passing=passing)
            if begin + SLICE < len(records):
                await asyncio.sleep(0)
        return state

    def _fold(self, state: Versioned, records: Iterable[Draft | Record], *, passing: bool) -> Versioned:
        """Fold records; ``passing``: what is folded is durable and new, and its chapters are to be written."""
        for record in records:
            event = self._wire.decode(record.topic, record.state)
            state = Versioned(decider_of(record.history_id).evolve(state.state, event), record.version)
            if passing and self._chapters.ends(record.history_id, record.version):
                self._chapters.passed(record.history_id, state, record)
        return state


def empty(history_id: str) -> Versioned:
    """Return the state before the first event."""
    return Versioned(decider_of(history_id).initial, 0)


def _found(draft: Draft, between: Iterable[Mapping[str, Versioned]]) -> Versioned | None:
    """Return the state that a draft led to, if it was the last of its command."""
    states = (each.get(draft.history_id) for each in between)
    return next((each for each in states if each is not None and each.version == draft.version), None)
