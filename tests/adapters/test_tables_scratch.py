"""A replay longer than memory comes to the same rows."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

import pytest

from adapters.tables_scratch import ScratchStore
from domain.listing.offer import Component, Discount
from projections import live_stock
from projections.catalogue import NAMES, PROJECTIONS
from projections.leaderboards import STANDINGS, StandingRow
from projections.live_stock import LIVE_STOCK, StockRow
from projections.memory import MemoryStore
from projections.store import Query, StoreError, Write
from projections.verify import replay_to
from tests.builders import at
from tests.projections.books import WIRE
from tests.projections.evening import Evening
from tests.rehearsal import Rehearsal

_KEPT = ("adapters.tables_scratch._MOVED_ROWS", 2)


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScratchStore]:
    """A store that keeps three rows of a table in memory and moves two at a time to its file."""
    monkeypatch.setattr(*_KEPT)
    store = ScratchStore(kept_rows=3)
    yield store
    store.close()


@pytest.mark.parametrize("seed", range(5))
async def test_a_replay_with_little_memory_has_the_same_digests(scratch: ScratchStore, seed: int) -> None:
    """Rows that went to the file come back when they change, end when they end, and are digested in order."""
    async with Rehearsal().open() as shop:
        evening = Evening(shop, Random(seed))
        await evening.begin()
        await evening.go_on(200)
        ends = dict.fromkeys(NAMES, await shop.journal.head())
        assert await replay_to(shop.journal.read, WIRE, ends, scratch) == await replay_to(shop.journal.read, WIRE, ends)


async def test_rows_come_back_from_the_file_as_they_were(scratch: ScratchStore) -> None:
    """Texts, numbers, instants, nothing, and values within values survive; the newest of a key counts, none is left."""
    both = (scratch, MemoryStore(PROJECTIONS))
    rows = [
        StockRow(
            f"listing-{number}", "stream-é\U0001f600", "SKU", 'a "b"', "EUR", 5, 600, (Component("listing-ü", 2),),
            discounts=(Discount("flash", at(1), at(2) + timedelta(microseconds=5), percent_bps=500, total_limit=9),),
            opens_at=at(number), available=-(2**62), sold_out=True, position=number,
        )
        for number in range(12)
    ]  # fmt: skip
    for count, row in enumerate((*rows, rows[3])):
        changed = LIVE_STOCK.copy(row)
        changed.countdown_seconds = count
        for store in both:
            mark = (await store.marks())["live_stock"]
            write = Write(
                {"live_stock": (mark, mark.position + 1)}, {LIVE_STOCK: [changed]}, {LIVE_STOCK: [("listing-2",)]}
            )
            await store.commit(write)
    keys = [(row.listing_id,) for row in rows]
    found, expected = [await store.load(LIVE_STOCK, keys) for store in both]
    assert found == expected
    assert len(found) == 11
    walked = []
    for store in both:
        async with store.snapshot(live_stock.PROJECTION) as snapshot:
            assert snapshot.position == 13
            chunks = [row async for chunk in snapshot.chunks(LIVE_STOCK) for row in chunk]
            walked.append((chunks, [line async for chunk in snapshot.lines(LIVE_STOCK) for line in chunk]))
    assert walked[0] == walked[1]


async def test_a_key_of_several_columns_keeps_its_order(scratch: ScratchStore) -> None:
    """The file sorts as Python does: by code point."""
    keys = [(stream, "hosts", subject) for stream in ("b", "B", "é", "a-1", "a1") for subject in "zxy"]
    mark = (await scratch.marks())["leaderboards"]
    await scratch.commit(Write({"leaderboards": (mark, 1)}, {STANDINGS: [StandingRow(*key) for key in keys]}))
    async with scratch.snapshot(PROJECTIONS[1]) as snapshot:
        found = [STANDINGS.key_in(row) async for chunk in snapshot.chunks(STANDINGS) for row in chunk]
    assert found == sorted(keys)


async def test_it_cannot_be_asked(scratch: ScratchStore) -> None:
    """It would answer from memory alone."""
    with pytest.raises(StoreError, match="live_stock of a replay can be digested, not asked"):
        await scratch.find(Query(LIVE_STOCK))
