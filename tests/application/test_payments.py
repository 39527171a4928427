"""The cashier: money moves once, and everybody who asked is told what became of it."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from application import commands as c
from application.payments import Cashier
from application.ports import Payment, ProviderError
from domain.order.events import PaymentCaptured
from domain.order.state import Stage
from tests.rehearsal import Rehearsal


class BusyProvider:
    """A provider that answers nobody before it was asked twice, and keeps its word per key."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._asked_twice = asyncio.Event()

    async def charge(self, *, key: str, order_id: str, token: str, amount_minor: int, currency: str) -> Payment:
        """Take the money once a key."""
        del order_id, token, currency
        self.keys.append(key)
        if len(self.keys) > 1:
            self._asked_twice.set()
        async with asyncio.timeout(5):
            await self._asked_twice.wait()
        return Payment(f"pay-{key}", "succeeded", amount_minor)

    async def refund(self, *, key: str, payment_id: str, amount_minor: int) -> None:
        """Nothing is given back here."""
        raise AssertionError(key, payment_id, amount_minor)


async def test_two_payments_with_one_key_at_once_are_one_and_both_are_told_that_it_is_paid() -> None:
    """Whoever clicks twice is not told that the payment was declined while the money is being taken."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.order("order-1")
        provider = BusyProvider()
        cashier = Cashier(shop.till, provider)
        tickets = [shop.ticket(c.RequestPayment("order-1"), "pay-1") for _ in range(2)]
        outcomes = await asyncio.gather(*(cashier.pay(ticket, "tok") for ticket in tickets))
        assert [outcome.status for outcome in outcomes] == ["paid", "paid"]
        assert set(provider.keys) == {"pay-1"}
        assert sum(isinstance(event, PaymentCaptured) for event in await shop.events("order-1")) == 1


class OvertakenProvider:
    """A provider that is overtaken: something happens to the order before its answer is here."""

    def __init__(self, answer: Payment, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._answer, self._meanwhile = answer, meanwhile

    async def charge(self, *, key: str, order_id: str, token: str, amount_minor: int, currency: str) -> Payment:
        """Answer late."""
        del key, order_id, token, amount_minor, currency
        await self._meanwhile()
        return self._answer

    async def refund(self, *, key: str, payment_id: str, amount_minor: int) -> None:
        """Nothing is given back here."""
        raise AssertionError(key, payment_id, amount_minor)


@pytest.mark.parametrize(
    ("status", "by_callback", "told"),
    [
        ("succeeded", ["pay-1"], ("paid", "")),
        ("succeeded", ["pay-2", "pay-1"], ("orphaned", "order_paid")),
        ("declined", ["pay-2"], ("declined", "insufficient_funds")),
    ],
)
async def test_each_payment_is_answered_for_itself(status: str, by_callback: list[str], told: tuple[str, str]) -> None:
    """A payment that callbacks have overtaken is paid only if it is the one the order was paid with."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.order("order-1")

        async def meanwhile() -> None:
            for payment_id in by_callback:
                await shop.do(c.CapturePayment("order-1", payment_id, 1999))

        answer = Payment("pay-1", status, 1999, "" if status == "succeeded" else "insufficient_funds")
        cashier = Cashier(shop.till, OvertakenProvider(answer, meanwhile))
        outcome = await cashier.pay(shop.ticket(c.RequestPayment("order-1"), "key-1"), "tok")
        assert (outcome.status, outcome.reason) == told


async def test_a_lost_answer_is_learnt_by_asking_again_however_late() -> None:
    """The provider took the money and did not say so; asked again after the hold, it does, and the units are given."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.order("order-1")
        cashier = shop.cashier
        with pytest.raises(ProviderError):
            await cashier.pay(shop.ticket(c.RequestPayment("order-1"), "key-1"), "tok_timeout")
        shop.clock.advance(1_000)
        await shop.do(c.ExpireOrder("order-1"))
        again = await cashier.pay(shop.ticket(c.RequestPayment("order-1"), "key-1"), "tok_timeout")
        assert (again.status, (await shop.state("order-1")).stage) == ("paid", Stage.PAID)


async def test_a_payment_is_settled_by_the_next_till_when_one_dies_in_between() -> None:
    """Killed between the charge and its booking, the shop books it when the key comes again, once."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.order("order-1")
        asking = c.RequestPayment("order-1", "key-1")
        await shop.ask(asking, "key-1")
        async with Rehearsal(journal=shop.journal, clock=shop.clock, name="till-2").open() as later:
            ticket = later.ticket(c.RequestPayment("order-1"), "key-1")
            outcomes = [await later.cashier.pay(ticket, "tok_ok") for _ in range(2)]
            assert [outcome.status for outcome in outcomes] == ["paid", "paid"]
            assert outcomes[1].verdict.replayed
            assert sum(isinstance(event, PaymentCaptured) for event in await later.events("order-1")) == 1


async def test_a_pending_payment_is_paid_when_its_callback_has_come() -> None:
    """Who asks again with the key of a payment that was pending hears what the callback made of it, and since when."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.order("order-1")
        cashier = shop.cashier
        ticket = shop.ticket(c.RequestPayment("order-1"), "key-1")
        assert (await cashier.pay(ticket, "tok_late")).status == "pending"
        while not shop.callbacks:
            await asyncio.sleep(0)
        news = msgspec.json.decode(shop.callbacks[0][0])["data"]
        booked = await shop.do(c.CapturePayment("order-1", news["payment_id"], news["amount_minor"]))
        paid = await cashier.pay(ticket, "tok_late")
        assert (paid.status, paid.verdict.position) == ("paid", booked.position)
