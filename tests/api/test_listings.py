"""Listings over HTTP: stock, prices, windows and discounts."""

from tests.api.shopfront import Shopfront, eur, problem


async def test_an_offered_product_can_be_found(shop: Shopfront) -> None:
    """201 with its place, its units, its price and its window."""
    stream_id = await shop.schedule()
    listing = {
        "sku": "SCARF-RED", "title": "Red scarf", "price": eur(1999), "allotment": 10, "purchase_limit": 2,
        "opens_at": "2030-01-01T20:05:00Z", "closes_at": "2030-01-01T20:15:00Z", "countdown_seconds": 60,
        "discount": {"ends_at": "2030-01-02T00:00:00Z", "percent_bps": 1000},
    }  # fmt: skip
    response = await shop.post(f"/v1/streams/{stream_id}/listings", listing, who="host")
    assert response.status_code == 201
    offered = response.json()
    assert (offered["status"], offered["price"], offered["hold_seconds"]) == ("scheduled", eur(1999), 300)
    assert offered["window"] == {
        "number": 1, "state": "scheduled", "opens_at": "2030-01-01T20:05:00Z", "closes_at": "2030-01-01T20:15:00Z",
        "countdown_seconds": 60,
    }  # fmt: skip
    assert (offered["units"]["allotted"], offered["units"]["available"], offered["purchase_limit"]) == (10, 10, 2)
    assert [each["percent_bps"] for each in offered["discounts"]] == [1000]
    assert (await shop.get(response.headers["location"], who="")).json() == offered


async def test_a_draft_opens_by_hand(shop: Shopfront) -> None:
    """Without a time it waits; opened it sells at once, or after a countdown; closed it does not."""
    stream_id = await shop.go_live()
    listing_id = await shop.offer(stream_id, opens_at=None)
    path = f"/v1/listings/{listing_id}"
    assert (await shop.get(path)).json()["status"] == "draft"
    counting = await shop.must(f"{path}/open", {"countdown_seconds": 10, "closes_at": "2030-01-01T00:10:00Z"})
    assert (counting["status"], counting["window"]["opens_at"]) == ("countdown", "2030-01-01T00:00:10Z")
    shop.clock.advance(10)
    assert (await shop.get(path)).json()["status"] == "open"
    longer = await shop.must(f"{path}/extend", {"closes_at": "2030-01-01T00:20:00Z"})
    assert longer["window"]["closes_at"] == "2030-01-01T00:20:00Z"
    assert (await shop.must(f"{path}/close"))["status"] == "closed"
    problem(await shop.post(f"{path}/extend", {"closes_at": "2030-01-01T00:30:00Z"}), 409, "not_allowed_now")
    assert (await shop.must(f"{path}/open"))["window"]["number"] == 2


async def test_a_price_may_fall_but_not_rise_in_an_open_window(shop: Shopfront) -> None:
    """What viewers saw only gets cheaper, and only in the show's currency."""
    _, listing_id = await shop.open()
    path = f"/v1/listings/{listing_id}/price"
    assert (await shop.must(path, {"price": eur(1499)}))["price"] == eur(1499)
    assert problem(await shop.post(path, {"price": eur(1999)}), 409, "price_may_not_rise")["now"] == 1499
    dollars = {"price": {"amount_minor": 999, "currency": "USD"}}
    assert problem(await shop.post(path, dollars), 422, "invalid")["field"] == "price.currency"


async def test_a_discount_counts_until_it_is_stopped(shop: Shopfront) -> None:
    """The best price applies; afterwards it is the list price again."""
    stream_id, listing_id = await shop.open()
    path = f"/v1/listings/{listing_id}"
    flash = {"discount_id": "flash", "ends_at": "2030-01-01T01:00:00Z", "price_minor": 1000}
    await shop.must(f"{path}/discount", flash)
    line = (await shop.order(stream_id, listing_id)).json()["lines"][0]
    assert (line["unit_price_minor"], line["discount_id"]) == (1000, "flash")
    problem(await shop.post(f"{path}/discount", {**flash, "price_minor": 900}), 409, "already_exists")
    assert (await shop.must(f"{path}/discounts/flash/end"))["discounts"] == []
    assert (await shop.order(stream_id, listing_id)).json()["total"] == eur(1999)


async def test_units_move_and_none_is_lost(shop: Shopfront) -> None:
    """Given, taken back and counted anew; what is promised cannot be taken unless it is forced."""
    stream_id, listing_id = await shop.open(allotment=5)
    path = f"/v1/listings/{listing_id}"
    assert (await shop.must(f"{path}/allot", {"quantity": 5}, who="brand"))["units"]["available"] == 10
    assert (await shop.must(f"{path}/return-allotment", {"quantity": 4}))["units"]["returned_to_source"] == 4
    await shop.place(stream_id, listing_id, 4)
    refused = await shop.post(f"{path}/return-allotment", {"quantity": 3})
    assert problem(refused, 409, "stock_is_promised") | {"available": 2, "promised": 4} == refused.json()
    cut = {"delta": -3, "reason": "count"}
    problem(await shop.post(f"{path}/adjust", cut), 409, "stock_is_promised")
    forced = (await shop.must(f"{path}/adjust", {**cut, "force": True}))["units"]
    assert forced["allotted"] == sum(value for name, value in forced.items() if name != "allotted")


async def test_a_limit_can_be_set_and_lifted(shop: Shopfront) -> None:
    """Null is no limit."""
    _, listing_id = await shop.open()
    path = f"/v1/listings/{listing_id}/purchase-limit"
    assert (await shop.must(path, {"limit": 3}))["purchase_limit"] == 3
    assert (await shop.must(path, {"limit": None}))["purchase_limit"] is None


async def test_what_was_withdrawn_takes_no_more_edits(shop: Shopfront) -> None:
    """It stays visible, as withdrawn."""
    _, listing_id = await shop.open()
    assert (await shop.must(f"/v1/listings/{listing_id}/withdraw"))["status"] == "withdrawn"
    problem(await shop.post(f"/v1/listings/{listing_id}/open"), 409, "listing_withdrawn")


async def test_nothing_is_offered_in_a_show_that_is_over(shop: Shopfront) -> None:
    """A listing belongs to a show that is still to end, and that there is."""
    stream_id = await shop.go_live()
    await shop.must(f"/v1/streams/{stream_id}/end")
    listing = {"sku": "A", "title": "A", "price": eur(100)}
    problem(await shop.post(f"/v1/streams/{stream_id}/listings", listing), 409, "not_allowed_now")
    problem(await shop.post("/v1/streams/stream-unknown/listings", listing), 404, "not_found")


async def test_no_window_opens_in_a_show_that_is_over(shop: Shopfront) -> None:
    """Ended or called off; when it comes back, windows open again."""
    ended, called_off = await shop.go_live(), await shop.schedule()
    listings = [await shop.offer(stream_id, opens_at=None) for stream_id in (ended, called_off)]
    await shop.must(f"/v1/streams/{ended}/end")
    await shop.must(f"/v1/streams/{called_off}/cancel")
    for listing_id, status in zip(listings, ("ended", "cancelled"), strict=True):
        refused = problem(await shop.post(f"/v1/listings/{listing_id}/open", {}), 409, "not_allowed_now")
        assert (refused["action"], refused["current_status"]) == ("open_window", status)
    await shop.must(f"/v1/streams/{ended}/restart")
    assert (await shop.must(f"/v1/listings/{listings[0]}/open"))["status"] == "open"


async def test_a_look_says_what_can_be_had_of_it(shop: Shopfront) -> None:
    """Alone as in the show's stock, now as in the past: what its components allow, and nothing without one of them."""
    stream_id, scarf = await shop.open(allotment=5)
    parts = [{"listing_id": scarf, "quantity": 2}]
    look_id = await shop.offer(stream_id, 0, sku="LOOK", price=eur(2999), components=parts)
    made = await shop.head()
    await shop.place(stream_id, look_id)
    assert (await left(shop, look_id), await in_stock(shop, stream_id, look_id)) == (1, 1)
    assert await left(shop, look_id, f"?as_of={made}") == 2
    await shop.must(f"/v1/listings/{scarf}/withdraw")
    assert (await left(shop, look_id), await in_stock(shop, stream_id, look_id)) == (0, 0)


async def left(shop: Shopfront, listing_id: str, query: str = "") -> int:
    """Return how many are available as the listing says."""
    return int((await shop.get(f"/v1/listings/{listing_id}{query}")).json()["units"]["available"])


async def in_stock(shop: Shopfront, stream_id: str, listing_id: str) -> int:
    """Return how many are available as the show's stock says."""
    listings = (await shop.get(f"/v1/streams/{stream_id}/stock?min_position={await shop.head()}")).json()["listings"]
    return next(int(each["available"]) for each in listings if each["listing_id"] == listing_id)
