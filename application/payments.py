"""The cashier: how money and units meet.

Before money moves the till writes down that it will. The charge carries the command's id as its key, so a client that
repeats its request after a crash or a lost answer makes the provider repeat its answer, not the charge.
What the provider says, here or later by callback, goes to the till: it gives the units, or the money goes back.
"""

from datetime import datetime
from typing import Any

from attrs import define, evolve

from application import commands as c
from application.ports import Payment, PaymentProvider
from application.reactions import ReturnMoney
from application.tickets import Ticket, Verdict
from application.till import Till
from domain.order import commands as order
from domain.order.events import PaymentFailed, PaymentOrphaned, PaymentRequested
from domain.values import frozen


@frozen
class PaymentOutcome:
    """What became of a payment: the till's verdict, and the provider's word."""

    verdict: Verdict
    status: str
    """``paid``, ``declined``, ``pending`` or ``refused``; ``orphaned`` when it came too late and goes back."""
    reason: str = ""


@define
class Cashier:
    """Charges, books and gives back."""

    till: Till
    provider: PaymentProvider

    async def pay(self, ticket: Ticket, token: str) -> PaymentOutcome:
        """Pay an order with a token; ``ProviderError`` when the outcome is unknown: ask again with the same key.

        That the provider is asked is written down first. So whoever repeats the key, after a lost answer or a crash and
        however late, makes the provider repeat its answer; it is in time if the first request was.
        """
        order_id, key = ticket.command.target, ticket.command_id
        asked = await self.till.ring_up(evolve(ticket, command=c.RequestPayment(order_id, key)))
        if asked.refusal is not None:
            return _outcome(asked)
        requested = next(event for _, event in asked.events if isinstance(event, PaymentRequested))
        settling = evolve(ticket, command_id=f"{key}-settled")
        if asked.replayed and (settled := await self.till.answers.recall(settling)) is not None:
            return _outcome(settled)
        payment = await self.provider.charge(
            key=key,
            order_id=order_id,
            token=token,
            amount_minor=requested.amount_minor,
            currency=asked.state.currency,
        )
        if payment.status == "pending":
            return _known(await self._newest(asked, order_id), payment)
        command = booking(order_id, payment, requested.requested_at)
        booked = await self.till.ring_up(evolve(settling, command=command, ingress_at=self.till.now()))
        return _outcome(booked) if booked.events or booked.refusal is not None else _known(booked, payment)

    async def _newest(self, asked: Verdict, order_id: str) -> Verdict:
        """Return a verdict with the order of now: a callback may have come before the answer."""
        newest = await self.till.look(order_id)
        return evolve(asked, state=newest.state, version=newest.version, position=self.till.histories.position)

    async def give_back(self, money: ReturnMoney) -> None:
        """Have the provider return a refund; the key makes a second time harmless."""
        key = f"{money.order_id}/{money.refund_id}"
        await self.provider.refund(key=key, payment_id=money.payment_id, amount_minor=money.amount_minor)


def booking(order_id: str, payment: Payment, asked_at: datetime | None = None) -> Any:
    """Return the command that books what a provider said about a payment, when asked or by itself."""
    if payment.status == "succeeded":
        return c.CapturePayment(order_id, payment.payment_id, payment.amount_minor, asked_at)
    return c.Tell(order_id, order.FailPayment(payment.payment_id, payment.reason))


def _outcome(verdict: Verdict) -> PaymentOutcome:
    if verdict.refusal is not None:
        return PaymentOutcome(verdict, "refused", verdict.refusal.name)
    for _, event in verdict.events:
        if isinstance(event, PaymentFailed):
            return PaymentOutcome(verdict, "declined", event.reason)
        if isinstance(event, PaymentOrphaned):
            return PaymentOutcome(verdict, "orphaned", event.reason)
    return PaymentOutcome(verdict, "paid")


def _known(verdict: Verdict, payment: Payment) -> PaymentOutcome:
    """Tell what has become of a payment otherwise: a callback booked it, or the order was paid by another."""
    match verdict.state.payments.get(payment.payment_id):
        case "captured":
            return PaymentOutcome(verdict, "paid")
        case "orphaned":
            return PaymentOutcome(verdict, "orphaned", f"order_{verdict.state.stage}")
        case None if payment.status == "pending":
            return PaymentOutcome(verdict, "pending")
        case _:
            return PaymentOutcome(verdict, "declined", payment.reason)
