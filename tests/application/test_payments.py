"""The cashier: money moves once, and everybody who asked is told what became of it."""

import asyncio

from application import commands as c
from application.payments import Cashier
from application.ports import Payment
from domain.order.events import PaymentCaptured
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
