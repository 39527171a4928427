"""What can be read besides single things: stock, boards, what is owed, and the journal itself.

Everything here answers from read models or the journal, now or as of a position; nothing here changes anything.
"""

import msgspec

from api import access, params
from api.answers import Answer, answer
from api.ask import Ask, Seen
from api.auth import Role
from api.edge import read
from api.row_views import (
    BoardView,
    CommissionsView,
    CommissionView,
    JournalView,
    PayoutView,
    RecordView,
    StandingView,
    StockLineView,
    StockView,
)
from api.views import MoneyView, component_views, discount_views, window_view
from domain.record import Record
from domain.refusal import Invalid, NotFound
from projections import queries
from projections.commissions import CommissionRow
from projections.leaderboards import Board
from projections.queries import Metric, Standing, Stock


@read("/v1/streams/{stream_id:str}/stock", roles=None)
async def get_stock(ask: Ask, query: params.ReadQuery) -> Answer[StockView]:
    """Return what is left of every listing of a show, what it costs and when it sells."""
    show = await _show(ask, query)
    found = await queries.stock_of_stream(await ask.tables(query), show.id)
    now = ask.services.till.now()
    lines = [_line(stock, ask) for stock in found.rows]
    return answer(StockView(show.id, found.position, now, lines))


async def _show(ask: Ask, query: params.ReadQuery) -> Seen:
    """Return the show of the path; ``NotFound`` also when there was none yet as of what the query names."""
    show = await ask.stream()
    if query.as_of is None:
        return show
    then, _ = await ask.of(show, "stream", query)
    return then


def _line(stock: Stock, ask: Ask) -> StockLineView:
    row = stock.row
    return StockLineView(
        row.listing_id, row.sku, row.title, row.status(ask.now), MoneyView(row.price_minor, row.currency),
        window_view(row.window, ask.now), row.allotted, stock.available, row.reserved, row.committed, row.shipped,
        row.unavailable, row.returned_to_source, row.purchase_limit, discount_views(row.discounts),
        component_views(row.components),
    )  # fmt: skip


@read("/v1/streams/{stream_id:str}/leaderboards/{board:str}", roles=None)
async def get_leaderboard(ask: Ask, query: params.BoardQuery) -> Answer[BoardView]:
    """Return a board of a show, best first; of two that are equal, the one that got there first is ahead."""
    show, board = await _show(ask, query), ask.parameters["board"]
    if board not in set(Board):
        raise NotFound("board", board)
    page = await queries.leaderboard(
        await ask.tables(query), show.id, Board(board), Metric(query.metric), limit=query.limit, cursor=query.cursor
    )
    views = page.items[0].views if page.items else None
    return answer(
        BoardView(
            show.id, board, query.metric, "show", show.state.currency, views, page.position,
            [_standing(each) for each in page.items], page.next_cursor,
        )
    )  # fmt: skip


def _standing(standing: Standing) -> StandingView:
    row = standing.row
    return StandingView(
        standing.rank, row.subject_id, row.units, row.returned_units, row.gmv_minor, row.refunded_minor,
        row.net_gmv_minor, standing.gpm_minor, standing.reached_position,
    )  # fmt: skip


@read("/v1/payouts", roles=access.EARNINGS_READERS)
async def get_payout(ask: Ask, query: params.PayoutQuery) -> Answer[PayoutView]:
    """Return what a payee is owed in a currency; zeros when nothing was ever earned."""
    access.require_earner(ask.principal, query.payee_id)
    found = await queries.payout(await ask.tables(query), query.payee_id, query.currency)
    row = found.rows[0]
    return answer(
        PayoutView(
            row.payee_id, row.currency, row.pending_minor, row.payable_minor, row.paid_minor, row.accrued_minor,
            row.reversed_minor, found.position,
        )
    )  # fmt: skip


@read("/v1/commissions", roles=access.EARNINGS_READERS)
async def list_commissions(ask: Ask, query: params.CommissionsQuery) -> Answer[CommissionsView]:
    """Return what an order earns its payees, or what a payee earned."""
    payee_id = _payee(ask, query)
    tables = await ask.tables(query)
    if query.order_id is not None:
        page = await queries.commissions_of_order(tables, query.order_id, limit=query.limit, cursor=query.cursor)
    else:
        page = await queries.commissions_of_payee(tables, payee_id or "", limit=query.limit, cursor=query.cursor)
    rows = [_commission(row) for row in page.items if payee_id in (None, row.payee_id)]
    return answer(CommissionsView(page.position, rows, page.next_cursor))


def _payee(ask: Ask, query: params.CommissionsQuery) -> str | None:
    """Return whose commissions are to be seen; a host's own only, without asking."""
    if ask.principal.role is Role.HOST:
        access.require_earner(ask.principal, query.payee_id or ask.principal.subject)
        return ask.principal.subject
    if query.order_id is None and query.payee_id is None:
        raise Invalid("payee_id", "give order_id, payee_id or both")
    return query.payee_id


def _commission(row: CommissionRow) -> CommissionView:
    return CommissionView(
        row.commission_id, row.order_id, row.line_id, row.stream_id, row.payee_id, row.instrument, row.currency,
        row.rate_bps, row.base_minor, row.remaining_base_minor, row.accrued_minor, row.amount_minor, row.status,
        row.locks_at,
    )  # fmt: skip


@read("/v1/journal", roles=access.AUDIT)
async def read_journal(ask: Ask, query: params.JournalQuery) -> Answer[JournalView]:
    """Return records in order, as they are stored: what happened, who asked, by which command and why."""
    records = await ask.services.journal.read(query.after, query.limit)
    following = records[-1].position if len(records) == query.limit else None
    head = max(await ask.services.journal.head(), records[-1].position if records else 0)
    return answer(JournalView(head, [_record(each) for each in records], following))


def _record(record: Record) -> RecordView:
    return RecordView(
        record.position, record.topic, record.history_id, record.version, record.recorded_at,
        msgspec.json.decode(record.state), msgspec.json.decode(record.metadata),
    )  # fmt: skip


ENDPOINTS = (get_stock, get_leaderboard, get_payout, list_commissions, read_journal)
