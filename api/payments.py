"""Paying: here and now with a token, or later by the provider's callback.

Callbacks are signed as Standard Webhooks 1.0 says. They come twice, early, late and before their order: each is booked
under the name of its payment and type, so a second one changes nothing, and one whose order we do not know is put
aside for somebody to look at. A provider is told 2xx for everything that asking again would not change.
"""

from typing import Final

import msgspec
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api import access, bodies, idempotency
from api.answers import Answer, answer, problem_answer
from api.ask import Ask, Seen
from api.auth import Principal, Role, Unauthenticated
from api.edge import Key, write
from api.problems import PaymentDeclined, PaymentOrphaned
from api.reading import decoded
from api.views import OrderView, WebhookView, order_view
from application import commands as c
from application.desk import Versioned
from application.payments import PaymentOutcome, booking
from application.ports import Payment
from application.tickets import Command
from domain.order import events as order
from domain.order.state import Stage

PROVIDER: Final = Principal(Role.CLIENT, "payment-provider")
STATUSES: Final = {"payment.succeeded": "succeeded", "payment.failed": "declined"}


@write(
    "/v1/orders/{order_id:str}/payments", roles=access.BUYING, key=Key.REQUIRED,
    refusals=("hold_expired", "not_allowed_now", "payment_declined", "payment_orphaned", "payment_outcome_unknown"),
)  # fmt: skip
async def pay_order(ask: Ask, body: bodies.PaymentBody) -> Answer[OrderView]:
    """Pay an order. 202 means that the provider will say later; 503 that it did not answer: ask with the same key."""
    found = await ask.order(access.buys)
    ticket = ask.ticket(c.RequestPayment(found.id))
    outcome = await ask.services.cashier.pay(ticket, body.payment_token)
    verdict = ask.accept(outcome.verdict)
    paid = await ask.told(verdict, found.id)
    return _outcome(outcome, paid)


def _outcome(outcome: PaymentOutcome, paid: Seen) -> Answer[OrderView]:
    """Answer with the order; a payment that brought nothing is a problem, with the reason."""
    position = outcome.verdict.position
    match outcome.status:
        case "declined":
            return problem_answer(PaymentDeclined(outcome.reason), position=position)
        case "orphaned":
            return problem_answer(PaymentOrphaned(outcome.reason), position=position)
        case "pending":
            view = order_view(paid.id, paid.state, paid.version, position, pending=True)
            return answer(view, status=202, version=paid.version)
        case _:
            return answer(order_view(paid.id, paid.state, paid.version, position), version=paid.version)


def _require_signed(ask: Ask) -> None:
    """Refuse what the provider did not sign, or signed more than five minutes ago."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in ask.headers.items()}
    try:
        Webhook(ask.services.settings.webhook_secret).verify(ask.raw, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):
        raise Unauthenticated("the callback's signature does not match, or is older than five minutes") from None


@write("/v1/webhooks/payments", roles=None, key=Key.NONE, check=_require_signed)
async def hear_payment(ask: Ask, body: bodies.WebhookBody) -> Answer[WebhookView]:
    """Take a provider's callback: ``payment.succeeded`` or ``payment.failed``, signed."""
    status = STATUSES.get(body.type)
    if status is None:
        return answer(WebhookView("ignored"))
    news = decoded(bodies.PaymentNews, msgspec.json.encode(body.data), "data")
    order = await ask.services.till.look(news.order_id)
    if misfit := _misfit(order, news, status):
        return await _parked(ask, news, body.type, misfit)
    payment = Payment(news.payment_id, status, news.amount_minor, news.reason)
    return await _booked(ask, booking(news.order_id, payment), news.payment_id, body.type)


def _misfit(known: Versioned, news: bodies.PaymentNews, status: str) -> str:
    """Say why nothing can be booked on an order; money that was taken for it waits for somebody to look."""
    if not known.version:
        return "which fits no order"
    if status == "declined":
        return ""
    if known.state.stage is Stage.REFUSED:
        return "whose order was refused"
    return "" if news.currency == known.state.currency else f"whose order is in {known.state.currency}"


async def _booked(ask: Ask, command: Command, payment_id: str, kind: str) -> Answer[WebhookView]:
    ask.who, ask.command_id = PROVIDER, idempotency.command_id("webhook", f"{payment_id}\n{kind}")
    verdict = await ask.services.till.ring_up(ask.ticket(command))
    if verdict.refusal is not None:
        return answer(WebhookView(verdict.refusal.name, verdict.position))
    if verdict.replayed or not verdict.events:
        return answer(WebhookView("known", verdict.position))
    orphaned = any(isinstance(event, order.PaymentOrphaned) for _, event in verdict.events)
    return answer(WebhookView("orphaned" if orphaned else "booked", verdict.position))


async def _parked(ask: Ask, news: bodies.PaymentNews, kind: str, misfit: str) -> Answer[WebhookView]:
    """Put a callback aside with what is known of it."""
    facts = f"{kind} of {news.amount_minor} {news.currency} (minor units) for {news.order_id}, {misfit}"
    await ask.services.parking.park("webhooks", 0, f"{news.payment_id}/{kind}", facts)
    return answer(WebhookView("parked"), status=202)


ENDPOINTS = (pay_order, hear_payment)
