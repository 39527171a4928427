"""Several orders in one request, for shop fronts that order for many buyers.

Each is an order of its own, with a key of its own, judged in the order they come and answered as it would have been
alone: one that is refused says nothing about the others. Only what is wrong with the request as a whole (its token,
its form, a till that has no room for it) is answered once, and then nothing was done.
"""

import asyncio
from typing import Any

import msgspec

from api import access, bodies
from api.answers import Answer, answer
from api.ask import Ask
from api.edge import Key, told_of, write
from api.orders import place
from api.problems import problem_of
from api.views import OrderAnswersView, OrderAnswerView
from application.tickets import OverloadedError
from domain.refusal import Invalid

CREATED = 201
_encode = msgspec.json.Encoder().encode


@write("/v1/orders:batch", roles=access.BUYING, key=Key.NONE)
async def place_orders(ask: Ask, body: bodies.PlaceOrdersBody) -> Answer[OrderAnswersView]:
    """Place up to 100 orders that have nothing to do with each other; each is accepted or refused by itself.

    A request that is repeated, whole or in part, gets the first answer of every key again.
    """
    _require_own_keys(body)
    till = ask.services.till
    if till.queued + len(body.orders) > till.limits.queue:
        raise OverloadedError
    answers = await asyncio.gather(*(_one(ask, each) for each in body.orders))
    reached = max((_position(each) for each in answers), default=0)
    return answer(OrderAnswersView(answers, reached or till.histories.position))


def _require_own_keys(body: bodies.PlaceOrdersBody) -> None:
    seen: set[str] = set()
    for number, each in enumerate(body.orders):
        if each.idempotency_key in seen:
            raise Invalid(f"orders[{number}].idempotency_key", "is that of another order in this request")
        seen.add(each.idempotency_key)


async def _one(ask: Ask, body: bodies.KeyedOrderBody) -> OrderAnswerView:
    """Answer one order, whatever happens."""
    single = ask.part(body.idempotency_key, _encode(body))
    try:
        view = await place(single, body)
    except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this order and not the others
        refused, more = told_of(error, single)
        problem: dict[str, Any] = {**problem_of(refused), **more}
        return OrderAnswerView(problem["status"], single.replayed, None, problem)
    return OrderAnswerView(CREATED, single.replayed, view, None)


def _position(answered: OrderAnswerView) -> int:
    """Return up to where an answer is recorded; 0 when nothing was written."""
    if answered.order is not None:
        return answered.order.position
    return int((answered.problem or {}).get("position", 0))


ENDPOINTS = (place_orders,)
