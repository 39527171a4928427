"""Orders over HTTP: what is promised, what is refused, and with which facts."""

import asyncio
from typing import Any

from tests.api.shopfront import BUYER, Shopfront, eur, problem


async def test_an_order_holds_its_units_at_a_price(shop: Shopfront) -> None:
    """Placing answers with the lines, what they cost, until when, and where the order is to be found."""
    stream_id, listing_id = await shop.open(hold_seconds=600)
    response = await shop.order(stream_id, listing_id, 2)
    assert response.status_code == 201
    placed = response.json()
    assert placed["total"] == eur(3998)
    assert (placed["status"], placed["buyer_id"], placed["payment"]) == ("placed", BUYER, "none")
    assert placed["hold_expires_at"] == "2030-01-01T00:10:00Z"
    assert placed["position"] == await shop.head()
    assert placed["lines"] == [
        {
            "line_id": "1", "listing_id": listing_id, "quantity": 2, "unit_price_minor": 1999, "amount_minor": 3998,
            "cancelled": 0, "returned": 0, "refunded_minor": 0, "look_id": None, "discount_id": None,
        }
    ]  # fmt: skip
    assert response.headers["location"] == f"/v1/orders/{placed['order_id']}"
    found = await shop.get(response.headers["location"], who="buyer")
    assert found.json() == placed


async def test_of_many_buyers_exactly_as_many_are_served_as_there_are_units(shop: Shopfront) -> None:
    """Forty ask for ten units at once: ten get one each, thirty are told that none is left."""
    stream_id, listing_id = await shop.open(allotment=10)
    asked = [shop.order(stream_id, listing_id, who=f"buyer:viewer-{n}") for n in range(40)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 30
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert problem(refused, 409, "sold_out")["available"] == 0


async def test_a_refused_order_is_written_down(shop: Shopfront) -> None:
    """Demand that went unserved can be read from the list of orders, with its reason."""
    stream_id, listing_id = await shop.open(allotment=1)
    refused = problem(await shop.order(stream_id, listing_id, 2), 409, "sold_out")
    assert (refused["listing_id"], refused["available"]) == (listing_id, 1)
    assert refused["position"] == await shop.head()
    listed = await shop.get(f"/v1/orders?min_position={refused['position']}", who="buyer")
    (row,) = listed.json()["orders"]
    assert (row["status"], row["reason"], row["units"], row["total"]) == ("refused", "sold_out", 2, None)
    told = (await shop.get(f"/v1/orders/{row['order_id']}", who="buyer")).json()
    assert told["refusal"]["reason"] == "sold_out"
    assert told["total"] is None


async def test_a_window_that_is_not_open_says_when_it_opens(shop: Shopfront) -> None:
    """A buyer who is early is told the time, one who is late is told that it was."""
    stream_id, listing_id = await shop.open(opens_at="2030-01-01T00:05:00Z", closes_at="2030-01-01T00:10:00Z")
    early = problem(await shop.order(stream_id, listing_id), 409, "window_not_open")
    assert early["opens_at"] == "2030-01-01T00:05:00Z"
    shop.clock.advance(600)
    late = problem(await shop.order(stream_id, listing_id), 409, "window_closed")
    assert late["closed_at"] == "2030-01-01T00:10:00Z"


async def test_a_purchase_limit_says_what_is_held(shop: Shopfront) -> None:
    """The limit counts what a buyer holds and bought, over all of its orders."""
    stream_id, listing_id = await shop.open(purchase_limit=2)
    await shop.place(stream_id, listing_id, 1)
    refused = problem(await shop.order(stream_id, listing_id, 2), 409, "purchase_limit_exceeded")
    assert (refused["limit"], refused["held"]) == (2, 1)


async def test_a_price_that_was_seen_is_the_price_or_both_are_told(shop: Shopfront) -> None:
    """A client that sends the price it saw never pays another."""
    stream_id, listing_id = await shop.open()
    await shop.must(f"/v1/listings/{listing_id}/price", {"price": eur(1499)})
    refused = problem(await shop.order(stream_id, listing_id, unit_price_minor=1999), 409, "price_changed")
    assert (refused["seen"], refused["now"]) == (1999, 1499)
    assert (await shop.order(stream_id, listing_id, unit_price_minor=1499)).status_code == 201


async def test_sales_happen_only_during_the_show(shop: Shopfront) -> None:
    """Before the show nothing is sold, and the answer says where the show stands."""
    stream_id = await shop.schedule()
    listing_id = await shop.offer(stream_id)
    refused = problem(await shop.order(stream_id, listing_id), 409, "stream_not_live")
    assert refused["current_status"] == "scheduled"


async def test_a_withdrawn_listing_is_not_sold(shop: Shopfront) -> None:
    """What left the show cannot be ordered."""
    stream_id, listing_id = await shop.open()
    await shop.must(f"/v1/listings/{listing_id}/withdraw", {"reason": "damaged batch"})
    problem(await shop.order(stream_id, listing_id), 409, "listing_withdrawn")


async def test_what_does_not_exist_cannot_be_ordered(shop: Shopfront) -> None:
    """An unknown show or listing, or one of another show, is not found."""
    stream_id, listing_id = await shop.open()
    other_id = await shop.go_live(host_id="host-2")
    head = await shop.head()
    assert problem(await shop.order("stream-unknown", listing_id), 404, "not_found")["what"] == "stream"
    assert problem(await shop.order(stream_id, "listing-unknown"), 404, "not_found")["what"] == "listing"
    problem(await shop.order(other_id, listing_id), 404, "not_found")
    assert await shop.head() == head


async def test_a_client_orders_for_a_buyer_and_must_say_for_whom(shop: Shopfront) -> None:
    """Only a buyer's own order goes without a buyer's name."""
    stream_id, listing_id = await shop.open()
    order: dict[str, Any] = {"stream_id": stream_id, "lines": [{"listing_id": listing_id, "quantity": 1}]}
    refused = problem(await shop.post("/v1/orders", order, who="client"), 422, "invalid")
    assert refused["field"] == "buyer_id"
    placed = await shop.must("/v1/orders", {**order, "buyer_id": "viewer-9"}, who="client")
    assert placed["buyer_id"] == "viewer-9"
    problem(await shop.post("/v1/orders", {**order, "buyer_id": "viewer-9"}, who="buyer"), 403, "forbidden")


async def test_a_look_is_reserved_whole_or_not_at_all(shop: Shopfront) -> None:
    """One component that is gone refuses the look, and no unit of the others is held."""
    stream_id, scarf = await shop.open(allotment=5)
    bag = await shop.offer(stream_id, 1, sku="BAG", price=eur(5000))
    parts = [{"listing_id": scarf, "quantity": 1}, {"listing_id": bag, "quantity": 1}]
    look = await shop.offer(stream_id, 0, sku="LOOK", price=eur(5999), components=parts)
    placed = (await shop.order(stream_id, look)).json()
    assert [line["listing_id"] for line in placed["lines"]] == [scarf, bag]
    assert {line["look_id"] for line in placed["lines"]} == {look}
    assert placed["total"] == eur(5999)
    problem(await shop.order(stream_id, look), 409, "sold_out")
    assert (await shop.get(f"/v1/listings/{scarf}")).json()["units"]["reserved"] == 1


async def test_an_order_comes_to_a_thousand_lines_with_all_that_looks_are_made_of(shop: Shopfront) -> None:
    """What a look expands to counts: one order is one append and one record of all its lines."""
    stream_id = await shop.go_live()
    parts = [{"listing_id": await shop.offer(stream_id, 1_000, sku=f"P{number}")} for number in range(50)]
    look = await shop.offer(stream_id, 0, sku="LOOK", price=eur(5999), components=parts)
    lines = [{"listing_id": look, "quantity": 1} for _ in range(20)]
    assert len((await shop.must("/v1/orders", {"stream_id": stream_id, "lines": lines}, who="buyer"))["lines"]) == 1_000
    lines.append({"listing_id": parts[0]["listing_id"], "quantity": 1})
    refused = await shop.post("/v1/orders", {"stream_id": stream_id, "lines": lines}, who="buyer")
    assert problem(refused, 422, "invalid")["detail"] == (
        "lines: come to more than 1000 with every component of a look as a line of its own"
    )


async def test_an_order_goes_its_way_to_the_buyer_and_back(shop: Shopfront) -> None:
    """Paid, shipped, delivered; a unit comes back and is on sale again, and its price is refunded."""
    stream_id, listing_id = await shop.open(allotment=5)
    order_id = await shop.paid(stream_id, listing_id, 2)
    path = f"/v1/orders/{order_id}"
    assert (await shop.must(f"{path}/ship", who="brand"))["status"] == "shipped"
    delivered = await shop.must(f"{path}/deliver", who="brand")
    assert delivered["return_window_ends_at"] == "2030-01-15T00:00:00Z"
    announced = await shop.post(f"{path}/returns", {"line_id": "1", "quantity": 1}, who="buyer")
    assert announced.status_code == 201
    return_id = announced.json()["return_id"]
    received = await shop.must(f"{path}/returns/{return_id}/receive", {"disposition": "restock"}, who="brand")
    assert received["lines"][0]["returned"] == 1
    assert received["returns"] == [{"return_id": return_id, "line_id": "1", "quantity": 1, "received": True}]
    refunded = await shop.post(f"{path}/refunds", {"amount_minor": 1999, "reason": "returned"}, who="finance")
    assert refunded.status_code == 201
    after = refunded.json()["order"]
    assert (after["status"], after["captured_minor"], after["refunded_minor"]) == ("partially_refunded", 3998, 1999)
    (refund,) = after["refunds"]
    assert refund == {
        "refund_id": refunded.json()["refund_id"], "amount_minor": 1999, "kind": "captured", "reason": "returned",
    }  # fmt: skip
    assert (await shop.get(f"/v1/listings/{listing_id}")).json()["units"]["available"] == 4


async def test_more_than_came_in_never_goes_back(shop: Shopfront) -> None:
    """Of two refunds at the same time that are too much together, one is refused and told what is left."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.paid(stream_id, listing_id)
    body = {"amount_minor": 1500, "reason": "goodwill"}
    first, second = await asyncio.gather(
        *(shop.post(f"/v1/orders/{order_id}/refunds", body, who="finance") for _ in range(2))
    )
    assert first.status_code == 201
    assert problem(second, 409, "refund_exceeds_captured")["refundable_minor"] == 499


async def test_cancelling_gives_units_and_money_back(shop: Shopfront) -> None:
    """A paid order that is called off is refunded, and its units are for sale again."""
    stream_id, listing_id = await shop.open(allotment=3)
    order_id = await shop.paid(stream_id, listing_id, 3)
    path = f"/v1/orders/{order_id}/cancel"
    less = await shop.must(path, {"line_id": "1", "quantity": 1}, who="buyer")
    assert (less["status"], less["refunded_minor"], less["lines"][0]["cancelled"]) == ("partially_refunded", 1999, 1)
    gone = await shop.must(path, {"line_id": "1"}, who="buyer")
    assert (gone["status"], gone["refunded_minor"]) == ("cancelled", 5997)
    assert (await shop.get(f"/v1/listings/{listing_id}")).json()["units"]["available"] == 3


async def test_of_a_cancelled_order_no_unit_is_ordered_any_more(shop: Shopfront) -> None:
    """Its lines say so as its row in the list does; what went back is what was paid."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.paid(stream_id, listing_id, 2)
    gone = await shop.must(f"/v1/orders/{order_id}/cancel", who="buyer")
    assert [(each["quantity"], each["cancelled"], each["refunded_minor"]) for each in gone["lines"]] == [(2, 2, 3998)]
    row = await listed(shop, stream_id)
    assert (row["status"], row["units"], row["refunded_minor"]) == ("cancelled", 0, 3998)


async def listed(shop: Shopfront, stream_id: str) -> dict[str, Any]:
    """Return the row of a show's only order."""
    answer = await shop.get(f"/v1/orders?stream_id={stream_id}&min_position={await shop.head()}")
    (row,) = answer.json()["orders"]
    return dict(row)


async def test_money_given_back_does_not_hide_where_the_goods_are(shop: Shopfront) -> None:
    """An order of which a part was refunded still says when it was sent, and why something is not allowed now."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.paid(stream_id, listing_id, 2)
    await shop.post(f"/v1/orders/{order_id}/cancel", {"line_id": "1", "quantity": 1}, who="buyer")
    early = problem(await shop.post(f"/v1/orders/{order_id}/deliver"), 409, "not_allowed_now")
    assert early["current_status"] == "paid"
    sent = (await shop.post(f"/v1/orders/{order_id}/ship")).json()
    assert (sent["status"], sent["delivered_at"]) == ("partially_refunded", None)
    assert sent["shipped_at"] == shop.clock.now().isoformat().replace("+00:00", "Z")
    late = problem(await shop.post(f"/v1/orders/{order_id}/cancel", {}, who="buyer"), 409, "not_allowed_now")
    assert late["current_status"] == "shipped"


async def test_cancelling_asks_for_what_makes_sense(shop: Shopfront) -> None:
    """A quantity needs its line, and a line that is not there is not found."""
    stream_id, listing_id = await shop.open()
    path = f"/v1/orders/{await shop.place(stream_id, listing_id)}/cancel"
    assert problem(await shop.post(path, {"quantity": 1}, who="buyer"), 422, "invalid")["field"] == "line_id"
    assert problem(await shop.post(path, {"line_id": "7"}, who="buyer"), 404, "not_found")["what"] == "line"
    assert (await shop.must(path, who="buyer"))["status"] == "cancelled"


async def test_what_was_sent_cannot_be_cancelled(shop: Shopfront) -> None:
    """Of cancelling and shipping, whichever is written first wins; the answer says where the order stands."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.paid(stream_id, listing_id)
    await shop.must(f"/v1/orders/{order_id}/ship", who="client")
    refused = problem(await shop.post(f"/v1/orders/{order_id}/cancel", who="buyer"), 409, "not_allowed_now")
    assert (refused["action"], refused["current_status"]) == ("cancel_order", "shipped")


async def test_returns_have_their_limits(shop: Shopfront) -> None:
    """Not more than was delivered comes back, and not after the return window."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.delivered(stream_id, listing_id)
    path = f"/v1/orders/{order_id}/returns"
    refused = await shop.post(path, {"line_id": "1", "quantity": 2}, who="buyer")
    assert problem(refused, 409, "return_exceeds_delivered")["returnable"] == 1
    shop.clock.advance(15 * 86_400)
    problem(await shop.post(path, {"line_id": "1", "quantity": 1}, who="buyer"), 409, "return_window_closed")


async def test_orders_are_listed_by_buyer_and_by_show(shop: Shopfront) -> None:
    """A list comes in pages, oldest first, and its cursor leads through all of it."""
    stream_id, listing_id = await shop.open()
    placed = []
    for n in range(5):
        placed.append(await shop.place(stream_id, listing_id, who=f"buyer:viewer-{n % 2}"))
        shop.clock.advance(1)
    head, listed, cursor = await shop.head(), list[str](), ""
    while True:
        path = f"/v1/orders?stream_id={stream_id}&limit=2&min_position={head}{cursor}"
        page = (await shop.get(path, who="brand")).json()
        listed += [row["order_id"] for row in page["orders"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert listed == placed
    own = (await shop.get("/v1/orders", who="buyer:viewer-1")).json()["orders"]
    assert [row["order_id"] for row in own] == placed[1::2]
    of_buyer = await shop.get("/v1/orders?buyer_id=viewer-0", who="client")
    assert [row["order_id"] for row in of_buyer.json()["orders"]] == placed[::2]
