"""The page of a show in a real browser, on a real server over a shop in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn

from application import commands as c
from domain.listing import commands as lc
from domain.listing.offer import Discount
from domain.stream.commands import StartSegment
from domain.stream.events import EndReason
from tests.api.watching import Theatre, theatre
from tests.builders import schedule_stream
from tests.e2e.browser import browser
from tests.rehearsal import HOST, LISTING, STREAM


@asynccontextmanager
async def serving(house: Theatre, port: int = 0) -> AsyncIterator[int]:
    """Serve the application on a port; any that is free when none is given."""
    config = uvicorn.Config(house.app, port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def house() -> AsyncIterator[Theatre]:
    """A show on air with one listing of ten units."""
    async with theatre() as running:
        await running.shop.go_live()
        await running.shop.offer(10)
        yield running


async def test_the_page_follows_a_show_from_sale_to_sold_out(house: Theatre, tmp_path: Path) -> None:
    """Stock falls as orders come, holds are shown as such, and only paid units are gone for good."""
    await house.shop.do(c.PinListing(STREAM, LISTING))
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until("document.querySelector('.left-text')?.textContent === '10 left'")
        assert (await tab.text("h1"), await tab.text("#badge")) == ("A show", "Live")
        assert await tab.text("#featured .price") == "€19.99"
        await house.shop.order("order-1", 3)
        await tab.until("document.querySelector('.left-text').textContent === '7 left'")
        assert await tab.text(".holds") == "3 in checkout"
        await house.shop.order("order-2", 7, buyer="buyer-2")
        await tab.until("document.querySelector('.card').dataset.state === 'in_checkout'")
        await tab.until("document.querySelector('#announcer').textContent.includes('all in checkout')")
        await house.shop.pay("order-1")
        await house.shop.pay("order-2")
        await tab.until("document.querySelector('.card').dataset.state === 'sold_out'")
        await tab.until("document.querySelector('#gmv').textContent === '€199.90'")
        await tab.until("document.querySelector('#board .who')?.textContent === 'A product'")
        await house.shop.do(c.EndStream(STREAM, EndReason.HOST))
        await tab.until("document.querySelector('#badge').textContent === 'Ended'")
        assert await tab.value("document.querySelector('#rates').hidden")
        assert tab.complaints == []


async def test_what_is_sold_and_what_came_back_are_told_apart(house: Theatre, tmp_path: Path) -> None:
    """Sales and units are both of all that was paid; what was given up again stands beside, and lowers the board."""
    await house.shop.order("order-1", 3)
    await house.shop.pay("order-1")
    await house.shop.do(c.CancelLine("order-1", "cancel-1", "1", 1))
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until("document.querySelector('#board .value')?.textContent === '2'")
        assert (await tab.text("#gmv"), await tab.text("#units"), await tab.text("#returned")) == (
            "€59.97", "3", "1 came back",
        )  # fmt: skip
        assert await tab.text("#board .other") == "1 came back"
        await house.shop.order("order-2", 1, buyer="buyer-2")
        await house.shop.pay("order-2")
        await house.shop.do(c.CancelOrder("order-2"))
        await tab.until("document.querySelector('#returned').textContent === '2 came back'")
        assert (await tab.text("#gmv"), await tab.text("#units")) == ("€79.96", "4")
        assert tab.complaints == []


async def test_a_title_from_right_to_left_turns_nothing_else_around(house: Theatre, tmp_path: Path) -> None:
    """A title may hold anything, also marks that reverse what follows: our own words beside it stay as they are."""
    turned = "\u202eemoc"
    await house.shop.do(c.Tell("stream-2", schedule_stream(host_id="host-2", title=turned), new=True))
    await house.shop.do(c.StartStream("stream-2"))
    await house.shop.do(c.EndStream(STREAM, EndReason.HOST))
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/shows/{STREAM}")
        await tab.until("!document.querySelector('#elsewhere').hidden")
        assert await tab.text("#elsewhere") == f"\u2068{turned}\u2069 is live now"


async def test_a_countdown_runs_by_the_tills_clock(house: Theatre, tmp_path: Path) -> None:
    """The till lives in another year than this machine: what counts is its time."""
    opens_at = house.shop.clock.now() + timedelta(seconds=90)
    await house.shop.do(c.CloseWindow(LISTING))
    await house.shop.do(c.OpenWindow(LISTING, opens_at + timedelta(hours=3), countdown_seconds=90))
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/shows/{STREAM}")
        await tab.until("/^1:[0-3][0-9]$/.test(document.querySelector('.clock-time')?.textContent)")
        assert await tab.text(".clock-label") == "Opens in"
        assert tab.complaints == []


async def test_a_discount_strikes_the_list_price_through(house: Theatre, tmp_path: Path) -> None:
    """Both prices are shown, in the show's currency."""
    now = house.shop.clock.now()
    discount = Discount("flash", now, now + timedelta(hours=1), price_minor=1500)
    await house.shop.do(c.Tell(LISTING, lc.ScheduleDiscount(discount)))
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until("document.querySelector('.price')?.textContent === '€15.00'")
        assert await tab.text("s.was") == "€19.99"


async def test_the_page_comes_back_by_itself_and_says_so(house: Theatre, tmp_path: Path) -> None:
    """When the server is gone the page tells, and when it is back it shows what happened meanwhile."""
    async with browser(tmp_path) as tab:
        async with serving(house) as port:
            await tab.open(f"http://127.0.0.1:{port}/")
            await tab.until("document.querySelector('#link').dataset.state === 'live'")
        await tab.until("document.querySelector('#link').dataset.state === 'reconnecting'")
        assert "trying again" in await tab.text("#link-text")
        await house.shop.order("order-1", 4)
        async with serving(house, port):
            await tab.until("document.querySelector('.left-text').textContent === '6 left'")
            assert await tab.value("document.querySelector('#link').dataset.state") == "live"


@pytest.mark.parametrize("width", [360, 768, 1280])
async def test_a_thousand_listings_fit_every_screen(house: Theatre, tmp_path: Path, width: int) -> None:
    """Nothing is wider than the screen, few cards are made, and any listing is found by a few letters."""
    for number in range(1_000):
        await house.shop.offer(5, listing_id=f"listing-n{number}")
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/", width=width)
        await tab.until("document.querySelector('#count').textContent === '1,001'")
        assert await tab.value("document.querySelectorAll('.card').length") <= 48
        assert await tab.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        typed = "filter.value = 'sku-listing-n777'; filter.dispatchEvent(new Event('input'))"
        await tab.value(f"(() => {{ const filter = document.querySelector('#filter'); {typed}; }})()")
        assert await tab.value("document.querySelectorAll('#listings .card').length") == 1


async def test_refused_orders_are_counted_and_told_apart(house: Theatre, tmp_path: Path) -> None:
    """Nobody speaks of refusals until there is one; then there is a number, and the plot says which bars they are."""
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until("document.querySelector('#orders').textContent === '0'")
        assert await tab.value("document.querySelector('#refused').hidden")
        await house.shop.order("order-1", 3)
        assert (await house.shop.order("order-2", 8, buyer="buyer-2")).refusal is not None
        await tab.until("document.querySelector('#refused').textContent === '1 refused'")
        assert await tab.text("#orders") == "1"
        assert not await tab.value("document.querySelector('#refused').hidden")
        colour = "getComputedStyle(document.querySelector('.key.{}'), '::before').backgroundColor"
        assert await tab.value(f"{colour.format('taken')} !== {colour.format('refused')}")


async def test_what_is_over_is_told_as_over(house: Theatre, tmp_path: Path) -> None:
    """After a show nothing is "so far": what sold all it had is sold out, of the rest it says what was left."""
    await house.shop.offer(5, listing_id="listing-2")
    for order_id, quantity, listing_id in (("order-1", 10, LISTING), ("order-2", 2, "listing-2")):
        await house.shop.order(order_id, quantity, listing_id=listing_id)
        await house.shop.pay(order_id)
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/shows/{STREAM}")
        await tab.until("document.querySelector('#sales-title').textContent === 'Sales so far'")
        await house.shop.do(c.EndStream(STREAM, EndReason.HOST))
        for listing_id in (LISTING, "listing-2"):
            await house.shop.do(c.CloseWindow(listing_id))
        await tab.until("document.querySelector('#link-text').textContent === 'Up to date'")
        await tab.until("document.querySelectorAll('.card')[1].dataset.state === 'closed'")
        cards = "[...document.querySelectorAll('.card')].map((card) => card.querySelector('{}').textContent)"
        assert await tab.value(cards.format(".tag")) == ["Sold out", "Closed"]
        assert await tab.value(cards.format(".left-text")) == ["10 sold", "2 sold"]
        assert await tab.value(cards.format(".holds")) == ["", "3 not sold"]
        bars = "[...document.querySelectorAll('.card .bar-left')].map((bar) => bar.style.clipPath)"
        assert await tab.value(bars) == ["inset(0px 0%)", "inset(0px 60% 0px 0%)"]
        assert "so far" not in await tab.text("main")


async def test_what_is_held_after_the_end_is_spoken_of_while_it_is(house: Theatre, tmp_path: Path) -> None:
    """Only somebody in checkout can still pay; when the last hold is gone nothing is said of it any more."""
    await house.shop.order("order-1", 3)
    await house.shop.do(c.EndStream(STREAM, EndReason.HOST))
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/shows/{STREAM}")
        await tab.until("document.querySelector('#note').textContent.endsWith('can still be paid.')")
        await house.shop.do(c.CancelOrder("order-1"))
        await tab.until("!document.querySelector('#note').textContent.includes('checkout')")
        assert "This show ended" in await tab.text("#note")


async def test_what_is_counted_as_on_sale_can_be_bought_now(house: Theatre, tmp_path: Path) -> None:
    """Neither what is sold out nor what is not open yet; how many one buyer may have stands beside what is left."""
    for number, facts in ((2, {}), (3, {"purchase_limit": 2}), (4, {})):
        await house.shop.offer(5, listing_id=f"listing-{number}", **facts)
    await house.shop.do(c.CloseWindow("listing-4"))
    await house.shop.order("order-1", 10)
    await house.shop.pay("order-1")
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until("document.querySelectorAll('.card').length === 4")
        assert await tab.text("#count") == "2"
        limits = "[...document.querySelectorAll('.card')].map((card) => card.querySelector('.left > span').textContent)"
        assert sorted(await tab.value(limits)) == ["0 sold", "10 sold", "5 left", "5 leftat most 2 each"]
        await house.shop.do(c.EndStream(STREAM, EndReason.HOST))
        await tab.until("document.querySelector('#count').textContent === '4'")


async def test_a_look_is_told_by_what_can_be_had_of_it(house: Theatre, tmp_path: Path) -> None:
    """It has no units of its own: no bar, and nothing that was sold of it."""
    await house.shop.offer(0, listing_id="listing-look", components=[(LISTING, 5)])
    card = "[...document.querySelectorAll('.card')].find((card) => card.textContent.includes('sku-listing-look'))"
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until(f"{card}.querySelector('.left-text').textContent === '2 left'")
        assert await tab.value(f"{card}.querySelector('.bar').hidden")
        await house.shop.order("order-1", 2, listing_id="listing-look")
        await house.shop.pay("order-1")
        await tab.until(f"{card}.dataset.state === 'sold_out'")
        assert (await tab.value(f"{card}.querySelector('.left').textContent")).strip() == ""


async def test_a_word_without_end_does_not_widen_other_pages(house: Theatre, tmp_path: Path) -> None:
    """Wherever another show is named its title breaks; and the shows, like the search, end where the listings do."""
    for number in range(2, 8):
        await house.shop.offer(5, listing_id=f"listing-{number}")
    await house.shop.do(c.EndStream(STREAM, EndReason.HOST))
    show = schedule_stream(host_id="host-2", title="Endless" * 28)
    await house.shop.do(c.Tell("stream-2", show, new=True))
    await house.shop.do(c.StartStream("stream-2"))
    edge = "document.querySelector('{}').getBoundingClientRect().right"
    async with serving(house) as port:
        for width in (390, 1280):
            async with browser(tmp_path / f"{width}") as tab:
                await tab.open(f"http://127.0.0.1:{port}/shows/{STREAM}", width=width)
                await tab.until(
                    "!document.querySelector('#elsewhere').hidden && document.querySelector('.card') !== null"
                )
                assert await tab.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
                edges = [await tab.value(edge.format(each)) for each in ("#listings", "#filter")]
                assert edges[0] == edges[1]
                assert await tab.value(edge.format(".card")) == await tab.value(edge.format(".show-link"))


async def test_hours_are_told_without_a_leading_zero(tmp_path: Path) -> None:
    """As people say them."""
    async with theatre() as fresh, serving(fresh) as port, browser(tmp_path) as tab:
        fresh.shop.clock.advance(9 * 3600)
        await fresh.shop.go_live()
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until("document.querySelector('#when').textContent.includes(':00')")
        assert await tab.value("/[^0-9]9:00/.test(document.querySelector('#when').textContent)")


@pytest.mark.parametrize("width", [1000, 1280])
async def test_the_spotlight_leaves_no_hole(house: Theatre, tmp_path: Path, width: int) -> None:
    """Three pins fill every row to its end on a wide screen, and so they do beside a listing that is on air."""
    for number in (2, 3, 4):
        await house.shop.offer(5, listing_id=f"listing-{number}")
        await house.shop.do(c.PinListing(STREAM, f"listing-{number}"))
    boxes = "[...document.querySelectorAll('#featured .card')].map((card) => card.getBoundingClientRect())"
    ends = f"Object.values(Object.fromEntries({boxes}.map((box) => [Math.round(box.top), box.right])))"
    edge = "document.querySelector('#featured').getBoundingClientRect().right"
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/", width=width)
        await tab.until("document.querySelectorAll('#featured .card').length === 3")
        assert await tab.value(f"{ends}.every((end) => Math.abs(end - {edge}) < 1)")
        await house.shop.do(c.Tell(STREAM, StartSegment(HOST, LISTING, house.shop.clock.now())))
        await tab.until("document.querySelectorAll('#featured .card').length === 4")
        assert await tab.value(f"{ends}.every((end) => Math.abs(end - {edge}) < 1)")


async def test_a_phone_shows_the_spotlight_in_one_row(house: Theatre, tmp_path: Path) -> None:
    """It is swiped, the page is not; the leaders stand before the listings, which may be a thousand."""
    for number in (2, 3):
        await house.shop.offer(5, listing_id=f"listing-{number}")
        await house.shop.do(c.PinListing(STREAM, f"listing-{number}"))
    tops = "new Set([...document.querySelectorAll('#featured .card')].map((card) => card.offsetTop)).size"
    top = "document.querySelector('{}').getBoundingClientRect().top"
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/", width=360)
        await tab.until("document.querySelectorAll('#featured .card').length === 2")
        assert await tab.value(tops) == 1
        assert await tab.value("document.documentElement.scrollWidth") == 360
        assert await tab.value(f"{top.format('#board')} < {top.format('#listings')}")


async def test_a_show_that_is_not_there_is_said_to_be_so(house: Theatre, tmp_path: Path) -> None:
    """A wrong address ends in a sentence and not in a spinner."""
    async with serving(house) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/shows/stream-none")
        await tab.until("document.querySelector('h1').textContent === 'There is no such show'")


async def test_without_a_show_the_page_says_that_none_is_on(tmp_path: Path) -> None:
    """A fresh shop is not one that cannot be reached; its first show appears by itself."""
    async with theatre() as fresh, serving(fresh) as port, browser(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until("document.querySelector('#link-text').textContent === 'No show is on'")
        assert await tab.text("h1") == "No show yet"
        await fresh.shop.go_live()
        await tab.until("document.querySelector('#link').dataset.state === 'live'")
        assert (await tab.text("h1"), await tab.text("#link-text")) == ("A show", "Connected")
        assert tab.complaints == []
