"""Rebuilding a read model beside the live one, while everything goes on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import pytest

from adapters.announce import LocalAnnouncer
from adapters.installation import install
from adapters.journal_memory import MemoryJournal
from adapters.leadership import MemoryLeadership
from adapters.tables_postgres import PostgresStore
from domain.listing.events import ListingWithdrawn
from domain.record import Record
from projections import leaderboards, live_stock
from projections.catalogue import NAMES, PROJECTIONS
from projections.digest import digest, digest_at
from projections.follow import Follower
from projections.live_stock import LIVE_STOCK
from projections.rebuild import rebuild
from projections.store import MarkMovedError, StoreError
from tests.builders import listing_of, open_listing, units_committed, units_reserved
from tests.projections.books import WIRE, journal_of, of, write
from tests.projections.evening import Evening
from tests.rehearsal import Rehearsal

PATIENCE_SECONDS = 10.0
STOCK, BOARDS = live_stock.PROJECTION, leaderboards.PROJECTION


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    """Read models that have seen nothing yet."""
    await asyncio.to_thread(install, database_url)
    store = PostgresStore(database_url)
    await store.open()
    yield store
    await store.close()


def reservations(count: int) -> list[Any]:
    """Units held one after another."""
    return [units_reserved(reservation_id=str(number)) for number in range(count)]


async def damage(store: PostgresStore, statement: str) -> None:
    """Change a read model behind everybody's back."""
    async with store._session() as connection:
        await connection.execute(statement.encode())


async def test_live_and_rebuilt_and_replayed_are_the_same_after_any_evening(store: PostgresStore) -> None:
    """For every read model one digest, however it came to be; the rebuilt one takes over unnoticed."""
    async with Rehearsal().open() as shop:
        evening = Evening(shop, Random(7))
        await evening.begin(most_units=100)
        follower = Follower(shop.journal, WIRE, store, batch=50)
        for steps in (200, 100):
            await evening.go_on(steps)
            head = await follower.catch_up()
            live = await digest(store)
            outcomes = [await rebuild(shop.journal, WIRE, store, each, batch=60) for each in PROJECTIONS]
            assert [outcome.rebuilt for outcome in outcomes] == [outcome.live for outcome in outcomes] == live
            assert await digest(store) == live == await digest_at(shop.journal, WIRE, head)
        assert not await store.parked()


async def test_the_follower_goes_on_while_a_read_model_is_rebuilt(store: PostgresStore) -> None:
    """Records that come meanwhile reach the new tables once; nobody has to stop."""
    journal = await journal_of(*of("listing-1", *open_listing(10_000)))
    announcer = LocalAnnouncer()
    follower = Follower(journal, WIRE, store, batch=20)
    following = asyncio.create_task(follower.run(announcer, MemoryLeadership(), poll_seconds=0.01))

    async def sell() -> None:
        for number in range(200):
            reservation = {"reservation_id": str(number), "buyer_id": f"buyer-{number % 7}"}
            await write(journal, *of("listing-1", units_reserved(**reservation), units_committed(**reservation)))
            announcer.appended(await journal.head())
            await asyncio.sleep(0)

    selling = asyncio.create_task(sell())
    while not selling.done():
        for projection in (STOCK, BOARDS):
            assert (await rebuild(journal, WIRE, store, projection, batch=30)).same
    head = await journal.head()
    assert await follower.wait_for(head, NAMES, PATIENCE_SECONDS)
    assert await digest(store) == await digest_at(journal, WIRE, head)
    following.cancel()
    await asyncio.wait({following})


async def test_a_rebuild_goes_as_far_as_the_live_read_model(store: PostgresStore) -> None:
    """With nobody following, records beyond are left to the follower."""
    journal = await journal_of(*of("listing-1", *listing_of(100)))
    await Follower(journal, WIRE, store).catch_up()
    await write(journal, *of("listing-1", *reservations(50)))
    outcome = await rebuild(journal, WIRE, store, STOCK)
    assert outcome.same
    assert (outcome.live.position, (await store.marks())["live_stock"].position) == (2, 2)


async def test_what_differs_is_said_and_mended(store: PostgresStore) -> None:
    """Keys that are changed, missing or too many are listed, and the follower goes on from the new rows."""
    journal = await journal_of(*[told for n in range(4) for told in of(f"listing-{n}", *listing_of(10))])
    follower = Follower(journal, WIRE, store)
    head = await follower.catch_up()
    await damage(store, "UPDATE views.live_stock SET available = 99 WHERE listing_id = 'listing-1'")
    await damage(store, "DELETE FROM views.live_stock WHERE listing_id = 'listing-2'")
    await damage(store, "UPDATE views.live_stock SET listing_id = 'listing-9' WHERE listing_id = 'listing-3'")
    outcome = await rebuild(journal, WIRE, store, STOCK)
    assert not outcome.same
    assert outcome.differing == tuple(f"live_stock/listing-{n}" for n in (1, 2, 3, 9))
    assert [outcome.rebuilt] == await digest_at(journal, WIRE, head, [STOCK])
    await write(journal, *of("listing-1", units_reserved(quantity=4)))
    await follower.catch_up()
    assert (await store.load(LIVE_STOCK, [("listing-1",)]))[("listing-1",)].available == 6


async def test_a_follower_that_remembers_rows_of_the_old_tables_forgets_them(store: PostgresStore) -> None:
    """Rows at hand when the tables are switched are not written over the new ones."""
    journal = await journal_of(*of("listing-1", *listing_of(10)))
    follower = Follower(journal, WIRE, store)
    announcer = LocalAnnouncer()
    running = asyncio.create_task(follower.run(announcer, MemoryLeadership(), poll_seconds=PATIENCE_SECONDS))
    assert await follower.wait_for(2, NAMES, PATIENCE_SECONDS)
    await damage(store, "UPDATE views.live_stock SET title = 'damaged', available = 99")
    assert not (await rebuild(journal, WIRE, store, STOCK)).same
    await write(journal, *of("listing-1", units_reserved(quantity=1)))
    announcer.appended(3)
    assert await follower.wait_for(3, NAMES, PATIENCE_SECONDS)
    assert (await rebuild(journal, WIRE, store, STOCK)).same
    await write(journal, *of("listing-1", units_reserved(reservation_id="2", quantity=1)))
    announcer.appended(4)
    assert await follower.wait_for(4, NAMES, PATIENCE_SECONDS)
    assert await digest(store) == await digest_at(journal, WIRE, 4)
    running.cancel()
    await asyncio.wait({running})


async def test_a_rebuild_that_was_killed_leaves_the_live_tables_and_can_be_begun_anew(store: PostgresStore) -> None:
    """What it left is dropped by the next one."""
    journal = await journal_of(*of("listing-1", *listing_of(100), *reservations(50)))
    head = await Follower(journal, WIRE, store).catch_up()

    def killed(done: int, _total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(journal, WIRE, store, STOCK, advanced=killed, batch=10)
    assert await digest(store) == await digest_at(journal, WIRE, head)
    heard: list[tuple[int, int]] = []
    outcome = await rebuild(
        journal, WIRE, store, STOCK, advanced=lambda done, total: heard.append((done, total)), batch=10
    )
    assert outcome.same
    assert heard == [(0, 52), (10, 52), (20, 52), (30, 52), (40, 52), (50, 52), (52, 52)]


async def test_of_two_rebuilds_at_once_the_later_takes_over(store: PostgresStore) -> None:
    """The earlier one fails with a word, and the read model is right."""
    journal = await journal_of(*of("listing-1", *listing_of(100), *reservations(50)))
    head = await Follower(journal, WIRE, store).catch_up()
    other: list[Any] = []

    async def first() -> None:
        async with store.beside(STOCK) as beside:
            other.append(await rebuild(journal, WIRE, store, STOCK))
            async with beside.switch() as switch:
                await switch.swap()

    with pytest.raises(StoreError):
        await first()
    assert other[0].same
    assert await digest(store) == await digest_at(journal, WIRE, head)


async def test_what_was_parked_is_tried_again(store: PostgresStore) -> None:
    """A rebuild is the way out of the parking lot: what can be taken in now is no longer parked."""
    journal = await journal_of(*of("listing-1", ListingWithdrawn("lost"), *listing_of(1)))
    follower = Follower(journal, WIRE, store)
    await follower.catch_up()
    await damage(store, "INSERT INTO views.parked VALUES ('live_stock', 3, 'topic', 'once a bug')")
    assert [each.position for each in await follower.parked()] == [1, 3]
    await rebuild(journal, WIRE, store, STOCK)
    assert [each.position for each in await follower.parked()] == [1]


async def test_a_rebuild_does_not_overtake_a_follower_that_was_sent_back(store: PostgresStore) -> None:
    """When the live read model begins anew meanwhile, there is nothing to replace."""

    class SendingBack(MemoryJournal):
        async def read(self, after: int, limit: int) -> Sequence[Record]:
            if limit == 1 and after == 1:
                await damage(store, "UPDATE views.position SET position = 0 WHERE name = 'live_stock'")
            return await super().read(after, limit)

    journal = SendingBack()
    await write(journal, *of("listing-1", *listing_of(9)))
    await Follower(journal, WIRE, store).catch_up()
    with pytest.raises(MarkMovedError):
        await rebuild(journal, WIRE, store, STOCK, batch=1)
    assert (await store.marks())["live_stock"].position == 0
