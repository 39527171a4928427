"""The newest records at hand: followers read what the journal holds, in order and without holes, and mostly unasked."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from adapters.clocks import ManualClock
from adapters.journal_memory import MemoryJournal
from adapters.journal_recent import RecentJournal
from application.ports import Appended, Batch, Conflict, Draft, JournalUnavailableError
from domain.record import Record


class Watched(MemoryJournal):
    """A journal that counts who reads it, and can be away."""

    def __init__(self) -> None:
        super().__init__(ManualClock(datetime(2026, 3, 1, tzinfo=UTC)))
        self.asked = 0
        self.away = False
        self.told = 0

    def announced(self) -> int:
        """Return what somebody has announced."""
        return self.told

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Count, then read."""
        self.asked += 1
        if self.away:
            raise JournalUnavailableError("the database does not answer")
        return await super().read(after, limit)


def batch(first: int, count: int = 1) -> Batch:
    """A batch of histories of their own."""
    names = [f"listing-{number}" for number in range(first, first + count)]
    drafts = [Draft(name, 1, "thing.happened.v1", b"{}", b'{"n":1}', f"command of {name}") for name in names]
    return Batch(drafts, dict.fromkeys(names, 0))


async def followed(recent: RecentJournal, after: int = 0, limit: int = 3) -> list[Record]:
    """Follow to the end."""
    records: list[Record] = []
    while read := await recent.feed.read(after, limit):
        assert len(read) <= limit
        records += read
        after = read[-1].position
    return records


async def test_what_was_appended_here_is_not_read_again() -> None:
    """Every follower gets the very records that the journal holds; it is asked only whether there are more."""
    journal = Watched()
    recent = RecentJournal(journal, journal.announced)
    for first in (1, 3, 5):
        assert isinstance(await recent.append(batch(first, 2)), Appended)
    for _ in range(4):
        assert await followed(recent) == journal.table.rows
    assert journal.asked == 1
    assert await recent.feed.head() == 6


async def test_whether_there_is_more_is_asked_when_it_is_announced_or_some_time_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who have come to the end do not all look beyond it again and again; what is announced is seen at once."""
    journal = Watched()
    recent = RecentJournal(journal, journal.announced)
    await recent.append(batch(1))
    assert await followed(recent) == journal.table.rows
    await journal.append(batch(2))
    assert [record.position for record in await followed(recent)] == [1]
    journal.told = 2
    assert await followed(recent) == journal.table.rows
    await journal.append(batch(3))
    assert [record.position for record in await followed(recent)] == [1, 2]
    monkeypatch.setattr("adapters.journal_recent.LOOK_SECONDS", 0.0)
    assert await followed(recent) == journal.table.rows


async def test_what_others_append_is_read_once() -> None:
    """Records of another process are fetched by the first who follows, and at hand for the others."""
    journal = Watched()
    recent = RecentJournal(journal, journal.announced)
    await recent.append(batch(1, 2))
    await journal.append(batch(3, 2))
    async with recent.turn() as held:
        await held.append(batch(5))
    assert await followed(recent, limit=10) == journal.table.rows
    journal.asked = 0
    assert await followed(recent, after=1, limit=2) == journal.table.rows[1:]
    assert journal.asked <= 1


async def test_a_record_behind_a_hole_is_never_given_in_its_place() -> None:
    """Where others wrote in between, what was appended here waits for them to be read."""
    journal = Watched()
    recent = RecentJournal(journal, journal.announced)
    await recent.append(batch(1, 2))
    await journal.append(batch(3, 2))
    await recent.append(batch(5, 2))
    assert [record.position for record in await recent.feed.read(2, 10)] == [3, 4, 5, 6]
    assert await followed(recent) == journal.table.rows


async def test_what_is_no_longer_at_hand_is_read_from_the_journal() -> None:
    """Only so many records are kept; who is further behind reads the journal, and that does not disturb the others."""
    journal = Watched()
    recent = RecentJournal(journal, journal.announced, kept=4)
    for first in range(1, 21):
        await recent.append(batch(first))
    assert await followed(recent) == journal.table.rows
    journal.asked = 0
    assert [record.position for record in await recent.feed.read(17, 10)] == [18, 19, 20]
    assert journal.asked == 0


async def test_after_a_failure_nothing_at_hand_is_trusted() -> None:
    """The database that comes back may be another one: a backup of the day before, say."""
    journal = Watched()
    recent = RecentJournal(journal, journal.announced)
    await recent.append(batch(1, 2))
    journal.away = True
    with pytest.raises(JournalUnavailableError):
        await recent.feed.read(2, 10)
    with pytest.raises(JournalUnavailableError):
        await recent.feed.read(0, 10)
    journal.away = False
    assert await followed(recent) == journal.table.rows


async def test_a_conflict_leaves_no_trace() -> None:
    """What was not written is not told."""
    journal = Watched()
    recent = RecentJournal(journal, journal.announced)
    await recent.append(batch(1))
    assert isinstance(await recent.append(batch(1)), Conflict)
    assert [record.position for record in await followed(recent)] == [1]
