"""The follower: exactly once in effect, whatever is in the journal and whatever crashes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.announce import LocalAnnouncer
from adapters.installation import install
from adapters.journal_memory import MemoryJournal
from adapters.leadership import MemoryLeadership
from adapters.tables_postgres import PostgresStore
from adapters.tables_writing import write as write_batch
from domain.listing.events import UnitsReleased
from domain.record import Record
from projections import live_stock, orders, payouts
from projections.applying import GapError
from projections.catalogue import NAMES, PROJECTIONS
from projections.digest import digest, digest_at
from projections.follow import Follower
from projections.live_stock import LIVE_STOCK, StockRow
from projections.memory import MemoryStore
from projections.projection import Fact, Projection, change, drop, ensure
from projections.store import StoreUnavailableError, Write
from projections.tables import Key
from tests.builders import (
    line,
    listing_created,
    open_listing,
    order_placed,
    payment_captured,
    units_committed,
    units_reserved,
)
from tests.projections.books import WIRE, Told, journal_of, of, rows, write

PATIENCE_SECONDS = 10.0
UNKNOWN = ("listing.listing_blessed.v1", b"{}")


class KilledError(BaseException):
    """The process is gone."""


class MortalStore(PostgresStore):
    """A store whose process dies, or whose replies get lost, at the given commits."""

    def __init__(self, url: str, **faults: int) -> None:
        super().__init__(url)
        self.faults = {number: fault for fault, number in faults.items()}
        self.commits = 0

    async def commit(self, batch: Write) -> None:
        """Commit, unless something else is due."""
        self.commits += 1
        match self.faults.pop(self.commits, ""):
            case "killed":
                async with self._session() as connection, connection.transaction():
                    await write_batch(connection, batch)
                    raise KilledError
            case "unanswered":
                await super().commit(batch)
                raise StoreUnavailableError("the reply got lost")
            case "unreachable":
                raise StoreUnavailableError("the database is away")
            case _:
                await super().commit(batch)


def purchases(count: int) -> list[Told]:
    """A listing and orders of it, every second one paid."""
    told = of("listing-1", *open_listing(1_000))
    for number in range(count):
        order_id = f"order-{number}"
        told += of("listing-1", units_reserved(reservation_id=f"{order_id}:1", order_id=order_id))
        told += of(order_id, order_placed(line(quantity=number + 1)))
        told += of(order_id, payment_captured()) if number % 2 else []
    return told


class LateStore(MemoryStore):
    """A store that takes its time: meanwhile the next batch is read, its rows are looked up, and it is folded."""

    async def commit(self, write: Write) -> None:
        """Commit after everybody else has had a hundred turns."""
        for _ in range(100):
            await asyncio.sleep(0)
        await super().commit(write)


@pytest.fixture
async def url(database_url: str) -> str:
    """A database that holds nothing yet."""
    await asyncio.to_thread(install, database_url)
    return database_url


@pytest.fixture
async def running() -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Tasks that end with the test."""
    tasks: list[asyncio.Task[Any]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def opened(store: PostgresStore) -> PostgresStore:
    """A store that is connected."""
    await store.open()
    return store


async def test_a_process_killed_inside_a_transaction_leaves_nothing_and_the_next_goes_on(url: str) -> None:
    """Rows and marks are those of the batch before; the next process goes on from there to what the journal says."""
    journal = await journal_of(*purchases(40))
    mortal = await opened(MortalStore(url, killed=3))
    with pytest.raises(KilledError):
        await Follower(journal, WIRE, mortal, batch=10).catch_up()
    assert {mark.position for mark in (await mortal.marks()).values()} == {20}
    assert await digest(mortal) == await digest_at(journal, WIRE, 20)
    await mortal.close()
    heir = await opened(PostgresStore(url))
    head = await Follower(journal, WIRE, heir, batch=10).catch_up()
    assert await digest(heir) == await digest_at(journal, WIRE, head)
    await heir.close()


async def test_a_lost_reply_and_an_outage_lose_and_double_nothing(url: str, running: list[Any]) -> None:
    """A commit that stands though its reply got lost is not done again; one that failed is."""
    journal = await journal_of(*purchases(40))
    store = MortalStore(url, unanswered=2, unreachable=4)
    await store.open()
    follower = Follower(journal, WIRE, store, batch=10)
    running.append(asyncio.create_task(follower.run(LocalAnnouncer(), MemoryLeadership())))
    head = await journal.head()
    assert await follower.wait_for(head, NAMES, PATIENCE_SECONDS)
    assert not store.faults
    assert await digest(store) == await digest_at(journal, WIRE, head)
    running.pop().cancel()
    await store.close()


async def test_two_that_both_think_they_lead_do_everything_once(url: str, running: list[Any]) -> None:
    """A mark moves only from where it was seen, so a leader that was cut off changes nothing."""
    journal = await journal_of(*purchases(60))
    store, rival = await opened(PostgresStore(url)), await opened(PostgresStore(url))
    followers = [Follower(journal, WIRE, each, batch=7) for each in (store, rival)]
    running += [asyncio.create_task(each.run(LocalAnnouncer(), MemoryLeadership())) for each in followers]
    head = await journal.head()
    for follower in followers:
        assert await follower.wait_for(head, NAMES, PATIENCE_SECONDS)
    assert await digest(store) == await digest_at(journal, WIRE, head)
    assert not await store.parked()
    await asyncio.gather(*(_ended(task) for task in running))
    await asyncio.gather(store.close(), rival.close())


async def _ended(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_a_record_nobody_can_read_is_parked_and_the_show_goes_on() -> None:
    """Every projection names it, with its topic and why; the records around it are taken in."""
    journal = await journal_of(*of("listing-1", *open_listing(5), UNKNOWN, units_reserved(quantity=2)))
    store = MemoryStore()
    follower = Follower(journal, WIRE, store)
    await follower.catch_up()
    parked = await follower.parked()
    assert [(each.projection, each.position, each.topic) for each in parked] == [
        (name, 6, UNKNOWN[0]) for name in sorted(NAMES)
    ]
    assert "is unknown" in parked[0].error
    assert (await rows(store, LIVE_STOCK))[("listing-1",)].available == 3


async def test_a_record_whose_fold_fails_leaves_no_trace_in_any_row() -> None:
    """What it had changed before it failed is undone; others of the same batch on the same row stand."""

    def half_done(row: Any, _: Fact, event: Any) -> None:
        row.reserved += event.quantity
        if event.quantity == 13:
            raise ArithmeticError("unlucky")

    handlers = {**live_stock.PROJECTION.handlers, type(units_reserved()): change(LIVE_STOCK, half_done)}
    projection = Projection("live_stock", (LIVE_STOCK,), handlers)
    reserved = [units_reserved(reservation_id=str(n), quantity=n) for n in (1, 13, 2)]
    journal = await journal_of(*of("listing-1", *open_listing(50), *reserved))
    store = MemoryStore([projection])
    await Follower(journal, WIRE, store, [projection]).catch_up()
    [parked] = await store.parked()
    assert (parked.position, parked.error) == (7, "ArithmeticError: unlucky")
    assert (await rows(store, LIVE_STOCK))[("listing-1",)].reserved == 3


async def test_an_event_of_a_row_that_was_never_begun_is_parked() -> None:
    """A fold never makes rows up: the error says what is missing."""
    store = MemoryStore()
    await Follower(await journal_of(*of("listing-9", units_reserved())), WIRE, store).catch_up()
    [parked] = await store.parked()
    assert parked.error == "MissingRowError: there is no row listing-9 in live_stock to change"


@pytest.mark.parametrize("batch", [2, 4, 5_000])
@pytest.mark.parametrize(
    ("name", "refused"),
    [
        pytest.param("live_stock", ("listing-bad", listing_created(title="bad\0title")), id="a row"),
        pytest.param("leaderboards", ("listing-1", units_committed(buyer_id="bad\0buyer")), id="a key"),
    ],
)
async def test_data_that_the_database_refuses_is_parked_alone(url: str, name: str, refused: Told, batch: int) -> None:
    """The record is found by halving, for the projection that stores it; live and replayed park the same.

    What was folded over it meanwhile is folded again.
    """
    told = purchases(20)
    told[10:10] = [refused]
    journal = await journal_of(*told)
    store = await opened(PostgresStore(url))
    head = await Follower(journal, WIRE, store, batch=batch).catch_up()
    assert [(each.projection, each.position) for each in await store.parked()] == [(name, 11)]
    assert await digest(store) == await digest_at(journal, WIRE, head)
    await store.close()


async def test_a_new_projection_catches_up_beside_the_others_and_then_goes_with_them(url: str) -> None:
    """It is not skipped ahead, and it gets every record once."""
    journal = await journal_of(*purchases(10))
    old = (orders.PROJECTION, payouts.PROJECTION)
    store = await opened(PostgresStore(url))
    await Follower(journal, WIRE, store, old).catch_up()
    await write(journal, *of("order-0", payment_captured()))
    head = await Follower(journal, WIRE, store, batch=4).catch_up()
    assert {mark.position for mark in (await store.marks()).values()} == {head}
    assert await digest(store) == await digest_at(journal, WIRE, head)
    await store.close()


async def test_rows_put_and_changed_and_dropped_in_one_batch_come_to_their_last_state() -> None:
    """The size of batches makes no difference, nor how many rows are remembered, nor how long writing takes."""
    journal = await journal_of(*purchases(30))
    head = await journal.head()
    expected = await digest_at(journal, WIRE, head)
    for batch, cached_rows in ((1, 0), (3, 2), (17, 50_000), (5_000, 1)):
        for store in (MemoryStore(), LateStore()):
            await Follower(journal, WIRE, store, batch=batch, cached_rows=cached_rows).catch_up()
            assert await digest(store) == expected


async def test_a_row_that_is_still_being_dropped_is_gone_for_the_next_batch() -> None:
    """What the store still has of it is not taken for what there is."""
    created, dropped, begun_anew = listing_created(), units_reserved(), UnitsReleased("order-1:1", 1, "cancelled")

    def begun(key: Key, _: Fact, __: object) -> StockRow:
        return StockRow(key[0], "stream-1", "sku", "title", "EUR", 7, 300, ())

    def discounted(row: StockRow, _: Fact, __: object) -> None:
        row.price_minor -= 1

    handlers = {
        type(created): live_stock.PROJECTION.handlers[type(created)],
        type(dropped): drop(LIVE_STOCK),
        type(begun_anew): ensure(LIVE_STOCK, begun, discounted),
    }
    projection = Projection("live_stock", (LIVE_STOCK,), handlers)
    journal = await journal_of(*of("listing-1", created, dropped, begun_anew))
    store = LateStore([projection])
    await Follower(journal, WIRE, store, [projection], batch=1, cached_rows=0).catch_up()
    assert (await rows(store, LIVE_STOCK))[("listing-1",)].price_minor == 6


async def test_whoever_waits_for_a_position_is_woken_when_it_is_there(running: list[Any]) -> None:
    """A wake-up brings the follower, and the follower those who wait; also for those who do not follow themselves."""
    journal, store, announcer = MemoryJournal(), MemoryStore(), LocalAnnouncer()
    follower, onlooker = Follower(journal, WIRE, store), Follower(journal, WIRE, store)
    running.append(asyncio.create_task(follower.run(announcer, MemoryLeadership(), poll_seconds=PATIENCE_SECONDS)))
    waiting = [asyncio.create_task(each.wait_for(5, NAMES, PATIENCE_SECONDS)) for each in (follower, onlooker)]
    await write(journal, *of("listing-1", *open_listing(5)))
    announcer.appended(5)
    assert await asyncio.gather(*waiting) == [True, True]
    assert await follower.lag() == dict.fromkeys(NAMES, 0)


async def test_waiting_for_what_does_not_come_ends() -> None:
    """After the time that was given the answer is no."""
    follower = Follower(await journal_of(*of("listing-1", *open_listing(5))), WIRE, MemoryStore())
    await follower.catch_up()
    assert not await follower.wait_for(6, NAMES, 0.05)
    assert await follower.wait_for(5, ["orders"], 0.0)
    assert await follower.positions() == dict.fromkeys(NAMES, 5)


async def test_a_gap_in_the_journal_stops_the_follower() -> None:
    """A missing record is an alarm, and nothing after it is taken in."""

    class Torn(MemoryJournal):
        async def read(self, after: int, limit: int) -> Sequence[Record]:
            return [record for record in await super().read(after, limit) if record.position != 4]

    journal, store = Torn(), MemoryStore()
    await write(journal, *of("listing-1", *open_listing(5)))
    with pytest.raises(GapError):
        await Follower(journal, WIRE, store).catch_up()
    assert {mark.position for mark in (await store.marks()).values()} == {0}


async def test_a_follower_that_is_cancelled_while_it_drops_a_reading_ends() -> None:
    """The end of a reading that nobody will ask for is not mistaken for its own."""
    reading, dropped, forever = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(MemoryJournal):
        async def read(self, after: int, limit: int) -> Sequence[Record]:
            if after < 2:
                return await super().read(after, limit)
            reading.set()
            try:
                await forever.wait()
            finally:
                dropped.set()
                await forever.wait()
            return []

    class Elsewhere(MemoryStore):
        async def commit(self, batch: Write) -> None:
            del batch
            await reading.wait()
            raise StoreUnavailableError("the database is away")

    journal = Slow()
    await write(journal, *of("listing-1", *open_listing(5)))
    following = asyncio.create_task(Follower(journal, WIRE, Elsewhere(), batch=1).catch_up())
    await dropped.wait()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    forever.set()


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_follower_that_ends_leaves_nothing_behind(cancellations: int) -> None:
    """A batch on its way is called off before the lead is let go, and so is a reading, however often it is told."""
    reading, writing, rolled_back, told = asyncio.Event(), asyncio.Event(), asyncio.Event(), list[str]()

    class Stuck(MemoryJournal):
        async def read(self, after: int, limit: int) -> Sequence[Record]:
            if after:
                reading.set()
                await asyncio.Event().wait()
            return await super().read(after, limit)

    class Slow(MemoryStore):
        async def commit(self, batch: Write) -> None:
            del batch
            writing.set()
            try:
                await asyncio.Event().wait()
            finally:
                try:
                    await rolled_back.wait()
                finally:
                    told.append("called off")

    class Lead(MemoryLeadership):
        @asynccontextmanager
        async def lead(self, name: str) -> AsyncIterator[None]:
            async with super().lead(name):
                try:
                    yield
                finally:
                    told.append("let go")

    journal = Stuck()
    await write(journal, *of("listing-1", *open_listing(5)))
    following = asyncio.create_task(Follower(journal, WIRE, Slow(), batch=2).run(LocalAnnouncer(), Lead()))
    await asyncio.gather(reading.wait(), writing.wait())
    for _ in range(cancellations):
        following.cancel()
        await asyncio.sleep(0)
    rolled_back.set()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert told == ["called off", "let go"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_tables_that_no_longer_fit_are_filled_anew(url: str) -> None:
    """A read model whose columns were changed begins at 0 when the store is opened; the others go on."""
    journal = await journal_of(*purchases(4))
    store = await opened(PostgresStore(url))
    head = await Follower(journal, WIRE, store).catch_up()
    async with store._session() as connection:
        await connection.execute("ALTER TABLE views.orders DROP COLUMN units")
    await store.close()
    store = await opened(PostgresStore(url))
    marks = await store.marks()
    assert (marks["orders"].position, marks["live_stock"].position) == (0, head)
    await Follower(journal, WIRE, store).catch_up()
    assert await digest(store) == await digest_at(journal, WIRE, head)
    await store.close()


def test_every_projection_has_a_name_and_tables_of_its_own() -> None:
    """Names are what marks and tables are kept under."""
    tables = [table.name for each in PROJECTIONS for table in each.tables]
    assert len(set(tables)) == len(tables)
    assert all(table.owner == each.name for each in PROJECTIONS for table in each.tables)
