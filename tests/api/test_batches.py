"""Several orders in one request: each is answered as it would have been alone, and none stands for another."""

import asyncio
from typing import Any

import httpx
import pytest

from api.fields import MAX_ORDERS
from application.ports import JournalUnavailableError, Limits
from tests.api.shopfront import Build, Shopfront, opened, problem

PATH = "/v1/orders:batch"


def asked(stream_id: str, listing_id: str, key: str, quantity: int = 1, **more: Any) -> dict[str, Any]:
    """Ask for one product, for a buyer named after the key."""
    lines = [{"listing_id": listing_id, "quantity": quantity}]
    return {"idempotency_key": key, "stream_id": stream_id, "buyer_id": f"buyer-of-{key}", "lines": lines, **more}


async def send(shop: Shopfront, *orders: dict[str, Any], who: str = "client") -> httpx.Response:
    """Send orders together; no key is needed for all of them."""
    return await shop.post(PATH, {"orders": list(orders)}, who=who, key=None)


async def answers(shop: Shopfront, *orders: dict[str, Any], who: str = "client") -> list[dict[str, Any]]:
    """Send orders together and return the answers, which tell of each in its place."""
    response = await send(shop, *orders, who=who)
    assert response.status_code == 200, response.text
    told: list[dict[str, Any]] = response.json()["answers"]
    assert len(told) == len(orders)
    for each in told:
        assert (each["order"] is None) == (each["status"] != 201)
        assert (each["problem"] is None) == (each["status"] == 201)
    return told


async def test_orders_are_judged_in_the_order_they_come(shop: Shopfront) -> None:
    """The first three get the three units; the others are told, each by itself, that none is left."""
    stream_id, listing_id = await shop.open(allotment=3)
    told = await answers(shop, *(asked(stream_id, listing_id, f"k{number}") for number in range(5)))
    assert [each["status"] for each in told] == [201] * 3 + [409] * 2
    assert [each["order"]["buyer_id"] for each in told[:3]] == [f"buyer-of-k{number}" for number in range(3)]
    assert told[4]["problem"]["type"] == "urn:livetill:problem:sold_out"
    assert told[4]["problem"]["available"] == 0
    assert told[4]["problem"]["position"] == await shop.head()
    found = await shop.get(f"/v1/orders/{told[1]['order']['order_id']}", who="client")
    assert found.json() == told[1]["order"] | {"position": found.json()["position"]}


async def test_the_answer_names_the_position_that_knows_of_all(shop: Shopfront) -> None:
    """A read with it sees every order."""
    stream_id, listing_id = await shop.open()
    sent = (await send(shop, *(asked(stream_id, listing_id, f"k{number}") for number in range(4)))).json()
    assert sent["position"] == await shop.head()
    listed = await shop.get(f"/v1/orders?stream_id={stream_id}&min_position={sent['position']}")
    assert {row["order_id"] for row in listed.json()["orders"]} == {
        each["order"]["order_id"] for each in sent["answers"]
    }


async def test_a_repeated_request_changes_nothing(shop: Shopfront) -> None:
    """Whole, in part or mixed with new orders: every key gets its first answer again, refusals too."""
    stream_id, listing_id = await shop.open(allotment=2)
    orders = [asked(stream_id, listing_id, f"k{number}") for number in range(3)]
    first = await answers(shop, *orders)
    head = await shop.head()
    again = await answers(shop, *reversed(orders))
    assert await shop.head() == head
    assert [each["replayed"] for each in again] == [True] * 3
    assert [each["replayed"] for each in first] == [False] * 3
    assert [{**each, "replayed": False} for each in reversed(again)] == first
    mixed = await answers(shop, orders[1], asked(stream_id, listing_id, "new"))
    assert [(each["status"], each["replayed"]) for each in mixed] == [(201, True), (409, False)]


async def test_a_key_that_is_used_for_something_else_is_a_conflict_of_that_order_alone(shop: Shopfront) -> None:
    """The others are served; the key of an order that came alone is another request's as well."""
    stream_id, listing_id = await shop.open()
    await answers(shop, asked(stream_id, listing_id, "k1"))
    alone = {"stream_id": stream_id, "buyer_id": "b", "lines": [{"listing_id": listing_id, "quantity": 1}]}
    await shop.must("/v1/orders", alone, who="client", key="k2")
    told = await answers(
        shop, asked(stream_id, listing_id, "k1", 2), asked(stream_id, listing_id, "k2"),
        asked(stream_id, listing_id, "k3"),
    )  # fmt: skip
    assert [each["status"] for each in told] == [422, 422, 201]
    assert told[0]["problem"]["type"].endswith(":idempotency_conflict")
    assert told[1]["problem"]["type"].endswith(":idempotency_conflict")


async def test_requests_that_meet_place_every_order_once(shop: Shopfront) -> None:
    """The same request twice at the same time is one request."""
    stream_id, listing_id = await shop.open()
    orders = [asked(stream_id, listing_id, f"k{number}") for number in range(5)]
    one, two = await asyncio.gather(answers(shop, *orders), answers(shop, *orders))
    assert [each["order"] for each in one] == [each["order"] for each in two]
    stock = (await shop.get(f"/v1/streams/{stream_id}/stock?min_position={await shop.head()}")).json()
    assert stock["listings"][0]["reserved"] == 5


async def test_what_is_wrong_with_one_order_is_said_of_it_alone(shop: Shopfront) -> None:
    """Unknown shows and listings, a buyer who is not named, a changed price: each in its place."""
    stream_id, listing_id = await shop.open()
    nameless = asked(stream_id, listing_id, "k3")
    del nameless["buyer_id"]
    dearer = asked(stream_id, listing_id, "k4")
    dearer["lines"][0]["unit_price_minor"] = 1
    told = await answers(
        shop, asked("stream-none", listing_id, "k1"), asked(stream_id, "listing-none", "k2"), nameless, dearer,
        asked(stream_id, listing_id, "k5"),
    )  # fmt: skip
    assert [each["status"] for each in told] == [404, 404, 422, 409, 201]
    assert told[2]["problem"]["field"] == "buyer_id"
    assert told[3]["problem"]["now"] == 1999


async def test_a_buyer_orders_for_itself_only(shop: Shopfront) -> None:
    """Its own orders are taken; one for somebody else is forbidden, and that one alone."""
    stream_id, listing_id = await shop.open()
    own = asked(stream_id, listing_id, "k1")
    del own["buyer_id"]
    told = await answers(shop, own, asked(stream_id, listing_id, "k2"), who="buyer:b7")
    assert [each["status"] for each in told] == [201, 403]
    assert told[0]["order"]["buyer_id"] == "b7"


@pytest.mark.parametrize(("who", "status"), [("", 401), ("host", 403), ("auditor", 403), ("finance", 403)])
async def test_who_may_not_order_may_not_order_together(shop: Shopfront, who: str, status: int) -> None:
    """The request as a whole is turned away."""
    stream_id, listing_id = await shop.open()
    head = await shop.head()
    assert (await send(shop, asked(stream_id, listing_id, "k1"), who=who)).status_code == status
    assert await shop.head() == head


async def test_a_malformed_request_does_nothing_at_all(shop: Shopfront) -> None:
    """Where one order cannot be read, none is placed: no orders, too many, unknown fields, keys missing or twice."""
    stream_id, listing_id = await shop.open()
    fine, head = asked(stream_id, listing_id, "k1"), await shop.head()
    keyless = {name: value for name, value in fine.items() if name != "idempotency_key"}
    for orders, field in (
        ([], "orders"),
        ([{**fine, "idempotency_key": f"k{number}"} for number in range(MAX_ORDERS + 1)], "orders"),
        ([fine, {**fine, "idempotency_key": "k2", "surprise": 1}], "orders[1].surprise"),
        ([fine, keyless], "orders[1].idempotency_key"),
        ([fine, {**fine, "idempotency_key": ""}], "orders[1].idempotency_key"),
        ([fine, {**fine, "idempotency_key": "x" * 256}], "orders[1].idempotency_key"),
        ([fine, {**fine, "idempotency_key": "tab\t"}], "orders[1].idempotency_key"),
        ([fine, asked(stream_id, listing_id, "k2"), fine], "orders[2].idempotency_key"),
        ([fine, asked(stream_id, listing_id, "k2", 0)], "orders[1].lines[0].quantity"),
    ):
        assert problem(await send(shop, *orders), 422, "invalid")["field"] == field
    assert problem(await shop.post(PATH, b"{", who="client", key=None), 400, "malformed_body")
    assert await shop.head() == head


async def test_a_till_without_room_takes_none_of_them() -> None:
    """The whole request is told to come again, and nothing was done."""
    async with opened(Build(limits=Limits(queue=3, outage_seconds=0.2))) as shop:
        stream_id, listing_id = await shop.open()
        head = await shop.head()
        refused = await send(shop, *(asked(stream_id, listing_id, f"k{number}") for number in range(4)))
        problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert await shop.head() == head


async def test_a_database_that_is_away_is_said_of_each_order(shop: Shopfront, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told that an order stands that does not; the same request again places them all."""
    stream_id, listing_id = await shop.open()
    orders = [asked(stream_id, listing_id, f"k{number}") for number in range(3)]

    def away(*_: Any) -> Any:
        raise JournalUnavailableError("the database does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(shop.journal, "append", away)
        outage.setattr(shop.journal, "turn", away)
        told = await answers(shop, *orders)
    assert [each["status"] for each in told] == [503] * 3
    assert [each["status"] for each in await answers(shop, *orders)] == [201] * 3


async def test_a_fault_in_one_order_fails_that_one(shop: Shopfront, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets an id under which the log has the details, the others get their orders."""
    stream_id, listing_id = await shop.open()
    ring_up = shop.services.till.ring_up

    async def broken(ticket: Any) -> Any:
        if ticket.command.buyer_id == "buyer-of-k1":
            raise RuntimeError("secret details")
        return await ring_up(ticket)

    monkeypatch.setattr(shop.services.till, "ring_up", broken)
    told = await answers(shop, *(asked(stream_id, listing_id, f"k{number}") for number in range(3)))
    assert [each["status"] for each in told] == [201, 500, 201]
    assert told[1]["problem"]["type"].endswith(":internal_fault")
    assert told[1]["problem"]["trace_id"]
    assert "secret" not in str(told)
