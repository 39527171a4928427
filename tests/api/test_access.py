"""Who may do what: every write and every read, asked by every role, and of other people's things."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import frozen

from api.auth import Role
from tests.api.shopfront import Shopfront, eur, problem

EVERYBODY = {role.value for role in Role}
OWNERS = {"brand", "admin"}
STAFF = OWNERS | {"host"}
BUYING = {"buyer", "client", "admin"}
FULFILMENT = {"brand", "client", "admin"}
SHOW = {
    "title": "Spring", "host_id": "host-1", "brand_id": "brand-1", "scheduled_at": "2030-01-01T20:00:00Z",
    "currency": "EUR", "terms": {"rate_bps": 1000, "hold_days": 14},
}  # fmt: skip
LISTING = {"sku": "A", "title": "A", "price": eur(100), "allotment": 5}
TERMS = {"rate_bps": 1000, "hold_days": 14}
LATER = "2030-02-01T20:00:00Z"


@frozen
class Scene:
    """Things to ask about; everything belongs to host-1, brand-1 and buyer-1."""

    scheduled: str
    live: str
    listing: str
    placed: str
    paid: str
    delivered: str


async def scene_of(shop: Shopfront) -> Scene:
    """Set the scene."""
    live = await shop.go_live()
    listing = await shop.offer(live, 50, closes_at="2030-01-02T00:00:00Z")
    return Scene(
        await shop.schedule(),
        live,
        listing,
        await shop.place(live, listing),
        await shop.paid(live, listing),
        await shop.delivered(live, listing),
    )


Path = Callable[[Scene], str]
WRITES: list[tuple[str, Path, Any, set[str]]] = [
    ("schedule", lambda _: "/v1/streams", SHOW, OWNERS),
    ("start", lambda it: f"/v1/streams/{it.live}/start", None, STAFF),
    ("interrupt", lambda it: f"/v1/streams/{it.live}/interrupt", None, STAFF),
    ("resume", lambda it: f"/v1/streams/{it.live}/resume", None, STAFF),
    ("restart", lambda it: f"/v1/streams/{it.live}/restart", None, STAFF),
    ("end", lambda it: f"/v1/streams/{it.live}/end", {}, STAFF),
    ("cancel", lambda it: f"/v1/streams/{it.scheduled}/cancel", None, OWNERS),
    ("reschedule", lambda it: f"/v1/streams/{it.scheduled}/reschedule", {"scheduled_at": LATER}, OWNERS),
    ("terms", lambda it: f"/v1/streams/{it.live}/terms", TERMS, OWNERS),
    ("pin", lambda it: f"/v1/streams/{it.live}/pin", "listing", STAFF),
    ("unpin", lambda it: f"/v1/streams/{it.live}/unpin", None, STAFF),
    ("segment", lambda it: f"/v1/streams/{it.live}/segment", {"host_id": "host-1"}, STAFF),
    ("teasers", lambda it: f"/v1/streams/{it.live}/teasers", {"text": "Soon"}, STAFF),
    ("audience", lambda it: f"/v1/streams/{it.live}/audience", {"views": 1}, STAFF),
    ("co-hosts", lambda it: f"/v1/streams/{it.live}/co-hosts", {"host_id": "host-5"}, STAFF),
    ("leave", lambda it: f"/v1/streams/{it.live}/co-hosts/host-5/leave", None, STAFF),
    ("create listing", lambda it: f"/v1/streams/{it.live}/listings", LISTING, STAFF),
    ("open", lambda it: f"/v1/listings/{it.listing}/open", {"closes_at": "2030-01-02T00:00:00Z"}, STAFF),
    ("close", lambda it: f"/v1/listings/{it.listing}/close", None, STAFF),
    ("extend", lambda it: f"/v1/listings/{it.listing}/extend", {"closes_at": LATER}, STAFF),
    ("price", lambda it: f"/v1/listings/{it.listing}/price", {"price": eur(1000)}, STAFF),
    ("discount", lambda it: f"/v1/listings/{it.listing}/discount", {"ends_at": LATER, "percent_bps": 500}, STAFF),
    ("end discount", lambda it: f"/v1/listings/{it.listing}/discounts/flash/end", None, STAFF),
    ("limit", lambda it: f"/v1/listings/{it.listing}/purchase-limit", {"limit": None}, STAFF),
    ("withdraw", lambda it: f"/v1/listings/{it.listing}/withdraw", None, STAFF),
    ("allot", lambda it: f"/v1/listings/{it.listing}/allot", {"quantity": 1}, OWNERS),
    ("return allotment", lambda it: f"/v1/listings/{it.listing}/return-allotment", {"quantity": 1}, OWNERS),
    ("adjust", lambda it: f"/v1/listings/{it.listing}/adjust", {"delta": 1, "reason": "count"}, OWNERS),
    ("order", lambda _: "/v1/orders", "order", BUYING),
    ("pay", lambda it: f"/v1/orders/{it.placed}/payments", {"payment_token": "tok_ok"}, BUYING),
    ("cancel order", lambda it: f"/v1/orders/{it.placed}/cancel", None, BUYING),
    ("ship", lambda it: f"/v1/orders/{it.paid}/ship", None, FULFILMENT),
    ("deliver", lambda it: f"/v1/orders/{it.delivered}/deliver", None, FULFILMENT),
    ("return", lambda it: f"/v1/orders/{it.delivered}/returns", {"line_id": "1", "quantity": 1}, BUYING),
    (
        "refund",
        lambda it: f"/v1/orders/{it.paid}/refunds",
        {"amount_minor": 1, "reason": "x"},
        FULFILMENT | {"finance"},
    ),
]
READS: list[tuple[str, Path, set[str]]] = [
    ("order", lambda it: f"/v1/orders/{it.placed}", EVERYBODY - {"host"}),
    ("orders of a show", lambda it: f"/v1/orders?stream_id={it.live}", EVERYBODY - {"host", "buyer"}),
    ("payout", lambda _: "/v1/payouts?payee_id=host-1&currency=EUR", {"host", "finance", "auditor", "admin"}),
    ("commissions", lambda _: "/v1/commissions?payee_id=host-1", {"host", "finance", "auditor", "admin"}),
    ("journal", lambda _: "/v1/journal", {"auditor", "admin"}),
]


def body_of(scene: Scene, body: Any) -> Any:
    """Fill in what a body needs of the scene."""
    if body == "listing":
        return {"listing_id": scene.listing}
    if body == "order":
        lines = [{"listing_id": scene.listing, "quantity": 1}]
        return {"stream_id": scene.live, "buyer_id": "buyer-1", "lines": lines}
    return body


@pytest.mark.parametrize(("name", "path", "body", "allowed"), WRITES, ids=[each[0] for each in WRITES])
async def test_a_write_is_for_those_whose_business_it_is(
    shop: Shopfront, name: str, path: Path, body: Any, allowed: set[str]
) -> None:
    """Nobody without a token and no other role may do it, and nothing is written; the others may."""
    del name
    scene = await scene_of(shop)
    head = await shop.head()
    problem(await shop.post(path(scene), body_of(scene, body), who=""), 401, "unauthenticated")
    for role in sorted(EVERYBODY - allowed):
        response = await shop.post(path(scene), body_of(scene, body), who=role)
        assert problem(response, 403, "forbidden")["role"] == role
    assert await shop.head() == head
    for role in sorted(allowed):
        response = await shop.post(path(scene), body_of(scene, body), who=role)
        assert response.status_code not in (401, 403), f"{role}: {response.text}"


@pytest.mark.parametrize(("name", "path", "allowed"), READS, ids=[each[0] for each in READS])
async def test_a_read_is_for_those_whose_business_it_is(
    shop: Shopfront, name: str, path: Path, allowed: set[str]
) -> None:
    """Nobody without a token and no other role sees it; the others do."""
    del name
    scene = await scene_of(shop)
    problem(await shop.get(path(scene), who=""), 401, "unauthenticated")
    for role in sorted(EVERYBODY - allowed):
        problem(await shop.get(path(scene), who=role), 403, "forbidden")
    for role in sorted(allowed):
        assert (await shop.get(path(scene), who=role)).status_code == 200, role


@pytest.mark.parametrize(
    "path",
    [
        "/v1/streams", "/v1/streams/{live}", "/v1/listings/{listing}", "/v1/streams/{live}/stock",
        "/v1/streams/{live}/leaderboards/listings", "/health/live", "/health/ready", "/metrics",
        "/schema/openapi.json",
    ],
)  # fmt: skip
async def test_what_viewers_see_needs_no_token(shop: Shopfront, path: str) -> None:
    """The show, what it sells and the boards are public."""
    scene = await scene_of(shop)
    response = await shop.get(path.format(live=scene.live, listing=scene.listing), who="")
    assert response.status_code == 200


@pytest.mark.parametrize("who", ["brand:brand-2", "host:host-2", "buyer:buyer-2"])
async def test_other_peoples_things_are_left_alone(shop: Shopfront, who: str) -> None:
    """The right role is not enough: it must be the very brand, host or buyer, and nothing is written."""
    scene = await scene_of(shop)
    head = await shop.head()
    for name, path, body, allowed in WRITES:
        if who.partition(":")[0] in allowed:
            response = await shop.post(path(scene), body_of(scene, body), who=who)
            assert problem(response, 403, "forbidden"), name
    assert await shop.head() == head


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/v1/orders/{placed}", "buyer:buyer-2"),
        ("/v1/orders/{placed}", "brand:brand-2"),
        ("/v1/orders?stream_id={live}", "brand:brand-2"),
        ("/v1/orders?buyer_id=buyer-1", "buyer:buyer-2"),
        ("/v1/orders?buyer_id=buyer-1", "brand"),
        ("/v1/orders?stream_id={live}", "buyer"),
        ("/v1/payouts?payee_id=host-1&currency=EUR", "host:host-2"),
        ("/v1/commissions?payee_id=host-1", "host:host-2"),
    ],
)
async def test_other_peoples_things_are_not_shown(shop: Shopfront, path: str, who: str) -> None:
    """An order is seen by its buyer and its brand, an income by who earns it."""
    scene = await scene_of(shop)
    problem(await shop.get(path.format(placed=scene.placed, live=scene.live), who=who), 403, "forbidden")


async def test_a_brand_announces_its_own_shows(shop: Shopfront) -> None:
    """A show in another brand's name is refused; an admin may announce it."""
    problem(await shop.post("/v1/streams", SHOW, who="brand:brand-2"), 403, "forbidden")
    assert (await shop.post("/v1/streams", SHOW, who="admin")).status_code == 201


async def test_the_co_host_on_air_may_pin(shop: Shopfront) -> None:
    """Who presents decides what viewers see, for as long as its segment lasts."""
    stream_id, listing_id = await shop.open()
    await shop.must(f"/v1/streams/{stream_id}/co-hosts", {"host_id": "host-2"})
    pin: Callable[[], Awaitable[Any]] = lambda: shop.post(  # noqa: E731 - asked twice
        f"/v1/streams/{stream_id}/pin", {"listing_id": listing_id}, who="host:host-2"
    )
    problem(await pin(), 403, "forbidden")
    await shop.must(f"/v1/streams/{stream_id}/segment", {"host_id": "host-2", "listing_id": listing_id})
    assert (await pin()).json()["pins"] == [listing_id]
    problem(await shop.post(f"/v1/streams/{stream_id}/end", {}, who="host:host-2"), 403, "forbidden")


async def test_a_host_sees_its_own_commissions_without_asking(shop: Shopfront) -> None:
    """Of an order that earns several, a host is shown its own part."""
    shares = [{"payee_id": "host-1", "share_bps": 7500}, {"payee_id": "host-2", "share_bps": 2500}]
    stream_id = await shop.go_live(terms={**TERMS, "shares": shares})
    order_id = await shop.paid(stream_id, await shop.offer(stream_id))
    await shop.react(order_id)
    path = f"/v1/commissions?order_id={order_id}&min_position={await shop.head()}"
    own = (await shop.get(path, who="host:host-2")).json()["commissions"]
    assert [(each["payee_id"], each["amount_minor"]) for each in own] == [("host-2", 50)]
    assert len((await shop.get(path, who="finance")).json()["commissions"]) == 2
