"""Orders: the path that must be fast. Placing decides for the whole order at once, whoever else buys meanwhile."""

from typing import Any

from api import access, bodies, idempotency, params
from api.answers import Answer, answer
from api.ask import Ask
from api.auth import Role
from api.edge import Key, read, write
from api.row_views import OrderRowView, OrdersView
from api.views import MoneyView, OrderView, RefundedView, ReturnRequestedView, order_view, told
from application import commands as c
from domain.listing.units import Disposition
from domain.order import commands as order
from domain.order.events import RefundIssued, ReturnRequested
from domain.order.state import Order
from domain.refusal import Invalid
from projections import queries
from projections.orders import OrderRow

NOT_NOW = ("not_allowed_now",)
UNSERVED = (
    "sold_out", "window_not_open", "window_closed", "purchase_limit_exceeded", "price_changed", "stream_not_live",
    "listing_withdrawn",
)  # fmt: skip


@write("/v1/orders", roles=access.BUYING, status=201, key=Key.REQUIRED, refusals=UNSERVED)
async def place_order(ask: Ask, body: bodies.PlaceOrderBody) -> Answer[OrderView]:
    """Reserve everything that is asked for, or refuse all of it. The price holds until ``hold_expires_at``."""
    view = await place(ask, body)
    return answer(view, status=201, version=view.version, location=f"/v1/orders/{view.order_id}")


async def place(ask: Ask, body: bodies.PlaceOrderBody) -> OrderView:
    """Place an order and return it."""
    buyer_id = access.buyer_of(ask.principal, body.buyer_id)
    if buyer_id is None:
        raise Invalid("buyer_id", "is needed: say for whom you order")
    lines = tuple(c.AskLine(each.listing_id, each.quantity, each.unit_price_minor) for each in body.lines)
    placing = c.PlaceOrder(idempotency.new_id("order", ask.now), body.stream_id, buyer_id, lines)
    verdict = await ask.ring(placing)
    placed = await ask.told(verdict, told(verdict, "order"))
    return order_view(placed.id, placed.state, placed.version, verdict.position)


async def _edit(ask: Ask, command: Any) -> Answer[OrderView]:
    """Ring up a command to an order and answer with the order."""
    verdict = await ask.ring(command)
    changed = await ask.told(verdict, command.target)
    return answer(order_view(changed.id, changed.state, changed.version, verdict.position), version=changed.version)


@write("/v1/orders/{order_id:str}/cancel", roles=access.BUYING, edits=True, refusals=NOT_NOW)
async def cancel_order(ask: Ask, body: bodies.CancelBody) -> Answer[OrderView]:
    """Call an order off, or units of one line, before it is sent; what was paid for them goes back."""
    found = await ask.order(access.buys, newest=True)
    if body.line_id is None:
        if body.quantity is not None:
            raise Invalid("line_id", "is needed with a quantity")
        return await _edit(ask, c.CancelOrder(found.id))
    quantity = _kept(found.state, body.line_id) if body.quantity is None else body.quantity
    cancellation_id = idempotency.part_id("cancellation", ask.command_id)
    return await _edit(ask, c.CancelLine(found.id, cancellation_id, body.line_id, quantity))


def _kept(placed: Order, line_id: str) -> int:
    """Return how many units of a line are still ordered; of a line that is not there, one that will be refused."""
    facts = placed.lines.get(line_id)
    return 1 if facts is None else facts.kept


@write("/v1/orders/{order_id:str}/ship", roles=access.FULFILMENT, edits=True, refusals=NOT_NOW)
async def ship_order(ask: Ask) -> Answer[OrderView]:
    """Send an order. Of cancelling and shipping, whichever is written first wins."""
    return await _edit(ask, c.ShipOrder((await ask.order(access.fulfils)).id))


@write("/v1/orders/{order_id:str}/deliver", roles=access.FULFILMENT, edits=True, refusals=NOT_NOW)
async def deliver_order(ask: Ask) -> Answer[OrderView]:
    """Note an order's arrival; goods may come back until the return window ends."""
    return await _edit(ask, c.DeliverOrder((await ask.order(access.fulfils)).id))


@write(
    "/v1/orders/{order_id:str}/returns", roles=access.BUYING, status=201, edits=True,
    refusals=(*NOT_NOW, "return_window_closed", "return_exceeds_delivered"),
)  # fmt: skip
async def request_return(ask: Ask, body: bodies.ReturnBody) -> Answer[ReturnRequestedView]:
    """Announce that goods come back."""
    found = await ask.order(access.buys)
    return_id = idempotency.part_id("return", ask.command_id)
    verdict = await ask.ring(c.Tell(found.id, order.RequestReturn(return_id, body.line_id, body.quantity, ask.now)))
    said = next(event.return_id for _, event in verdict.events if isinstance(event, ReturnRequested))
    after = await ask.told(verdict, found.id)
    changed = order_view(after.id, after.state, after.version, verdict.position)
    view = ReturnRequestedView(said, verdict.position, changed)
    return answer(view, status=201, version=after.version, location=f"/v1/orders/{after.id}")


@write(
    "/v1/orders/{order_id:str}/returns/{return_id:str}/receive", roles=access.FULFILMENT, edits=True,
    refusals=NOT_NOW,
)  # fmt: skip
async def receive_return(ask: Ask, body: bodies.ReceiveBody) -> Answer[OrderView]:
    """Take goods in: sound ones go back on sale while the show runs."""
    found, return_id = await ask.order(access.fulfils), ask.named("return_id")
    return await _edit(ask, c.ReceiveReturn(found.id, return_id, Disposition(body.disposition)))


@write(
    "/v1/orders/{order_id:str}/refunds", roles=access.REFUNDING, status=201, key=Key.REQUIRED, edits=True,
    refusals=(*NOT_NOW, "refund_exceeds_captured"),
)  # fmt: skip
async def issue_refund(ask: Ask, body: bodies.RefundBody) -> Answer[RefundedView]:
    """Give money back, of one line or shared over all; never more than came in, whoever else refunds meanwhile."""
    found = await ask.order(access.refunds)
    refund_id = idempotency.part_id("refund", ask.command_id)
    refunding = order.IssueRefund(refund_id, body.line_id, body.amount_minor, body.reason)
    verdict = await ask.ring(c.Tell(found.id, refunding))
    said = next(event.refund_id for _, event in verdict.events if isinstance(event, RefundIssued))
    after = await ask.told(verdict, found.id)
    changed = order_view(after.id, after.state, after.version, verdict.position)
    view = RefundedView(said, verdict.position, changed)
    return answer(view, status=201, version=after.version, location=f"/v1/orders/{after.id}")


@read("/v1/orders/{order_id:str}", roles=access.ORDER_READERS)
async def get_order(ask: Ask, query: params.ReadQuery) -> Answer[OrderView]:
    """Return an order, now or as of any position; one that was refused says why."""
    found, position = await ask.of(await ask.order(access.sees_order), "order", query)
    return answer(order_view(found.id, found.state, found.version, position), version=found.version)


@read("/v1/orders", roles=access.ORDER_READERS)
async def list_orders(ask: Ask, query: params.OrdersQuery) -> Answer[OrdersView]:
    """Return orders of a buyer or of a show, the oldest first; a buyer gets its own without asking."""
    stream_id, buyer_id = await _wanted(ask, query)
    tables = await ask.tables(query)
    if stream_id is not None:
        page = await queries.orders_of_stream(tables, stream_id, limit=query.limit, cursor=query.cursor)
    else:
        page = await queries.orders_of_buyer(tables, buyer_id or "", limit=query.limit, cursor=query.cursor)
    return answer(OrdersView(page.position, [_row(each) for each in page.items], page.next_cursor))


async def _wanted(ask: Ask, query: params.OrdersQuery) -> tuple[str | None, str | None]:
    """Return whose orders may be listed: of one show, or of one buyer."""
    who = ask.principal
    if who.role is Role.BUYER:
        ask.require(query.stream_id is None)
        return None, access.buyer_of(who, query.buyer_id)
    if (query.stream_id is None) == (query.buyer_id is None):
        raise Invalid("stream_id", "give either stream_id or buyer_id")
    if who.role is Role.BRAND:
        ask.require(query.stream_id is not None)
    if query.stream_id is not None:
        show = await ask.seen(query.stream_id, "stream")
        ask.require(who.role is not Role.BRAND or access.owns(who, show.state))
    return query.stream_id, query.buyer_id


def _row(row: OrderRow) -> OrderRowView:
    total = MoneyView(row.total_minor, row.currency) if row.currency else None
    return OrderRowView(
        row.order_id, row.stream_id, row.buyer_id, row.status, row.units, total, row.captured_minor,
        row.refunded_minor, row.orphaned_minor, row.placed_at, row.reason,
    )  # fmt: skip


ENDPOINTS = (
    place_order, cancel_order, ship_order, deliver_order, request_return, receive_return, issue_refund, get_order,
    list_orders,
)  # fmt: skip
