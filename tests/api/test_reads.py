"""Read models and the journal over HTTP: now, as of a position, and no earlier than asked."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest

from adapters.clocks import ManualClock
from adapters.journal_memory import MemoryJournal
from tests.api.shopfront import Build, Shopfront, eur, opened, problem


async def test_stock_says_where_every_unit_is(shop: Shopfront) -> None:
    """Held, sold and free units, the price and the window, with the server's time for an honest countdown."""
    stream_id, listing_id = await shop.open(closes_at="2030-01-01T00:10:00Z")
    await shop.place(stream_id, listing_id, 2)
    await shop.paid(stream_id, listing_id, 3)
    told = (await shop.get(f"/v1/streams/{stream_id}/stock?min_position={await shop.head()}", who="")).json()
    assert (told["as_of_position"], told["server_now"]) == (await shop.head(), "2030-01-01T00:00:00Z")
    (line,) = told["listings"]
    assert (line["allotted"], line["available"], line["reserved"], line["committed"]) == (10, 5, 2, 3)
    assert (line["sku"], line["price"], line["status"]) == ("SCARF-RED", eur(1999), "open")
    assert (line["window"]["state"], line["window"]["closes_at"]) == ("open", "2030-01-01T00:10:00Z")


async def test_a_look_has_what_its_scarcest_part_allows(shop: Shopfront) -> None:
    """Its units are those of its components."""
    stream_id, scarf = await shop.open(allotment=7)
    part = {"listing_id": scarf, "quantity": 2}
    await shop.offer(stream_id, 0, sku="LOOK", components=[part])
    path = f"/v1/streams/{stream_id}/stock?min_position={await shop.head()}"
    listings = {line["sku"]: line for line in (await shop.get(path)).json()["listings"]}
    assert (listings["LOOK"]["available"], listings["LOOK"]["components"]) == (3, [part])


async def test_boards_rank_what_was_paid(shop: Shopfront) -> None:
    """Listings, hosts and buyers, by units or by money; a refund takes a place away again."""
    stream_id, scarf = await shop.open()
    bag = await shop.offer(stream_id, 5, sku="BAG", price=eur(9900))
    await shop.paid(stream_id, scarf, 3)
    order_id = await shop.paid(stream_id, bag, 1)
    await shop.must(f"/v1/streams/{stream_id}/audience", {"views": 1000})

    async def ranked(board: str, query: str) -> list[str]:
        path = f"/v1/streams/{stream_id}/leaderboards/{board}?min_position={await shop.head()}&{query}"
        return [each["subject_id"] for each in (await shop.get(path, who="")).json()["standings"]]

    assert await ranked("listings", "metric=units") == [scarf, bag]
    assert await ranked("listings", "metric=gmv") == [bag, scarf]
    assert await ranked("hosts", "metric=gpm") == ["host-1"]
    assert await ranked("buyers", "limit=1") == ["buyer-1"]
    await shop.must(f"/v1/orders/{order_id}/refunds", {"amount_minor": 9900, "reason": "goodwill"})
    assert await ranked("listings", "metric=net_gmv") == [scarf, bag]
    told = (await shop.get(f"/v1/streams/{stream_id}/leaderboards/hosts?metric=gpm")).json()
    assert (told["metric"], told["window"], told["views"]) == ("gpm", "show", 1000)
    assert told["standings"][0]["gpm_minor"] == 3 * 1999 + 9900


async def test_a_board_comes_in_pages(shop: Shopfront) -> None:
    """The ranks go on where the page before ended."""
    stream_id, listing_id = await shop.open()
    for n in range(3):
        order_id = await shop.place(stream_id, listing_id, n + 1, who=f"buyer:viewer-{n}")
        await shop.pay(order_id, who=f"buyer:viewer-{n}")
    path = f"/v1/streams/{stream_id}/leaderboards/buyers?limit=2"
    first = (await shop.get(f"{path}&min_position={await shop.head()}")).json()
    second = (await shop.get(f"{path}&cursor={first['next_cursor']}")).json()
    ranks = [(each["rank"], each["subject_id"]) for page in (first, second) for each in page["standings"]]
    assert ranks == [(1, "viewer-2"), (2, "viewer-1"), (3, "viewer-0")]
    assert second["next_cursor"] is None


async def test_what_is_owed_can_be_asked(shop: Shopfront) -> None:
    """A sale's commission is pending until the goods can no longer come back; who earned nothing is owed nothing."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.paid(stream_id, listing_id)
    await shop.react(order_id)
    position = await shop.head()
    owed = (await shop.get(f"/v1/payouts?payee_id=host-1&currency=EUR&min_position={position}", who="host")).json()
    assert (owed["pending_minor"], owed["payable_minor"], owed["as_of_position"]) == (200, 0, position)
    none = (await shop.get("/v1/payouts?payee_id=host-9&currency=EUR", who="finance")).json()
    assert (none["payee_id"], none["pending_minor"]) == ("host-9", 0)
    for query in (f"order_id={order_id}", "payee_id=host-1"):
        (earned,) = (await shop.get(f"/v1/commissions?{query}", who="finance")).json()["commissions"]
        assert (earned["amount_minor"], earned["rate_bps"], earned["status"]) == (200, 1000, "accrued")
    problem(await shop.get("/v1/commissions", who="finance"), 422, "invalid")


async def test_the_journal_is_read_in_order(shop: Shopfront) -> None:
    """Every record with its event, who asked for it and by which command; pages follow each other without a gap."""
    stream_id, listing_id = await shop.open()
    await shop.place(stream_id, listing_id)
    read, after = [], 0
    while after is not None:
        page = (await shop.get(f"/v1/journal?after={after}&limit=3", who="auditor")).json()
        read += page["records"]
        after = page["next_after"]
    assert [record["position"] for record in read] == list(range(1, await shop.head() + 1))
    placed = read[-1]
    assert placed["topic"] == "order.order_placed.v1"
    assert placed["data"]["buyer_id"] == "buyer-1"
    assert (placed["metadata"]["actor"], placed["metadata"]["command"]) == ("buyer:buyer-1", "place_order")


async def test_an_auditor_sees_how_it_was(shop: Shopfront) -> None:
    """As of a position everything answers as it did then: a show, a listing, an order, the stock and the boards."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    then = await shop.head()
    await shop.pay(order_id)
    await shop.must(f"/v1/streams/{stream_id}/end")
    for path in (f"/v1/streams/{stream_id}", f"/v1/listings/{listing_id}", f"/v1/orders/{order_id}"):
        past, now = await shop.get(f"{path}?as_of={then}", who="auditor"), await shop.get(path, who="auditor")
        assert (past.json()["position"], past.headers["etag"]) != (now.json()["position"], now.headers["etag"]), path
        assert past.json()["position"] == then
    order = (await shop.get(f"/v1/orders/{order_id}?as_of={then}", who="auditor")).json()
    assert order["status"] == "placed"
    stock = (await shop.get(f"/v1/streams/{stream_id}/stock?as_of={then}", who="auditor")).json()
    assert (stock["as_of_position"], stock["listings"][0]["reserved"]) == (then, 1)
    board = (await shop.get(f"/v1/streams/{stream_id}/leaderboards/hosts?as_of={then}", who="auditor")).json()
    assert (board["as_of_position"], board["standings"]) == (then, [])


async def test_what_was_not_there_yet_is_not_found(shop: Shopfront) -> None:
    """As of a position before its show, stock and boards answer as the show itself does, not with empty lists."""
    await shop.schedule()
    before = await shop.head()
    stream_id = await shop.schedule()
    for path in ("", "/stock", "/leaderboards/hosts"):
        earlier = await shop.get(f"/v1/streams/{stream_id}{path}?as_of={before}", who="auditor")
        assert problem(earlier, 404, "not_found")["what"] == "stream"
        later = await shop.get(f"/v1/streams/{stream_id}{path}?as_of={before + 1}", who="auditor")
        assert later.status_code == 200, path


async def test_how_it_was_can_be_asked_by_time(shop: Shopfront) -> None:
    """A time means the last position recorded by then, in whatever zone it is written."""
    stream_id = await shop.schedule()
    then = shop.clock.now()
    shop.clock.advance(60)
    await shop.must(f"/v1/streams/{stream_id}/start")
    elsewhere = (then + timedelta(hours=1)).isoformat().replace("+00:00", "+01:00")
    for instant in (then.isoformat().replace("+00:00", "Z"), elsewhere.replace("+", "%2B"), elsewhere):
        told = (await shop.get(f"/v1/streams/{stream_id}?as_of={instant}", who="auditor")).json()
        assert (told["status"], told["version"]) == ("scheduled", 2)
    before = (then - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    problem(await shop.get(f"/v1/streams/{stream_id}?as_of={before}", who="auditor"), 404, "not_found")


@pytest.mark.parametrize(
    "as_of",
    ["9999", "2031-01-01T00:00:00Z", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "T", "-1", "yesterday", "%C2%B2"],
)
async def test_as_of_is_a_position_or_a_time_that_has_been(shop: Shopfront, as_of: str) -> None:
    """Nothing can be said of the future."""
    stream_id = await shop.schedule()
    for path in (f"/v1/streams/{stream_id}", f"/v1/streams/{stream_id}/stock"):
        refused = problem(await shop.get(f"{path}?as_of={as_of}", who="auditor"), 422, "invalid")
        assert refused["field"] == "as_of"


async def test_viewers_see_the_present(shop: Shopfront) -> None:
    """A replay costs more than a look, so who asks how it was says who it is."""
    stream_id = await shop.schedule()
    problem(await shop.get(f"/v1/streams/{stream_id}?as_of=1", who=""), 401, "unauthenticated")
    problem(await shop.get(f"/v1/streams/{stream_id}/stock?as_of=1", who="buyer"), 403, "forbidden")


async def test_a_read_waits_for_the_position_it_is_asked_for() -> None:
    """A read model that does not get there in time says so, and when to come again."""
    async with opened(Build(follows=False)) as shop:
        stream_id = await shop.schedule()
        behind = await shop.get(f"/v1/streams/{stream_id}/stock?min_position=1")
        assert problem(behind, 503, "position_not_reached")["min_position"] == 1
        assert behind.headers["retry-after"] == "1"
        problem(
            await shop.get(f"/v1/streams/{stream_id}/stock", Livetill_Min_Position="1"), 503, "position_not_reached"
        )
        await shop.follower.catch_up()
        assert (await shop.get(f"/v1/streams/{stream_id}/stock", Livetill_Min_Position="2")).status_code == 200
        assert (await shop.get(f"/v1/streams/{stream_id}?min_position=2")).status_code == 200
        for path in (f"/v1/streams/{stream_id}", f"/v1/streams/{stream_id}/stock"):
            refused = problem(await shop.get(f"{path}?min_position=3"), 422, "invalid")
            assert refused["field"] == "min_position"
        problem(await shop.get(f"/v1/streams/{stream_id}", Livetill_Min_Position="soon"), 422, "invalid")


class Meanwhile(MemoryJournal):
    """A journal in which something is written while somebody waits to hear how long it is."""

    written: Callable[[], Awaitable[object]] | None = None

    async def head(self) -> int:
        """Return the last position."""
        written, self.written = self.written, None
        if written is not None:
            await written()
        return await super().head()


@pytest.mark.parametrize("what", ["streams", "listings", "orders"])
async def test_what_is_read_is_true_at_the_position_that_is_told(what: str) -> None:
    """A look that has to wait is taken after the wait, so that a replay up to its position shows the same."""
    journal = Meanwhile(ManualClock())
    async with opened(Build(journal=journal)) as shop:
        stream_id, listing_id = await shop.open()
        order_id = await shop.paid(stream_id, listing_id)
        path, changed, body = {
            "streams": (f"/v1/streams/{stream_id}", f"/v1/streams/{stream_id}/teasers", {"text": "Soon"}),
            "listings": (f"/v1/listings/{listing_id}", f"/v1/listings/{listing_id}/allot", {"quantity": 5}),
            "orders": (f"/v1/orders/{order_id}", f"/v1/orders/{order_id}/ship", None),
        }[what]
        journal.written = partial(shop.must, changed, body)
        now = (await shop.get(f"{path}?min_position=1")).json()
        then = (await shop.get(f"{path}?as_of={now['position']}")).json()
        assert journal.written is None
        assert now == then
