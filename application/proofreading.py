"""Proofreading: whether the chapters of long histories say what the journal says.

Nobody's word is taken for anything: whoever verifies the journal folds it from the first record, and shows the state
to the proofreader wherever a chapter ends. It writes the chapter again and compares byte by byte. One that is missing
is no error, for nobody promised it; one that says something else is.
"""

from typing import Any

from application.chapters import Chapters, Passed, bond_of
from application.desk import Versioned
from application.ports import Journal, Snapshot
from domain.record import Record
from domain.values import frozen


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


class Proofreader:
    """Compares chapters with what a walk over the journal shows of their histories."""

    def __init__(self, journal: Journal, chapters: Chapters) -> None:
        """Stand beside a walk."""
        self._journal, self._chapters = journal, chapters
        self._come_to: dict[str, int] = {}
        """By history that has chapters: the version of the last that was compared."""
        self._bound: list[Snapshot] = []
        self._compared = 0
        self._wrong: list[Wrong] = []

    @property
    def every(self) -> int:
        """How many versions a chapter covers."""
        return self._chapters.every

    def concern(self, history_id: str) -> bool:
        """Tell whether a history has chapters."""
        return history_id in self._come_to

    async def begin(self) -> None:
        """Find out which histories have chapters."""
        self._come_to = dict.fromkeys(await self._chapters.histories(), 0)

    def take(self, record: Record, state: Any) -> None:
        """Write the chapter that ends with a record."""
        if self.concern(record.history_id):
            now = Versioned(state, record.version)
            self._bound.append(self._chapters.bind(Passed(record.history_id, state, now, bond_of(record))))

    async def compare(self) -> None:
        """Compare what was written with what is kept."""
        bound, self._bound = self._bound, []
        for ours in bound:
            while self._come_to[ours.history_id] < ours.version:
                row = await self._next(ours.history_id)
                if row is None or row.version > ours.version:
                    break
                found = "" if row == ours else "the journal says something else"
                self._note(row, "no chapter ends here" if row.version < ours.version else found)

    async def finish(self) -> Proof:
        """Look at what is left when all of the journal was shown, and say what was found.

        A chapter that was written meanwhile ends with a record that is there, and is left to the next proofreader.
        """
        for history_id in self._come_to:
            while (row := await self._next(history_id)) is not None:
                if await self._journal.at(history_id, [row.version]):
                    break
                self._note(row, "the journal has not come to its end")
        return Proof(self._compared, tuple(self._wrong))

    async def _next(self, history_id: str) -> Snapshot | None:
        return await self._chapters.row(history_id, after=self._come_to[history_id])

    def _note(self, row: Snapshot, found: str) -> None:
        self._compared += 1
        self._come_to[row.history_id] = row.version
        if found:
            self._wrong.append(Wrong(row.history_id, row.version, found))
