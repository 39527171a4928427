"""What every store of read models promises, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from adapters.installation import install
from adapters.tables_postgres import PostgresStore
from domain.listing.offer import Component, Discount
from projections import deadlines, leaderboards, live_stock, orders
from projections.bookmarks import StoreBookmarks, StoreParking
from projections.deadlines import DEADLINES, DeadlineRow
from projections.leaderboards import AUDIENCES, STANDINGS, AudienceRow, StandingRow
from projections.live_stock import LIVE_STOCK, StockRow
from projections.memory import MemoryStore
from projections.orders import ORDERS, OrderRow
from projections.store import Mark, MarkMovedError, Parked, Query, RowsRefusedError, Write
from tests.builders import at

CHOSEN = (live_stock.PROJECTION, leaderboards.PROJECTION, orders.PROJECTION, deadlines.PROJECTION)


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemoryStore(CHOSEN)
        return
    url = request.getfixturevalue("database_url")
    await asyncio.to_thread(install, url)
    postgres = PostgresStore(url, CHOSEN)
    await postgres.open()
    yield postgres
    await postgres.close()


def stock(listing_id: str, stream_id: str = "stream-1", **facts: Any) -> StockRow:
    """A listing's row."""
    return StockRow(listing_id, stream_id, "SKU", "Red scarf", "EUR", 1999, 600, facts.pop("components", ()), **facts)


def order(order_id: str, stream_id: str = "stream-1", **facts: Any) -> OrderRow:
    """An order's row."""
    placed = ("buyer-1", "host-1", "placed", "placed", "EUR", 1, 1, 1999, at(60))
    return OrderRow(order_id, stream_id, *placed, **facts)


async def put(store: Any, table: Any, *rows: Any, drops: Any = ()) -> None:
    """Write rows of one table and move its mark by one."""
    mark = (await store.marks())[table.owner]
    moves = {table.owner: (mark, mark.position + 1)}
    await store.commit(Write(moves, {table: rows} if rows else {}, {table: drops} if drops else {}))


async def ids(store: Any, query: Query[Any]) -> list[Any]:
    """The first key column of what a query finds."""
    return [query.table.key_of(row)[0] for row in (await store.find(query)).rows]


async def test_a_row_comes_back_as_it_was_put(store: Any) -> None:
    """Texts, numbers, flags, instants to the microsecond, nothing, and values within values survive."""
    moment = datetime(2026, 3, 7, 20, 0, 0, 123_457, tzinfo=UTC)
    row = stock(
        "listing-1",
        components=(Component("listing-ü", 2),),
        discounts=(Discount("flash", moment, moment + timedelta(hours=1), percent_bps=500, total_limit=9),),
        available=-(2**62),
        sold_out=True,
        purchase_limit=None,
        opens_at=moment,
        position=2**40,
    )
    await put(store, LIVE_STOCK, row)
    assert await store.load(LIVE_STOCK, [("listing-1",), ("listing-2",)]) == {("listing-1",): row}


async def test_a_row_that_is_put_again_is_replaced_and_one_that_is_dropped_is_gone(store: Any) -> None:
    """A key has one row at most, the last that was put."""
    await put(store, ORDERS, order("order-1"), order("order-2"))
    await put(store, ORDERS, order("order-1", captured_minor=1999), drops=[("order-2",), ("order-3",)])
    keys = [("order-1",), ("order-2",)]
    assert await store.load(ORDERS, keys) == {("order-1",): order("order-1", captured_minor=1999)}


async def test_rows_and_marks_move_together(store: Any) -> None:
    """A batch over two tables and two projections is seen with both marks at their new positions."""
    write = Write(
        {"leaderboards": (Mark(), 7), "orders": (Mark(), 9)},
        {AUDIENCES: [AudienceRow("stream-1", 5, 7)], ORDERS: [order("order-1")]},
    )
    await store.commit(write)
    marks = await store.marks()
    assert (marks["leaderboards"].position, marks["orders"].position, marks["live_stock"].position) == (7, 9, 0)
    assert (await store.find(Query(ORDERS))).position == 9
    assert (await store.find(Query(STANDINGS))).position == 7


async def test_a_mark_moves_only_from_where_it_was_seen(store: Any) -> None:
    """Whoever writes after another did changes nothing, neither rows nor other marks."""
    await put(store, ORDERS, order("order-1"))
    late = Write({"live_stock": (Mark(), 5), "orders": (Mark(), 5)}, {ORDERS: [order("order-2")]})
    with pytest.raises(MarkMovedError):
        await store.commit(late)
    with pytest.raises(MarkMovedError):
        await store.commit(Write({"orders": (Mark(1, 8), 5)}))
    assert await ids(store, Query(ORDERS)) == ["order-1"]
    assert {mark.position for name, mark in (await store.marks()).items() if name != "orders"} == {0}


@pytest.mark.parametrize(
    "row",
    [
        order("order-\0"),
        order("order-2", captured_minor=2**63),
        order("order-2", reason="\ud800"),
        stock("listing-1", components=(Component("listing-\0", 1),)),
    ],
)
async def test_what_cannot_be_stored_is_refused_whole(store: Any, row: Any) -> None:
    """A zero byte, half a character or a number beyond 64 bits takes its whole batch along; all stores agree."""
    table: Any = ORDERS if isinstance(row, OrderRow) else LIVE_STOCK
    good = order("good") if table is ORDERS else stock("good")
    with pytest.raises(RowsRefusedError):
        await put(store, table, good, row)
    assert (await store.find(Query(table))).rows == []
    assert (await store.marks())[table.owner] == Mark()


async def test_rows_are_found_by_what_they_equal_in_the_order_of_the_key(store: Any) -> None:
    """Keys sort by code point, as Python sorts."""
    await put(store, ORDERS, *[order(each) for each in ("b", "B", "a-1", "é", "a1", "Z")], order("c", "stream-2"))
    assert await ids(store, Query(ORDERS, {"stream_id": "stream-1"})) == sorted(["b", "B", "a-1", "é", "a1", "Z"])


async def test_rows_are_found_sorted_from_an_offset_up_to_a_limit(store: Any) -> None:
    """Descending and ascending columns mix."""
    scores = {"ann": (5, 1), "bob": (7, 2), "cat": (5, 3), "dan": (7, 1)}
    rows = [StandingRow("s", "buyers", name, units, reached) for name, (units, reached) in scores.items()]
    await put(store, STANDINGS, *rows, StandingRow("s", "hosts", "eve", 99, 1))
    query = Query(STANDINGS, {"board": "buyers"}, order=("-units", "units_reached"), offset=1, limit=2)
    assert [row.subject_id for row in (await store.find(query)).rows] == ["bob", "ann"]


async def test_rows_are_found_up_to_an_instant(store: Any) -> None:
    """The bound itself belongs to what is found."""
    await put(store, DEADLINES, *[DeadlineRow(f"order-{n}", "expire_order", at(n)) for n in range(4)])
    query = Query(DEADLINES, at_most={"due_at": at(2)}, order=("due_at",))
    assert await ids(store, query) == ["order-0", "order-1", "order-2"]


async def test_pages_go_on_after_a_key(store: Any) -> None:
    """Paging sees every row once, also with a key of several columns."""
    keys = [(stream, "hosts", subject) for stream in "ab" for subject in "xyz"]
    await put(store, STANDINGS, *[StandingRow(*key) for key in keys])
    seen: list[Any] = []
    while page := (await store.find(Query(STANDINGS, after=seen[-1] if seen else None, limit=4))).rows:
        seen += [STANDINGS.key_of(row) for row in page]
    assert seen == keys


async def test_an_empty_answer_still_tells_its_position(store: Any) -> None:
    """Nothing at position 1 is an answer, too."""
    await put(store, ORDERS)
    found = await store.find(Query(ORDERS, {"buyer_id": "nobody"}))
    assert (found.position, found.rows) == (1, [])


async def test_a_snapshot_does_not_see_what_is_written_meanwhile(store: Any) -> None:
    """Rows and position stay those of the moment it was taken."""
    await put(store, ORDERS, order("order-2"), order("order-1"))
    async with store.snapshot(orders.PROJECTION) as snapshot:
        await put(store, ORDERS, order("order-3"), order("order-1", captured_minor=1))
        rows = [OrderRow(*each) async for chunk in snapshot.chunks(ORDERS) for each in chunk]
        assert (snapshot.position, rows) == (1, [order("order-1"), order("order-2")])


async def test_parked_records_are_listed_once(store: Any) -> None:
    """Parked with a batch or alone, whatever the error's text holds; the last error stands."""
    first = Parked("orders", 4, "topic", "first")
    await store.commit(Write({"orders": (Mark(), 4)}, parked=[first]))
    await StoreParking(store).park("reactions", 3, "topic\0", "bad\0")
    await StoreParking(store).park("reactions", 3, "topic\0", "worse")
    parked = [(each.projection, each.position, each.error) for each in await store.parked()]
    assert parked == [("orders", 4, "first"), ("reactions", 3, "worse")]


async def test_what_has_no_position_is_parked_by_its_topic(store: Any) -> None:
    """Two callbacks are two, however they came; each is called by its topic, and a record by its position."""
    for topic in ("pay_2/payment.failed", "pay_1/payment.succeeded", "pay_2/payment.succeeded"):
        await StoreParking(store).park("webhooks", 0, topic, f"facts of {topic}")
    await StoreParking(store).park("reactions", 3, "order.paid.v1", "bad")
    assert [(each.projection, each.key) for each in await store.parked()] == [
        ("reactions", "3"),
        ("webhooks", "pay_1/payment.succeeded"),
        ("webhooks", "pay_2/payment.failed"),
        ("webhooks", "pay_2/payment.succeeded"),
    ]
    assert [each.error for each in await store.parked()][2] == "facts of pay_2/payment.failed"


async def test_what_is_settled_is_parked_no_more(store: Any) -> None:
    """That alone, however often it is said; and it may be parked again."""
    for topic in ("pay_1", "pay_2", "x" * 600):
        await StoreParking(store).park("webhooks", 0, topic, "bad")
    first, *others = await store.parked()
    for _ in range(2):
        await store.settle(first)
        assert await store.parked() == others
    await store.park(first)
    assert await store.parked() == [first, *others]
    for each in await store.parked():
        await store.settle(each)
    assert not await store.parked()


async def test_a_table_of_parked_things_by_position_is_brought_up_to_date(database_url: str) -> None:
    """What an earlier livetill parked stays, and two callbacks have room beside each other."""
    await asyncio.to_thread(install, database_url)
    old = PostgresStore(database_url, CHOSEN)
    await old.open()
    await old.park(Parked("webhooks", 0, "pay_1", "first"))
    await old.close()
    async with await AsyncConnection.connect(database_url, autocommit=True) as owner:
        by_position = "DROP CONSTRAINT parked_pkey, ADD PRIMARY KEY (projection, position)"
        await owner.execute(f"ALTER TABLE views.parked {by_position}".encode())
    await asyncio.to_thread(install, database_url)
    for topic in ("pay_2", "pay_3"):
        store = PostgresStore(database_url, CHOSEN)
        await store.open()
        await store.park(Parked("webhooks", 0, topic, "next"))
        parked = await store.parked()
        await store.close()
    assert [each.topic for each in parked] == ["pay_1", "pay_2", "pay_3"]


async def test_bookmarks_are_kept_by_name_beside_the_marks(store: Any) -> None:
    """A bookmark is at 0 until it is set, can go back, and is no read model."""
    bookmarks = StoreBookmarks(store)
    assert await bookmarks.get("reactions") == 0
    await bookmarks.set("reactions", 12)
    await bookmarks.set("reactions", 11)
    assert await bookmarks.get("reactions") == 11
    assert set(await store.marks()) == {each.name for each in CHOSEN}


async def test_two_writers_at_once_are_one_after_the_other(store: Any) -> None:
    """Of two who saw the same mark, one writes and the other is told."""
    write = [Write({"orders": (Mark(), 1)}, {ORDERS: [order(f"order-{n}")]}) for n in range(2)]
    outcomes = await asyncio.gather(*(store.commit(each) for each in write), return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["MarkMovedError", "NoneType"]
    assert len(await ids(store, Query(ORDERS))) == 1
