"""Digests and the past: one value for one journal, however it was folded."""

import asyncio
from hashlib import sha256
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.listing.events import PriceSet
from projections import live_stock, orders
from projections.catalogue import NAMES, UnknownProjectionError, named
from projections.digest import digest, digest_at
from projections.follow import Follower
from projections.live_stock import LIVE_STOCK
from projections.memory import MemoryStore
from projections.orders import ORDERS
from projections.replay import Past, as_of
from tests.builders import at, listing_created, listing_of, order_placed, units_reserved
from tests.projections.books import WIRE, following, journal_of, of
from tests.projections.evening import Evening
from tests.rehearsal import Rehearsal


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), batch=st.integers(1, 40), cached_rows=st.integers(0, 20))
def test_live_and_replayed_are_the_same_at_every_position(seed: int, batch: int, cached_rows: int) -> None:
    """Whatever happened, in whatever batches it was taken in, and wherever one stops."""

    async def check() -> None:
        async with Rehearsal().open() as shop:
            evening = Evening(shop, Random(seed))
            await evening.begin()
            await evening.go_on(60)
            head = await shop.journal.head()
            store = MemoryStore()
            await Follower(shop.journal, WIRE, store, batch=batch, cached_rows=cached_rows).catch_up()
            assert await digest(store) == await digest_at(shop.journal, WIRE, head)
            past = Past(shop.journal, WIRE)
            for position in sorted(Random(seed).sample(range(head + 1), 3)):
                assert await digest(await past.as_of(position)) == await digest_at(shop.journal, WIRE, position)

    asyncio.run(check())


async def test_any_difference_changes_the_digest_of_its_read_model_alone() -> None:
    """One unit more, or one cent, and it is another digest."""
    one = await digest(await following(*of("listing-1", *listing_of(10))))
    other = await digest(await following(*of("listing-1", *listing_of(11))))
    assert [a.name for a, b in zip(one, other, strict=True) if a != b] == ["live_stock"]


async def test_a_digest_is_one_line_of_name_position_and_hash() -> None:
    """Anybody can compute it: a line of the table's columns, and each row as a JSON array of them."""
    store = await following(*of("listing-1", listing_created(title="Écharpe"), PriceSet(5)))
    text = (
        "live_stock(listing_id,stream_id,sku,title,currency,price_minor,hold_seconds,components,allotted,available,"
        "reserved,committed,shipped,unavailable,returned_to_source,sold_out,withdrawn,purchase_limit,discounts,"
        "window_number,opens_at,closes_at,countdown_seconds,announced,position)\n"
        '["listing-1","stream-1","SCARF-RED","Écharpe","EUR",5,600,[],0,0,0,0,0,0,0,false,false,null,[],0,null,'
        'null,0,"scheduled",2]\n'
    )
    [line] = await digest(store, [live_stock.PROJECTION])
    assert str(line) == f"live_stock 2 {sha256(text.encode()).hexdigest()}"


async def test_the_past_is_what_was_then() -> None:
    """A position asked for gives the rows of that position, and nothing that came later."""
    journal = await journal_of(*of("listing-1", *listing_of(10), units_reserved(quantity=4)))
    store = await as_of(journal, WIRE, 2, ["live_stock"])
    row = (await store.load(LIVE_STOCK, [("listing-1",)]))[("listing-1",)]
    assert (row.available, row.position, (await store.marks())["live_stock"].position) == (10, 2, 2)


async def test_going_on_from_an_earlier_state_leaves_that_state_as_it_was() -> None:
    """States share rows, and a row is copied before it changes."""
    journal = await journal_of(*of("listing-1", *listing_of(10), units_reserved(quantity=4)))
    past = Past(journal, WIRE)
    early = await past.as_of(2, ["live_stock"])
    late = await past.as_of(3, ["live_stock"])
    stock = [(await each.load(LIVE_STOCK, [("listing-1",)]))[("listing-1",)].available for each in (early, late)]
    assert stock == [10, 6]


async def test_the_past_keeps_a_few_answers_and_replays_only_what_is_new() -> None:
    """The same question reads nothing; a later one reads on from the latest state that is kept."""
    journal = await journal_of(*of("listing-1", *listing_of(10), *[PriceSet(n) for n in range(20)]))
    scanned: list[tuple[int, int | None]] = []

    class Watched:
        read, head = journal.read, journal.head

        def scan(self, after: int = 0, upto: int | None = None):  # type: ignore[no-untyped-def]  # noqa: ANN202
            scanned.append((after, upto))
            return journal.scan(after, upto)

    past = Past(Watched(), WIRE, kept=2)
    assert await past.as_of(5) is await past.as_of(5)
    await past.as_of(9)
    await past.as_of(99)
    await past.as_of(5)
    assert scanned == [(0, 5), (5, 9), (9, 22), (0, 5)]


async def test_others_get_their_turn_during_a_replay() -> None:
    """A long replay does not stop the event loop."""
    journal = await journal_of(*of("listing-1", *listing_of(10), *[PriceSet(n) for n in range(3_000)]))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await as_of(journal, WIRE, 3_002)
    counting.cancel()
    assert turns > 10


async def test_only_the_read_models_asked_for_are_folded() -> None:
    """Others cost nothing, and a name that is none is answered with those there are."""
    journal = await journal_of(*of("order-1", order_placed(placed_at=at(1))))
    store = await as_of(journal, WIRE, 1, [orders.PROJECTION])
    assert list(await store.marks()) == ["orders"]
    assert await store.load(ORDERS, [("order-1",)])
    assert [each.name for each in named(*NAMES)] == list(NAMES)
    with pytest.raises(UnknownProjectionError, match="no read model sales: choose from live_stock, leaderboards"):
        named("orders", "sales")
