"""Said twice, done once: the same key gets the first answer, another body gets a refusal."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from api.idempotency import new_id
from tests.api.shopfront import BUYER, Build, Shopfront, opened, problem


async def test_the_same_key_gets_the_first_answer(shop: Shopfront) -> None:
    """A buyer who asks again has one order, and is told that the answer is an old one."""
    stream_id, listing_id = await shop.open()
    first = await shop.order(stream_id, listing_id, key="tap-1")
    head = await shop.head()
    again = await shop.order(stream_id, listing_id, key="tap-1")
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert "idempotent-replayed" not in first.headers
    assert await shop.head() == head


async def test_a_double_tap_is_one_order(shop: Shopfront) -> None:
    """Twenty requests with one key that arrive together place one order, and all are told of it."""
    stream_id, listing_id = await shop.open()
    answers = await asyncio.gather(*(shop.order(stream_id, listing_id, key="tap-1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["order_id"] for answer in answers}) == 1
    assert (await shop.get(f"/v1/listings/{listing_id}")).json()["units"]["reserved"] == 1


async def test_the_first_answer_survives_the_process(shop: Shopfront) -> None:
    """The keys are in the journal: a shop that starts anew over it gives the answer that was given."""
    stream_id, listing_id = await shop.open()
    first = await shop.order(stream_id, listing_id, key="tap-1")
    async with opened(Build(clock=shop.clock, journal=shop.journal)) as restarted:
        again = await restarted.order(stream_id, listing_id, key="tap-1")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_refusal_is_repeated_word_for_word(shop: Shopfront) -> None:
    """Who was told "sold out" is told the same again with the same key, even when units came back meanwhile."""
    stream_id, listing_id = await shop.open(allotment=1)
    order_id = await shop.place(stream_id, listing_id, who="buyer:viewer-2")
    first = await shop.order(stream_id, listing_id, key="tap-1")
    await shop.must(f"/v1/orders/{order_id}/cancel")
    again = await shop.order(stream_id, listing_id, key="tap-1")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (await shop.order(stream_id, listing_id, key="tap-2")).status_code == 201


async def test_a_key_is_good_for_one_body(shop: Shopfront) -> None:
    """The same key with other words is a mistake of the client, and nothing happens."""
    stream_id, listing_id = await shop.open()
    await shop.order(stream_id, listing_id, 1, key="tap-1")
    head = await shop.head()
    problem(await shop.order(stream_id, listing_id, 2, key="tap-1"), 422, "idempotency_conflict")
    assert await shop.head() == head


async def test_a_key_is_good_for_one_path(shop: Shopfront) -> None:
    """A key of one show's edit does not answer for another's."""
    one, other = await shop.schedule(), await shop.schedule()
    await shop.must(f"/v1/streams/{one}/teasers", {"text": "Soon"}, key="tease")
    problem(await shop.post(f"/v1/streams/{other}/teasers", {"text": "Soon"}, key="tease"), 422, "idempotency_conflict")


async def test_keys_belong_to_their_principal(shop: Shopfront) -> None:
    """Two buyers who happen to choose the same key have an order each."""
    stream_id, listing_id = await shop.open()
    one = await shop.place(stream_id, listing_id, who=f"buyer:{BUYER}", key="1")
    other = await shop.place(stream_id, listing_id, who="buyer:viewer-2", key="1")
    assert one != other


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "tab\there"])
async def test_a_key_is_short_and_printable(shop: Shopfront, key: str) -> None:
    """What is no sound key is refused on every write, also where none is needed."""
    headers = [(name.encode(), value.encode()) for name, value in shop.token("admin").items()]
    headers.append((b"idempotency-key", key.encode("latin-1")))
    response = await shop.http.post("/v1/streams/stream-1/start", headers=headers)
    problem(response, 400, "idempotency_key_malformed")


async def test_what_costs_when_done_twice_needs_a_key(shop: Shopfront) -> None:
    """Orders, payments and refunds are refused without one, and nothing is written."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    head = await shop.head()
    order = {"stream_id": stream_id, "lines": [{"listing_id": listing_id, "quantity": 1}]}
    for path, body in (
        ("/v1/orders", order),
        (f"/v1/orders/{order_id}/payments", {"payment_token": "tok_ok"}),
        (f"/v1/orders/{order_id}/refunds", {"amount_minor": 1, "reason": "goodwill"}),
    ):
        refused = await shop.post(path, {**body, "buyer_id": BUYER} if body is order else body, key=None)
        problem(refused, 400, "idempotency_key_required")
    assert await shop.head() == head


async def test_other_writes_take_a_key_too(shop: Shopfront) -> None:
    """Creating a listing twice with one key makes one listing; without keys it makes two."""
    stream_id = await shop.schedule()
    listing = {"sku": "A", "title": "A", "price": {"amount_minor": 100, "currency": "EUR"}, "allotment": 5}
    path = f"/v1/streams/{stream_id}/listings"
    one = await shop.must(path, listing, key="create")
    again = await shop.must(path, listing, key="create")
    assert again == one
    two = await shop.must(path, listing, key=None)
    assert two["listing_id"] != (await shop.must(path, listing, key=None))["listing_id"]


async def test_a_stock_movement_with_a_key_is_booked_once(shop: Shopfront) -> None:
    """An allotment that is said twice with its key, or with its reference, gives the units once."""
    stream_id = await shop.schedule()
    listing_id = await shop.offer(stream_id, 5)
    path = f"/v1/listings/{listing_id}/allot"
    await shop.must(path, {"quantity": 3}, key="more")
    await shop.must(path, {"quantity": 3}, key="more")
    await shop.must(path, {"quantity": 2, "reference": "delivery-7"})
    last = await shop.must(path, {"quantity": 2, "reference": "delivery-7"})
    assert last["units"]["allotted"] == 10


async def test_a_key_of_a_request_that_left_no_record_may_be_used_again(shop: Shopfront) -> None:
    """Malformed, or about something that does not exist: nothing was written, so nothing is in the way."""
    stream_id, listing_id = await shop.open()
    head = await shop.head()
    problem(await shop.order(stream_id, listing_id, 0, key="tap-1"), 422, "invalid")
    problem(await shop.order(stream_id, "listing-none", key="tap-1"), 404, "not_found")
    assert await shop.head() == head
    assert (await shop.order(stream_id, listing_id, key="tap-1")).status_code == 201


def test_new_names_never_repeat_and_later_ones_sort_after() -> None:
    """Given thousands of names of one millisecond and of the next, all differ, are as long, and sort."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    first = [new_id("order", now) for _ in range(2_000)]
    later = [new_id("order", now + timedelta(milliseconds=1)) for _ in range(2_000)]
    assert len({*first, *later}) == 4_000
    assert {len(each) for each in (*first, *later)} == {len("order-") + 12 + 20}
    assert max(first) < min(later)
