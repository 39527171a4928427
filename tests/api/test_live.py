"""The live feed, through the whole application over a shop in memory."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from api import live_channel, live_log
from application import commands as c
from application.ports import JournalUnavailableError
from domain.listing import commands as lc
from domain.listing.offer import Discount
from domain.stream import commands as sc
from domain.stream.events import EndReason
from projections.live_stock import LIVE_STOCK
from projections.store import StoreUnavailableError
from tests.api.watching import Theatre, Told, Watcher, theatre
from tests.builders import schedule_stream
from tests.rehearsal import LISTING, STREAM


@pytest.fixture
async def house() -> AsyncIterator[Theatre]:
    """A show on air with one listing of ten units."""
    async with theatre() as running:
        await running.shop.go_live()
        await running.shop.offer(10)
        yield running


async def joined(house: Theatre, **how: Any) -> Watcher:
    """Let somebody watch who has already had the snapshot."""
    watcher = await house.watch(**how)
    assert (await watcher.next()).name == "snapshot"
    return watcher


async def head(house: Theatre) -> int:
    """Return the journal's last position."""
    return await house.shop.journal.head()


def names(told: list[Told]) -> list[str]:
    """Return what events are called."""
    return [each.name for each in told]


async def test_a_snapshot_comes_first(house: Theatre) -> None:
    """Whoever comes learns all of the show at once: stock, pins, boards, totals and the till's time."""
    await house.shop.order("order-1", 2)
    await house.shop.pay("order-1")
    await house.shop.do(c.PinListing(STREAM, LISTING))
    told = await (await house.watch()).next()
    assert (told.id, told.name) == (await head(house), "snapshot")
    assert told.data["stream"]["status"] == "live"
    assert told.data["pins"] == [LISTING]
    assert told.data["server_now"] == house.shop.clock.now().isoformat().replace("+00:00", "Z")
    (listing,) = told.data["listings"]
    assert (listing["allotted"], listing["available"], listing["committed"]) == (10, 8, 2)
    assert listing["price"] == {"amount_minor": 1999, "currency": "EUR"}
    assert listing["window"]["state"] == "open"
    gmv = {"amount_minor": 3998, "currency": "EUR"}
    assert told.data["totals"] == {"orders": 1, "refused": 0, "units": 2, "returned_units": 0, "gmv": gmv}
    best = told.data["boards"]["listings"]["gmv"][0]
    assert (best["rank"], best["title"], best["units"], best["gmv"]) == (1, "A product", 2, gmv)


async def test_a_snapshot_shows_stock_as_the_stock_page_does(house: Theatre) -> None:
    """A client may ask or watch: the same members say the same; what a unit costs now comes on top."""
    await house.shop.order("order-1", 2)
    told = await (await house.watch()).next()
    asked = await house.ask(f"/v1/streams/{STREAM}/stock")
    assert [{name: each[name] for name in each if name != "quote"} for each in told.data["listings"]] == asked[
        "listings"
    ]
    assert told.data["as_of_position"] == asked["as_of_position"]


async def test_the_connection_is_an_event_stream_that_nobody_keeps(house: Theatre) -> None:
    """Caches and proxies on the way neither keep nor hold back what is told."""
    watcher = await house.watch()
    assert watcher.status == 200
    assert watcher.answer["content-type"].startswith("text/event-stream")
    assert "no-cache" in watcher.answer["cache-control"]
    assert watcher.answer["x-accel-buffering"] == "no"


async def test_an_unknown_show_is_a_problem(house: Theatre) -> None:
    """There is nothing to watch, and nobody stays."""
    watcher = await house.watch("stream-none")
    await watcher.ended()
    assert watcher.status == 404
    assert watcher.answer["content-type"] == "application/problem+json"
    assert not house.hub.running


async def test_an_order_moves_the_stock_and_the_ticker(house: Theatre) -> None:
    """Both carry the position they are true at; the ticker names no buyer."""
    watcher = await joined(house)
    await house.shop.order("order-1", 3, buyer="buyer-secret")
    stock = await watcher.until("stock")
    order = await watcher.until("order")
    assert [(each["available"], each["reserved"]) for each in stock.data["listings"]] == [(7, 3)]
    assert order.id == stock.data["as_of_position"] == await head(house)
    assert {name: order.data[name] for name in ("orders", "units", "amount_minor", "currency", "refused")} == {
        "orders": 1, "units": 3, "amount_minor": 5997, "currency": "EUR", "refused": 0,
    }  # fmt: skip
    assert b"buyer-secret" not in watcher.body


async def test_sales_are_told_as_paid_and_what_came_back_beside_them(house: Theatre) -> None:
    """Whoever watched hears the same sums as somebody who comes afterwards: 3 sold for their price, 1 of them back."""
    watcher = await joined(house)
    await house.shop.order("order-1", 3)
    await house.shop.pay("order-1")
    await house.shop.do(c.CancelLine("order-1", "cancel-1", "1", 1))
    told = [each.data for each in await watcher.upto(await head(house)) if each.name == "order"]
    assert sum(each["paid"]["units"] for each in told) == 3
    assert sum(each["paid"]["returned_units"] for each in told) == 1
    assert told[-1]["totals"] == {
        "orders": 1, "refused": 0, "units": 3, "returned_units": 1, "gmv": {"amount_minor": 5997, "currency": "EUR"},
    }  # fmt: skip
    later = await (await house.watch()).next()
    assert later.data["totals"] == told[-1]["totals"]
    best = (await house.ask(f"/v1/streams/{STREAM}/leaderboards/hosts"))["standings"][0]
    assert (best["units"], best["returned_units"]) == (2, 1)


async def test_figures_of_one_tick_are_told_once(house: Theatre) -> None:
    """However many orders come between two frames, a listing's stock is told once, as it is now."""
    watcher = await joined(house)
    async with house.between_ticks():
        for number in range(6):
            await house.shop.order(f"order-{number}", 2, buyer=f"buyer-{number}")
    told = await watcher.upto(await head(house))
    assert names(told).count("stock") == names(told).count("order") == 1
    (order,) = [each.data for each in told if each.name == "order"]
    assert (order["orders"], order["units"], order["refused"]) == (5, 10, 1)


async def test_news_of_one_tick_is_told_piece_by_piece(house: Theatre) -> None:
    """Sold out, back and sold out again within one frame are three events, in order, each with its position."""
    watcher = await joined(house)
    async with house.between_ticks():
        await house.shop.order("order-1", 10)
        await house.shop.do(c.CancelOrder("order-1"))
        await house.shop.order("order-2", 10)
    told = await watcher.upto(await head(house))
    news = [each for each in told if each.name in ("sold_out", "back_in_stock")]
    assert names(news) == ["sold_out", "back_in_stock", "sold_out"]
    positions = [each.data["position"] for each in news]
    assert positions == sorted(positions)
    assert all(each.id <= position for each, position in zip(news, positions, strict=True))
    assert (news[0].data["title"], news[-1].data["available"], news[-1].data["reserved"]) == ("A product", 0, 10)


async def test_windows_pins_and_the_show_itself_are_news(house: Theatre) -> None:
    """Everything the host does is seen step by step as it was done, even within one frame."""
    watcher = await joined(house)
    shop = house.shop
    closes_at = shop.clock.now() + timedelta(seconds=60)
    async with house.between_ticks():
        await shop.do(c.CloseWindow(LISTING))
        await shop.do(c.OpenWindow(LISTING, closes_at))
        await shop.do(c.PinListing(STREAM, LISTING))
        await shop.do(c.Tell(STREAM, sc.InterruptStream(shop.clock.now())))
        await shop.do(c.Tell(STREAM, sc.ResumeStream(shop.clock.now())))
        await shop.do(c.EndStream(STREAM, EndReason.HOST))
    told = await watcher.upto(await head(house))
    news = [each for each in told if each.name in ("window", "pin", "stream")]
    changes = [each.data.get("change", each.name) for each in news]
    assert changes[0] == "closed"
    assert changes[1:].index("scheduled") < changes[1:].index("opened") < changes.index("pin")
    assert changes[-3:] == ["interrupted", "resumed", "ended"]
    assert [each.data["stream"]["status"] for each in news[-3:]] == ["interrupted", "live", "ended"]
    assert [each.id for each in told] == sorted(each.id for each in told)


async def test_who_comes_back_goes_on_where_it_was(house: Theatre) -> None:
    """With the last event's id there is no snapshot, nothing twice and nothing missing."""
    staying, leaving = await joined(house), await joined(house)
    await house.shop.order("order-1", 1)
    seen = (await leaving.upto(await head(house)))[-1].id
    await leaving.leave()
    await house.shop.order("order-2", 9, buyer="buyer-2")
    expected = await staying.upto(await head(house))
    back = await house.watch(last_event_id=seen)
    told = await back.upto(await head(house))
    assert [*leaving.seen[1:], *told] == expected
    assert "sold_out" in names(told)


async def test_a_connection_that_broke_between_two_events_loses_neither(house: Theatre) -> None:
    """Whichever event of a frame was the last to arrive, the figures that had not arrived are told again."""
    watcher = await joined(house)
    async with house.between_ticks():
        await house.shop.order("order-1", 10)
        await house.shop.order("order-2", 1)
    told = await watcher.upto(await head(house))
    for index, last in enumerate(told[:-1]):
        back = await house.watch(last_event_id=last.id)
        again = await back.upto(await head(house))
        missing = told[index + 1 :]
        assert [each for each in again if each in missing] == missing
        assert not [each for each in again if each.name == "order" and each in told[: index + 1]]


@pytest.mark.parametrize("last_event_id", ["0", "1000000", "nonsense", "-1", "9" * 40])
async def test_who_was_away_for_too_long_starts_again(house: Theatre, last_event_id: str) -> None:
    """An id that the feed cannot go on from, or that is none, means a snapshot."""
    await joined(house)
    told = await (await house.watch(last_event_id=last_event_id)).next()
    assert told.name == "snapshot"


async def test_a_slow_viewer_misses_figures_but_no_news(house: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes nothing for a while gets every piece of news and then how it stands; nothing piles up for it."""
    monkeypatch.setattr(live_log, "FRAMES", 3)
    slow, quick = await joined(house), await joined(house)
    slow.stall()
    for number in range(8):
        await house.shop.order(f"order-{number}", 10, buyer=f"buyer-{number}")
        await quick.upto(await head(house))
        await house.shop.do(c.CancelOrder(f"order-{number}"))
        await quick.upto(await head(house))
    assert len(house.hub._channels[STREAM].log._frames) == 3
    slow.resume()
    await slow.until("snapshot")
    kinds = ("sold_out", "back_in_stock")
    news = [each for each in slow.seen if each.name in kinds]
    assert news == [each for each in quick.seen if each.name in kinds]
    assert len(news) == 16
    (listing,) = slow.seen[-1].data["listings"]
    assert (listing["available"], listing["reserved"]) == (10, 0)


async def test_who_misses_more_news_than_is_kept_is_sent_away(house: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reconnects and starts again, rather than believing that it knows everything."""
    monkeypatch.setattr(live_log, "FRAMES", 1)
    monkeypatch.setattr(live_log, "NEWS", 1)
    slow, quick = await joined(house), await joined(house)
    slow.stall()
    for number in range(3):
        await house.shop.order(f"order-{number}", 10, buyer=f"buyer-{number}")
        await quick.upto(await head(house))
        await house.shop.do(c.CancelOrder(f"order-{number}"))
        await quick.upto(await head(house))
    slow.resume()
    await slow.ended()
    assert house.hub.viewers == 1


async def test_the_feed_rests_when_nobody_watches(house: Theatre) -> None:
    """It starts with the first viewer, and the last one to leave stops it; a later one finds it anew."""
    assert not house.hub.running
    first, second = await joined(house), await joined(house)
    assert (house.hub.running, house.hub.viewers) == (True, 2)
    await first.leave()
    assert (house.hub.running, house.hub.viewers) == (True, 1)
    await second.leave()
    assert (house.hub.running, house.hub.viewers) == (False, 0)
    await house.shop.order("order-1", 4)
    snapshot = await (await house.watch()).next()
    assert snapshot.data["listings"][0]["available"] == 6


async def test_the_journal_is_read_once_for_everybody(house: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred viewers cost the database what one does, and get the same bytes."""
    watchers = [await joined(house) for _ in range(100)]
    loads: list[Any] = []
    load = house.store.load

    async def counted(table: Any, keys: Any) -> Any:
        loads.append(keys)
        return await load(table, keys)

    monkeypatch.setattr(house.store, "load", counted)
    async with house.between_ticks():
        await house.shop.order("order-1", 1)
        loads.clear()
    position = await head(house)
    told = [await watcher.upto(position) for watcher in watchers]
    assert all(each == told[0] for each in told)
    assert loads.count([(LISTING,)]) == 1


async def test_a_database_that_is_away_delays_the_feed_and_loses_nothing(
    house: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading fails half-way; when it works again everything is told, once."""
    watcher = await joined(house)
    load, failed = house.store.load, asyncio.Event()

    async def broken(table: Any, keys: Any) -> Any:
        if table is LIVE_STOCK and not failed.is_set():
            failed.set()
            raise StoreUnavailableError("the database is away")
        return await load(table, keys)

    async with house.between_ticks():
        await house.shop.order("order-1", 10)
        assert await house.services.wait_for(await head(house), 10)
        monkeypatch.setattr(house.store, "load", broken)
    told = await watcher.upto(await head(house))
    assert failed.is_set()
    assert names(told) == ["stock", "sold_out", "order"]


async def test_totals_are_the_same_for_who_came_early_and_who_came_late(house: Theatre) -> None:
    """What was counted from the rows and what was added up from the journal agree, refused orders too."""
    early = await joined(house)
    for number in range(5):
        await house.shop.order(f"order-{number}", 3, buyer=f"buyer-{number}")
    await house.shop.pay("order-0")
    await early.upto(await head(house))
    totals = [each.data["totals"] for each in early.seen if each.name == "order"][-1]
    await early.leave()
    late = await (await house.watch()).next()
    assert late.data["totals"] == totals
    assert (totals["orders"], totals["refused"], totals["units"]) == (3, 2, 3)
    assert sum(each["orders"] for each in late.data["recent"]) == 3


async def test_a_look_moves_with_its_parts(house: Theatre) -> None:
    """A look has no units of its own: when a part sells, what is left of the look is told too."""
    await house.shop.offer(0, listing_id="listing-look", components=((LISTING, 4),))
    watcher = await joined(house)
    await house.shop.order("order-1", 3)
    stock = await watcher.until("stock")
    available = {each["listing_id"]: each["available"] for each in stock.data["listings"]}
    assert available == {LISTING: 7, "listing-look": 1}


async def test_a_new_listing_turns_up_whole(house: Theatre) -> None:
    """What is offered while the show runs comes with everything a page needs, and moves from then on."""
    watcher = await joined(house)
    await house.shop.offer(5, listing_id="listing-2")
    (listing,) = (await watcher.until("stock")).data["listings"]
    assert (listing["title"], listing["available"]) == ("A product", 5)
    assert (await watcher.until("window")).data["listing_id"] == "listing-2"
    await house.shop.order("order-1", 1, listing_id="listing-2")
    assert (await watcher.until("stock")).data["listings"][0]["available"] == 4


async def test_a_price_that_changes_by_time_is_told(house: Theatre) -> None:
    """A discount begins without anything being written; viewers see its price all the same."""
    now = house.shop.clock.now()
    discount = Discount("flash", now + timedelta(seconds=30), now + timedelta(seconds=90), percent_bps=5000)
    await house.shop.do(c.Tell(LISTING, lc.ScheduleDiscount(discount)))
    watcher = await joined(house)
    house.shop.clock.advance(30)
    (listing,) = (await watcher.until("stock")).data["listings"]
    assert listing["quote"] == {"amount_minor": 999, "currency": "EUR", "discount_id": "flash"}


async def test_a_quiet_show_tells_the_time(house: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to tell, the till's clock is told, so that a countdown stays honest and a dead line is noticed."""
    monkeypatch.setattr(live_channel, "TICK_SECONDS", 0.0)
    watcher = await joined(house)
    house.shop.clock.advance(7)
    tick = await watcher.until("tick")
    assert tick.data["server_now"] == house.shop.clock.now().isoformat().replace("+00:00", "Z")


async def test_other_shows_are_none_of_its_business(house: Theatre) -> None:
    """What happens in a show is told to its own viewers only."""
    await house.shop.do(c.Tell("stream-2", schedule_stream(host_id="host-2"), new=True))
    watcher = await joined(house)
    other = await house.watch("stream-2")
    assert (await other.next()).data["listings"] == []
    await house.shop.order("order-1", 1)
    await watcher.until("order")
    await house.shop.do(c.StartStream("stream-2"))
    assert (await other.next()).data["change"] == "started"


async def test_the_server_sends_its_viewers_away_when_it_stops(house: Theatre) -> None:
    """An open feed does not hold a shutdown up."""
    watcher = await joined(house)
    await house.hub.close()
    await watcher.ended()
    assert house.hub.viewers == 0


async def test_a_crowd_is_told_in_turns() -> None:
    """Between some viewers and the next others get their turn; everybody is told, and who has left is passed over."""
    together, log = live_log.TOGETHER, live_log.FrameLog(0)
    told, turns = list[int](), list[int]()

    async def viewer(number: int) -> None:
        await log.grown(0)
        told.append(number)

    watching = [asyncio.create_task(viewer(number)) for number in range(3 * together)]
    await asyncio.sleep(0)
    watching[0].cancel()
    log.append(1, [live_log.Told("tick", {})])
    log.append(2, [live_log.Told("tick", {})])
    while len(told) < 3 * together - 1:
        await asyncio.sleep(0)
        turns.append(len(told))
    assert told == list(range(1, 3 * together))
    assert max(after - before for before, after in pairwise([0, *turns])) <= together
    assert len(turns) >= 3


async def test_who_cannot_be_let_in_is_not_waited_on(house: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that fails while a show is opened leaves nothing behind: the next one opens it anew."""

    async def away(*_: object) -> None:
        raise JournalUnavailableError("away")

    with monkeypatch.context() as broken:
        broken.setattr(type(house.shop.journal), "read", away)
        with pytest.raises(JournalUnavailableError):
            await house.hub.join(STREAM)
    assert house.hub._channels == {}
    watcher = await joined(house)
    await watcher.leave()
    assert not house.hub.running
