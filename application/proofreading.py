"""Proofreading: whether the chapters of long histories say what the journal says.

Nobody's word is taken for anything: the journal is folded from the first record, and every chapter is written again and
compared byte by byte. One that is missing is no error, for nobody promised it; one that says something else is.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from application.chapters import Chapters, Passed, bond_of
from application.desk import Versioned, decider_of
from application.ports import Journal, Snapshot, Wire
from domain.record import Record
from domain.values import frozen

PAGE: Final = 1_000
SLICE: Final = 200


@frozen
class Wrong:
    """A chapter that does not say what the journal says."""

    history_id: str
    version: int
    found: str


@frozen
class Proof:
    """What was compared, and the chapters that are wrong: remove them, and they are written anew."""

    chapters: int = 0
    wrong: tuple[Wrong, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


async def proofread(journal: Journal, wire: Wire, chapters: Chapters) -> Proof:
    """Compare all chapters with the journal."""
    compared, wrong = 0, []
    for history_id in await chapters.histories():
        async for row, found in _compared(journal, wire, chapters, history_id):
            compared += 1
            if found:
                wrong.append(Wrong(history_id, row.version, found))
    return Proof(compared, tuple(wrong))


async def _compared(
    journal: Journal, wire: Wire, chapters: Chapters, history_id: str
) -> AsyncIterator[tuple[Snapshot, str]]:
    """Walk the chapters of a history, each with what is wrong with it, if anything."""
    row = await chapters.row(history_id, after=0)
    async for passed in _passing(journal, wire, chapters, history_id):
        while row is not None and row.version <= passed.now.version:
            yield row, _found(row, chapters, passed)
            row = await chapters.row(history_id, after=row.version)
    while row is not None:
        yield row, "the journal has not come to its end"
        row = await chapters.row(history_id, after=row.version)


def _found(row: Snapshot, chapters: Chapters, passed: Passed) -> str:
    if row.version < passed.now.version:
        return "no chapter ends here"
    return "" if row == chapters.bind(passed) else "the journal says something else"


async def _passing(journal: Journal, wire: Wire, chapters: Chapters, history_id: str) -> AsyncIterator[Passed]:
    """Fold a history from its first record, and stop at the end of each chapter."""
    decider = decider_of(history_id)
    state = before = decider.initial
    async for record in _records(journal, history_id):
        state = decider.evolve(state, wire.decode(record.topic, record.state))
        if chapters.ends(history_id, record.version):
            yield Passed(history_id, before, Versioned(state, record.version), bond_of(record))
            before = state


async def _records(journal: Journal, history_id: str) -> AsyncIterator[Record]:
    version = 0
    while records := await journal.load({history_id: version}, PAGE):
        for number, record in enumerate(records, 1):
            yield record
            if not number % SLICE:
                await asyncio.sleep(0)
        version = records[-1].version
