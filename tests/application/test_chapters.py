"""Long histories start from chapters; and whatever becomes of chapters, the journal is what counts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve

from adapters.chapters import ListingChapters
from adapters.journal_memory import MemoryJournal
from adapters.snapshots_memory import MemorySnapshots
from adapters.wire import JsonWire
from application import chapters as chapters_module
from application import histories as histories_module
from application.chapters import Chapters
from application.ports import (
    Draft,
    JournalRejectedError,
    JournalUnavailableError,
    Limits,
    Snapshot,
)
from application.proofreading import Proof, Proofreader, Wrong
from domain.listing import LISTING as LISTING_DECIDER
from domain.listing.state import Listing
from domain.record import Record
from projections.verify import verify
from tests.adapters.test_chapters import plain
from tests.rehearsal import LISTING, Rehearsal

EVERY = 10


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dozen orders are a long history here."""
    monkeypatch.setattr(histories_module, "PAGE", 7)
    monkeypatch.setattr(histories_module, "SLICE", 3)
    monkeypatch.setattr(chapters_module, "AT_A_TIME", 2)
    monkeypatch.setattr(chapters_module, "RETRY_SECONDS", 0.01)


class Kept(MemorySnapshots):
    """Snapshots that say what was asked of them, and fail as told."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__()
        self.faults = list(faults)
        self.away = False
        self.reads = 0
        self.written: list[Snapshot] = []

    @property
    def versions(self) -> list[int]:
        """Where chapters of the listing end."""
        return sorted(version for history_id, version in self.rows if history_id == LISTING)

    async def write(self, snapshot: Snapshot) -> None:
        """Write, or fail."""
        if self.faults:
            raise self.faults.pop(0)
        self.written.append(snapshot)
        await super().write(snapshot)

    async def read(self, history_id: str, topic: str, after: int, limit: int) -> Sequence[Snapshot]:
        """Read, or fail."""
        self.reads += 1
        if self.away:
            raise JournalUnavailableError("the database is away")
        return await super().read(history_id, topic, after, limit)


class WatchedJournal(MemoryJournal):
    """A journal that says after which versions of the listing it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[int] = []

    async def load(self, tails: Mapping[str, int], limit: int | None = None) -> Sequence[Record]:
        """Note it."""
        self.after += [version for history_id, version in tails.items() if history_id == LISTING]
        return await super().load(tails, limit)


def shop_on(journal: MemoryJournal, snapshots: MemorySnapshots, name: str = "till-1", **facts: Any) -> Rehearsal:
    """A shop that writes chapters."""
    chapters = Chapters(snapshots, {"listing": ListingChapters()}, EVERY)
    return Rehearsal(journal=journal, name=name, chapters=chapters, **facts)


async def sell(shop: Rehearsal, first: int, last: int) -> None:
    """Sell to many at once; each second of them pays, the holds of the others run out some calls later."""
    await asyncio.gather(*(shop.order(f"order-{n}", buyer=f"buyer-{n % 7}") for n in range(first, last)))
    await asyncio.gather(*(shop.pay(f"order-{n}") for n in range(first, last, 2)))
    shop.clock.advance(60)
    await settled()


async def settled() -> None:
    """Let everything be written that was passed."""
    await asyncio.sleep(0.05)


async def opened(journal: MemoryJournal, snapshots: MemorySnapshots, units: int = 1000, name: str = "till-1") -> None:
    """Put a show with a listing and a past into a journal."""
    async with shop_on(journal, snapshots, name).open() as shop:
        await shop.go_live()
        await shop.offer(units)
        await sell(shop, 0, 30)


def copied(journal: MemoryJournal, upto: int) -> MemoryJournal:
    """Return the journal as it was at a position: a database that was restored."""
    restored = MemoryJournal()
    rows = journal.table.rows[:upto]
    restored.table.insert(
        [Draft(row.history_id, row.version, row.topic, row.state, row.metadata, row.command_id) for row in rows]
    )
    restored.table.commit()
    return restored


async def folded(journal: MemoryJournal, upto: int | None = None) -> Listing:
    """Return the listing as all its records make it."""
    wire = Rehearsal().wire
    records = [each for each in await journal.load({LISTING: 0}) if upto is None or each.version <= upto]
    return LISTING_DECIDER.fold(wire.decode(each.topic, each.state) for each in records)


async def proofread(journal: MemoryJournal, chapters: Chapters) -> Proof:
    """Have the chapters compared beside a verification of the journal."""
    proofreader = Proofreader(journal, chapters)
    assert (await verify(journal, JsonWire(), proofreader=proofreader)).breach is None
    return await proofreader.finish()


async def started(journal: MemoryJournal, snapshots: MemorySnapshots) -> Listing:
    """Return the listing as a till knows it that has just started; and have it written what it passes."""
    async with shop_on(journal, snapshots, "started").open() as shop:
        listing: Listing = await shop.state(LISTING)
        await settled()
        return listing


async def test_a_start_reads_the_chapters_and_the_few_records_after() -> None:
    """Nothing between the first page, by which a long history is known, and the end of the last chapter."""
    journal, snapshots = WatchedJournal(), Kept()
    await opened(journal, snapshots)
    head = len(await journal.load({LISTING: 0}))
    assert snapshots.versions == list(range(EVERY, head, EVERY))
    journal.after.clear()
    listing = await started(journal, snapshots)
    assert journal.after[0] == 0
    assert min(journal.after[1:]) == snapshots.versions[-1]
    assert plain(listing) == plain(await folded(journal))


async def test_a_shop_sells_on_from_chapters() -> None:
    """Days of restarts: each time the listing is what its records say, and the last unit is not sold twice."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots, units=100)
    for day in range(1, 6):
        async with shop_on(journal, snapshots, f"till-{day}").open() as shop:
            await sell(shop, 40 * day, 40 * day + 40)
            assert plain(await shop.state(LISTING)) == plain(await folded(journal))
    listing = await folded(journal)
    assert listing.units.conserved
    assert listing.units.allotted == 100
    assert len(snapshots.written) == len(snapshots.versions), "each chapter is written once"


async def test_two_tills_write_the_same_chapters() -> None:
    """Byte by byte, though they meet on every record."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    async with shop_on(journal, snapshots, "a").open() as a, shop_on(journal, snapshots, "b").open() as b:
        for n in range(100, 160):
            await (a if n % 3 else b).order(f"order-{n}", buyer=f"buyer-{n % 7}")
        await settled()
    by_version: dict[int, set[bytes]] = {}
    for each in snapshots.written:
        by_version.setdefault(each.version, set()).add(each.state)
    assert [len(states) for states in by_version.values()] == [1] * len(by_version)
    assert len(snapshots.written) > len(by_version), "some were written by both"
    assert plain(await started(journal, snapshots)) == plain(await folded(journal))


Harm = Callable[[Kept], None]


def _without(version: int) -> Harm:
    def harm(snapshots: Kept) -> None:
        del snapshots.rows[LISTING, version]

    return harm


def _torn(snapshots: Kept) -> None:
    row = snapshots.rows[LISTING, 30]
    snapshots.rows[LISTING, 30] = evolve(row, state=row.state[:-7])


def _of_another(snapshots: Kept) -> None:
    snapshots.rows[LISTING, 30] = evolve(snapshots.rows[LISTING, 20], version=30)


def _of_another_shape(snapshots: Kept) -> None:
    for key, row in snapshots.rows.items():
        snapshots.rows[key] = evolve(row, topic="listing.chapter.v0.10", state=b"something else")


def _at_a_wrong_version(snapshots: Kept) -> None:
    snapshots.rows[LISTING, 25] = evolve(snapshots.rows[LISTING, 20], version=25)


@pytest.mark.parametrize(
    "harm",
    [_without(10), _without(30), _torn, _of_another, _of_another_shape, _at_a_wrong_version, lambda s: s.rows.clear()],
)
async def test_what_is_wrong_with_chapters_is_made_good_from_the_journal(harm: Harm) -> None:
    """A chapter that is missing, torn, of another version or shape: the records are folded, it is written anew."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    whole = {version: snapshots.rows[LISTING, version] for version in snapshots.versions}
    harm(snapshots)
    assert plain(await started(journal, snapshots)) == plain(await folded(journal))
    assert {version: snapshots.rows[LISTING, version] for version in whole} == whole


async def test_chapters_do_not_outlive_a_journal_that_was_set_back() -> None:
    """Those behind the cut belong to records that never were; those before it still count."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    cut = next(row for row in await journal.load({LISTING: 0}) if row.version == 24)
    restored = copied(journal, cut.position + 1)  # the order it belongs to comes after it
    assert plain(await started(restored, snapshots)) == plain(await folded(restored))
    async with shop_on(restored, snapshots, "again").open() as shop:
        await sell(shop, 500, 540)
        assert plain(await shop.state(LISTING)) == plain(await folded(restored))
    assert plain(await started(restored, snapshots)) == plain(await folded(restored))
    proof = await proofread(restored, shop.chapters)
    assert not proof.wrong
    assert proof.chapters > 2


async def test_a_diverged_journal_of_the_same_length_is_told_apart() -> None:
    """Same versions, same kinds of records: only what is in them tells."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    twin = MemoryJournal()
    await opened(twin, Kept(), name="other")
    async with shop_on(twin, Kept(), "third").open() as shop:
        await sell(shop, 700, 760)
    other = MemorySnapshots()
    other.rows = dict(snapshots.rows)
    assert plain(await started(twin, other)) == plain(await folded(twin))
    proof = await proofread(twin, Chapters(snapshots, {"listing": ListingChapters()}, EVERY))
    assert {each.found for each in proof.wrong} == {"the journal says something else"}


async def test_a_database_that_is_away_is_waited_for() -> None:
    """The shop sells on, and no chapter is left out."""
    journal, snapshots = MemoryJournal(), Kept(*[JournalUnavailableError("away")] * 3)
    async with shop_on(journal, snapshots).open() as shop:
        await shop.go_live()
        await shop.offer(1000)
        await sell(shop, 0, 30)
        await sell(shop, 30, 60)
        assert shop.chapters.counts.failures == 3
    assert plain(await started(journal, snapshots)) == plain(await folded(journal))
    assert snapshots.versions[0] == EVERY


@pytest.mark.parametrize("fault", [JournalRejectedError("no such table"), ValueError("a surprise")])
async def test_a_chapter_that_cannot_be_written_harms_nobody(fault: Exception) -> None:
    """It is noted and left to the next start."""
    journal, snapshots = MemoryJournal(), Kept(fault)
    await opened(journal, snapshots)
    assert EVERY not in snapshots.versions
    assert plain(await started(journal, snapshots)) == plain(await folded(journal))
    assert snapshots.versions[0] == EVERY


async def test_chapters_that_cannot_be_read_are_done_without() -> None:
    """The journal has it all."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    snapshots.away = True
    assert plain(await started(journal, snapshots)) == plain(await folded(journal))


async def test_many_who_need_a_long_history_share_one_start() -> None:
    """A thousand viewers after a restart are one reading of the chapters."""
    journal, snapshots = WatchedJournal(), Kept()
    await opened(journal, snapshots)
    shop, snapshots.reads = shop_on(journal, snapshots, "started"), 0
    await shop.state(LISTING)
    alone, snapshots.reads = snapshots.reads, 0
    crowd = shop_on(journal, snapshots, "crowd")
    seen = await asyncio.gather(*(crowd.state(LISTING) for _ in range(50)))
    assert snapshots.reads == alone
    assert all(each.units == seen[0].units for each in seen)


async def test_a_start_keeps_nobody_off_the_loop() -> None:
    """Others get their turn every few records, and between two chapters."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    for rows in (snapshots.rows, {}):
        snapshots.rows, turns = rows, 0
        start = asyncio.create_task(shop_on(journal, snapshots, "started").state(LISTING))
        while not start.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > len(await journal.load({LISTING: 0})) / EVERY


async def test_a_long_history_as_of_any_version_and_position() -> None:
    """What was true then, from the chapters before it and the records in between."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    shop = shop_on(journal, snapshots, "started")
    for record in await journal.load({LISTING: 0}):
        then = plain(await folded(journal, record.version))
        at_version = await shop.till.histories.at_version(journal, LISTING, record.version)
        at_position = await shop.till.histories.at_position(journal, LISTING, record.position)
        assert (plain(at_version.state), at_version.version) == (then, record.version)
        assert (plain(at_position.state), at_position.version) == (then, record.version)


async def test_what_falls_out_of_memory_starts_again_from_chapters() -> None:
    """A till that can remember next to nothing writes the same chapters."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    async with shop_on(journal, snapshots, "forgetful", limits=Limits(cached_histories=2)).open() as shop:
        for n in range(100, 150):
            await shop.order(f"order-{n}", buyer=f"buyer-{n % 7}")
        await settled()
    proof = await proofread(journal, shop.chapters)
    assert not proof.wrong
    assert plain(await started(journal, snapshots)) == plain(await folded(journal))


async def test_short_histories_have_no_chapters() -> None:
    """Orders and shows are never long, and chapters are for what is."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    assert {history_id for history_id, _ in snapshots.rows} == {LISTING}
    assert await shop_on(journal, MemorySnapshots()).chapters.histories() == []
    assert await Rehearsal().chapters.histories() == []


async def test_a_chapter_that_was_tampered_with_is_found() -> None:
    """Well written, with the right bond, and wrong; or for a version at which none ends, or that never was."""
    journal, snapshots = MemoryJournal(), Kept()
    await opened(journal, snapshots)
    shop = shop_on(journal, snapshots)
    assert (await proofread(journal, shop.chapters)).wrong == ()
    binding, last = ListingChapters(), snapshots.versions[-1]
    row = snapshots.rows[LISTING, 20]
    before, now = await folded(journal, 10), await folded(journal, 20)
    richer = evolve(now, units=now.units.allot(5))
    snapshots.rows[LISTING, 20] = evolve(row, state=binding.bind(before, richer, binding.open(row.state).bond))
    for version in (25, last + EVERY):
        snapshots.rows[LISTING, version] = evolve(row, version=version)
    proof = await proofread(journal, shop.chapters)
    assert proof.wrong == (
        Wrong(LISTING, 20, "the journal says something else"),
        Wrong(LISTING, 25, "no chapter ends here"),
        Wrong(LISTING, last + EVERY, "the journal has not come to its end"),
    )
    assert proof.chapters == len(snapshots.rows)
