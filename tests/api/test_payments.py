"""Paying over HTTP: at once, later, too late, twice, and when the provider does not answer."""

import asyncio
import json
from typing import Any

import pytest

from application.ports import Payment
from tests.api.shopfront import Build, Shopfront, opened, problem


async def test_a_paid_order_has_its_units(shop: Shopfront) -> None:
    """A payment commits what was held."""
    stream_id, listing_id = await shop.open()
    response = await shop.pay(await shop.place(stream_id, listing_id, 2))
    assert response.status_code == 200
    paid = response.json()
    assert (paid["status"], paid["payment"], paid["captured_minor"]) == ("paid", "captured", 3998)
    assert paid["position"] == await shop.head()
    units = (await shop.get(f"/v1/listings/{listing_id}")).json()["units"]
    assert (units["reserved"], units["committed"]) == (0, 2)


async def test_a_repeated_payment_is_one_payment(shop: Shopfront) -> None:
    """The same key pays once and gets the first answer; a new key is told that the order is paid."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    first = await shop.pay(order_id, key="pay-1")
    head = await shop.head()
    again = await shop.pay(order_id, key="pay-1")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert await shop.head() == head
    assert problem(await shop.pay(order_id, key="pay-2"), 409, "not_allowed_now")["current_status"] == "paid"


async def test_a_declined_payment_may_be_followed_by_another(shop: Shopfront) -> None:
    """The reason is told, the hold goes on, and the same key says the same again."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    declined = await shop.pay(order_id, "tok_declined", key="pay-1")
    assert problem(declined, 402, "payment_declined")["reason"] == "insufficient_funds"
    again = await shop.pay(order_id, "tok_declined", key="pay-1")
    assert again.json() == declined.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (await shop.get(f"/v1/orders/{order_id}")).json()["payment"] == "declined"
    assert (await shop.pay(order_id)).json()["status"] == "paid"


async def test_an_expired_hold_is_refused_before_money_moves(shop: Shopfront) -> None:
    """Who pays at the last second's end is told when the hold ended."""
    stream_id, listing_id = await shop.open(hold_seconds=60)
    order_id = await shop.place(stream_id, listing_id)
    shop.clock.advance(60)
    assert problem(await shop.pay(order_id), 409, "hold_expired")["until"] == "2030-01-01T00:01:00Z"


async def test_an_unanswered_payment_is_settled_by_asking_again(shop: Shopfront) -> None:
    """A provider that does not answer leaves the outcome open; the same key finds it out, and charges nothing more."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    unknown = await shop.pay(order_id, "tok_timeout", key="pay-1")
    problem(unknown, 503, "payment_outcome_unknown")
    assert unknown.headers["retry-after"] == "1"
    unsure = (await shop.get(f"/v1/orders/{order_id}")).json()
    assert (unsure["status"], unsure["payment"]) == ("placed", "requested")
    shop.clock.advance(301)
    late = (await shop.get(f"/v1/orders/{order_id}")).json()
    assert late["payment"] == "requested"
    paid = (await shop.pay(order_id, "tok_timeout", key="pay-1")).json()
    assert (paid["status"], paid["payment"]) == ("paid", "captured")


async def called_back(shop: Shopfront) -> None:
    """Wait until the provider has called."""
    async with asyncio.timeout(5):
        while not shop.callbacks:
            await asyncio.sleep(0)


async def test_a_late_word_of_the_provider_pays_the_order(shop: Shopfront) -> None:
    """``202`` and a pending payment first; the callback makes it paid."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    response = await shop.pay(order_id, "tok_late")
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["payment"]) == ("placed", "pending")
    await called_back(shop)
    facts = json.loads(shop.callbacks[0][0])["data"]
    await heard(shop, "payment.succeeded", **facts)
    assert (await shop.get(f"/v1/orders/{order_id}")).json()["status"] == "paid"


async def heard(shop: Shopfront, kind: str, status: int = 200, **facts: Any) -> dict[str, Any]:
    """Have the provider call, and return what it was told."""
    body, headers = shop.signed(kind, **{"currency": "EUR", **facts})
    response = await shop.http.post("/v1/webhooks/payments", content=body, headers=headers)
    assert response.status_code == status, response.text
    told: dict[str, Any] = response.json()
    return told


async def test_a_callback_that_comes_twice_is_booked_once(shop: Shopfront) -> None:
    """The second one is known, whatever its message id, and changes nothing."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": order_id, "amount_minor": 1999}
    assert (await heard(shop, "payment.succeeded", **facts))["outcome"] == "booked"
    head = await shop.head()
    assert (await heard(shop, "payment.succeeded", **facts))["outcome"] == "known"
    assert (await heard(shop, "payment.succeeded", **facts, reason="again"))["outcome"] == "known"
    assert await shop.head() == head


async def test_two_callbacks_at_once_are_booked_once(shop: Shopfront) -> None:
    """A provider that calls twice at the same time pays the order once, and both calls are taken."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": order_id, "amount_minor": 1999}
    told = await asyncio.gather(*(heard(shop, "payment.succeeded", **facts) for _ in range(5)))
    assert sorted(str(each["outcome"]) for each in told) == ["booked", *["known"] * 4]
    assert (await shop.get(f"/v1/orders/{order_id}")).json()["captured_minor"] == 1999


async def test_a_payment_of_another_amount_goes_back(shop: Shopfront) -> None:
    """The provider is told, the order still waits for what is due, and a second callback changes nothing."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": order_id, "amount_minor": 1000}
    assert (await heard(shop, "payment.succeeded", **facts))["outcome"] == "orphaned"
    order = (await shop.get(f"/v1/orders/{order_id}")).json()
    assert (order["status"], order["captured_minor"]) == ("placed", 0)
    assert (order["refunded_minor"], order["orphaned_minor"]) == (0, 1000)
    (refund,) = order["refunds"]
    assert refund == {
        "refund_id": "orphan-pay_1", "amount_minor": 1000, "kind": "orphaned", "reason": "amount_mismatch",
    }  # fmt: skip
    head = await shop.head()
    (row,) = (await shop.get(f"/v1/orders?stream_id={stream_id}&min_position={head}")).json()["orders"]
    assert (row["refunded_minor"], row["orphaned_minor"]) == (0, 1000)
    then = (await shop.get(f"/v1/orders/{order_id}?as_of={head}")).json()
    assert then == {**order, "position": head}
    assert (await heard(shop, "payment.succeeded", **facts))["outcome"] == "known"


async def test_a_payment_that_comes_too_late_gives_units_or_money(shop: Shopfront) -> None:
    """After the hold the units are sold if they are still there; if not, the money goes back in full."""
    stream_id, listing_id = await shop.open(allotment=1, hold_seconds=60)
    order_id = await shop.place(stream_id, listing_id)
    shop.clock.advance(61)
    other_id = await shop.place(stream_id, listing_id, who="buyer:viewer-2")
    late: dict[str, Any] = {"payment_id": "pay_1", "order_id": order_id, "amount_minor": 1999}
    assert (await heard(shop, "payment.succeeded", **late))["outcome"] == "orphaned"
    first = (await shop.get(f"/v1/orders/{order_id}")).json()
    assert (first["status"], first["orphaned_minor"]) == ("expired", 1999)
    assert [(each["kind"], each["reason"]) for each in first["refunds"]] == [("orphaned", "hold_expired")]
    shop.clock.advance(61)
    late = {"payment_id": "pay_2", "order_id": other_id, "amount_minor": 1999}
    await heard(shop, "payment.succeeded", **late)
    assert (await shop.get(f"/v1/orders/{other_id}")).json()["status"] == "paid"


class SlowProvider:
    """A provider during whose charge the hold ends and another buyer takes the units."""

    def __init__(self) -> None:
        self.shop: Shopfront | None = None
        self.rival = ("", "")

    async def charge(self, *, key: str, order_id: str, token: str, amount_minor: int, currency: str) -> Payment:
        """Take very long."""
        del order_id, token, currency
        assert self.shop is not None
        self.shop.clock.advance(600)
        await self.shop.place(*self.rival, who="buyer:viewer-2")
        return Payment(f"pay_{key}", "succeeded", amount_minor)


async def test_a_charge_that_outlasts_the_hold_says_that_the_money_goes_back() -> None:
    """The answer to the payment itself tells of the refund, and does so again with the same key."""
    provider = SlowProvider()
    async with opened(Build(provider=provider)) as shop:
        provider.shop, provider.rival = shop, await shop.open(allotment=1)
        order_id = await shop.place(*provider.rival)
        orphaned = await shop.pay(order_id, key="pay-1")
        members = problem(orphaned, 409, "payment_orphaned")
        assert (members["reason"], members["refunded"]) == ("hold_expired", True)
        assert (await shop.pay(order_id, key="pay-1")).json() == orphaned.json()


async def test_a_failed_callback_notes_the_decline(shop: Shopfront) -> None:
    """The hold goes on, so another payment may follow."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": order_id, "amount_minor": 1999, "reason": "fraud"}
    assert (await heard(shop, "payment.failed", **facts))["outcome"] == "booked"
    order = (await shop.get(f"/v1/orders/{order_id}")).json()
    assert (order["status"], order["payment"]) == ("payment_failed", "declined")


async def test_an_unknown_order_is_put_aside(shop: Shopfront) -> None:
    """A callback before its order, or for nobody's, is taken and waits for somebody to look at it."""
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": "order-unknown", "amount_minor": 1999}
    assert (await heard(shop, "payment.succeeded", 202, **facts))["outcome"] == "parked"
    await heard(shop, "payment.succeeded", 202, **facts)
    (parked,) = await shop.store.parked()
    assert (parked.projection, parked.key) == ("webhooks", "pay_1/payment.succeeded")
    assert "order-unknown" in parked.error


async def test_each_callback_that_is_put_aside_can_be_looked_at(shop: Shopfront) -> None:
    """One does not hide the other: not of another payment, nor a late failure the success of the same one."""
    facts: dict[str, Any] = {"order_id": "order-unknown", "amount_minor": 1999}
    await heard(shop, "payment.succeeded", 202, payment_id="pay_1", **facts)
    await heard(shop, "payment.failed", 202, payment_id="pay_1", **facts)
    await heard(shop, "payment.succeeded", 202, payment_id="pay_2", **facts)
    keys = [each.key for each in await shop.store.parked()]
    assert keys == ["pay_1/payment.failed", "pay_1/payment.succeeded", "pay_2/payment.succeeded"]


async def test_money_in_another_currency_is_put_aside(shop: Shopfront) -> None:
    """1999 yen do not pay 19.99 euro."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": order_id, "amount_minor": 1999, "currency": "JPY"}
    assert (await heard(shop, "payment.succeeded", 202, **facts))["outcome"] == "parked"
    assert (await shop.get(f"/v1/orders/{order_id}")).json()["status"] == "placed"
    (parked,) = await shop.store.parked()
    assert parked.error.endswith(f"1999 JPY (minor units) for {order_id}, whose order is in EUR")


async def test_money_for_a_refused_order_is_put_aside(shop: Shopfront) -> None:
    """Nothing was ever held for it: somebody must look where the money came from."""
    stream_id, listing_id = await shop.open(allotment=1)
    await shop.order(stream_id, listing_id, 2)
    head = await shop.head()
    (row,) = (await shop.get(f"/v1/orders?stream_id={stream_id}&min_position={head}")).json()["orders"]
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": row["order_id"], "amount_minor": 3998}
    assert (await heard(shop, "payment.succeeded", 202, **facts))["outcome"] == "parked"
    (parked,) = await shop.store.parked()
    assert parked.error.endswith("whose order was refused")


async def test_what_means_nothing_to_us_is_taken_and_forgotten(shop: Shopfront) -> None:
    """A provider need not know which of its events we want."""
    head = await shop.head()
    assert (await heard(shop, "customer.created", whatever=1))["outcome"] == "ignored"
    assert await shop.head() == head


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1,****"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "1700000000"},
        {"webhook-timestamp": "nan"},
        {"webhook-id": "msg_other"},
    ],
)
async def test_a_callback_must_be_signed_now_by_the_provider(shop: Shopfront, headers: dict[str, str]) -> None:
    """A wrong, old or altered signature is refused and nothing is booked."""
    stream_id, listing_id = await shop.open()
    order_id = await shop.place(stream_id, listing_id)
    head = await shop.head()
    facts: dict[str, Any] = {"payment_id": "pay_1", "order_id": order_id, "amount_minor": 1999, "currency": "EUR"}
    body, signed = shop.signed("payment.succeeded", **facts)
    response = await shop.http.post("/v1/webhooks/payments", content=body, headers={**signed, **headers})
    assert "Bearer" not in problem(response, 401, "unauthenticated")["detail"]
    altered = body.replace(b"1999", b"0001")
    problem(await shop.http.post("/v1/webhooks/payments", content=altered, headers=signed), 401, "unauthenticated")
    assert await shop.head() == head


async def test_a_signed_callback_with_a_wrong_shape_is_invalid(shop: Shopfront) -> None:
    """The provider is told which field is wrong."""
    body, headers = shop.signed("payment.succeeded", payment_id="pay_1", order_id="listing-1", amount_minor=-1)
    response = await shop.http.post("/v1/webhooks/payments", content=body, headers=headers)
    assert problem(response, 422, "invalid")["field"] == "data.order_id"


async def test_the_units_of_a_free_order_are_committed_at_once(shop: Shopfront) -> None:
    """What costs nothing needs no payment."""
    stream_id, listing_id = await shop.open(price={"amount_minor": 0, "currency": "EUR"})
    placed = (await shop.order(stream_id, listing_id)).json()
    assert (placed["status"], placed["captured_minor"]) == ("paid", 0)
    assert (await shop.get(f"/v1/listings/{listing_id}")).json()["units"]["committed"] == 1
