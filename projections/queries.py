"""What read models are asked, over live tables and over those of any position of the past alike."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from domain.ids import BuyerId, ListingId, OrderId, PayeeId, StreamId
from domain.values import frozen
from projections.commissions import COMMISSIONS, CommissionRow
from projections.deadlines import DEADLINES, DeadlineRow
from projections.leaderboards import AUDIENCES, STANDINGS, Board, StandingRow
from projections.live_stock import LIVE_STOCK, StockRow, available_of
from projections.orders import ORDERS, OrderRow
from projections.pages import Page, bounded, cursor_of, offset_in, page_by_key
from projections.payouts import PAYOUTS, PayoutRow
from projections.store import Found, Query, Tables
from projections.streams import STREAMS, StreamRow

# live stock


@frozen
class Stock:
    """A listing and what is left of it."""

    row: StockRow
    available: int
    """Units for sale; of a look, how many the scarcest component allows."""

    @property
    def is_look(self) -> bool:
        """Whether it is made of other listings."""
        return bool(self.row.components)


async def stock_of_stream(tables: Tables, stream_id: StreamId) -> Found[Stock]:
    """Return the stock of all listings of a show."""
    found = await tables.find(Query(LIVE_STOCK, {"stream_id": stream_id}))
    return Found(found.position, await _with_looks(tables, found.rows))


async def stock_of_listing(tables: Tables, listing_id: ListingId) -> Stock | None:
    """Return the stock of one listing; None when it is not known (yet)."""
    rows = await tables.load(LIVE_STOCK, [(listing_id,)])
    stock = await _with_looks(tables, list(rows.values()))
    return stock[0] if stock else None


async def _with_looks(tables: Tables, rows: Sequence[StockRow]) -> list[Stock]:
    """Compute what is left of looks; their components are loaded if they are not among the rows."""
    known = {row.listing_id: row for row in rows}
    parts = {part.listing_id for row in rows for part in row.components}
    missing = [(listing_id,) for listing_id in sorted(parts - known.keys())]
    if missing:
        known |= {row.listing_id: row for row in (await tables.load(LIVE_STOCK, missing)).values()}
    return [Stock(row, available_of(row, known)) for row in rows]


# leaderboards


class Metric(StrEnum):
    """What a board ranks by."""

    UNITS = "units"
    GMV = "gmv"
    NET_GMV = "net_gmv"
    GPM = "gpm"


_MEASURED = {Metric.UNITS: "units", Metric.GMV: "gmv", Metric.NET_GMV: "net_gmv", Metric.GPM: "gmv"}
"""In one show all have the same views: sales per thousand views rank as sales do."""


@frozen
class Standing:
    """A place on a board."""

    rank: int
    row: StandingRow
    metric: Metric
    views: int | None
    """Views of the show so far; None when none were sampled."""

    @property
    def gpm_minor(self) -> int | None:
        """``gmv_minor * 1000 / views``, rounded half up; None without views."""
        return (self.row.gmv_minor * 2_000 + self.views) // (2 * self.views) if self.views else None

    @property
    def reached_position(self) -> int:
        """The position at which the metric took its value: the tie-break."""
        return int(getattr(self.row, f"{_MEASURED[self.metric]}_reached"))


async def leaderboard(
    tables: Tables, stream_id: StreamId, board: Board, metric: Metric, *, limit: int = 10, cursor: str | None = None
) -> Page[Standing]:
    """Return a page of a board, best first; equals by who got there first, then by id."""
    offset = offset_in(cursor)
    measured = _MEASURED[metric]
    value = measured if metric is Metric.UNITS else f"{measured}_minor"
    query = Query(
        STANDINGS,
        {"stream_id": stream_id, "board": board.value},
        order=(f"-{value}", f"{measured}_reached", "subject_id"),
        offset=offset,
        limit=bounded(limit) + 1,
    )
    found = await tables.find(query)
    audience = (await tables.load(AUDIENCES, [(stream_id,)])).get((stream_id,))
    views = audience.views if audience is not None and audience.views else None
    places = [Standing(offset + place, row, metric, views) for place, row in enumerate(found.rows[:limit], start=1)]
    following = cursor_of([offset + limit]) if len(found.rows) > limit else None
    return Page(found.position, places, following)


# payouts and commissions


async def payout(tables: Tables, payee_id: PayeeId, currency: str) -> Found[PayoutRow]:
    """Return what a payee is owed in a currency: one row, of zeros when nothing was ever earned."""
    found = await tables.find(Query(PAYOUTS, {"payee_id": payee_id, "currency": currency}))
    return found if found.rows else Found(found.position, [PayoutRow(payee_id, currency)])


async def payouts(tables: Tables, payee_id: PayeeId) -> Found[PayoutRow]:
    """Return what a payee is owed, a row a currency."""
    return await tables.find(Query(PAYOUTS, {"payee_id": payee_id}))


async def commissions_of_order(
    tables: Tables, order_id: OrderId, *, limit: int = 100, cursor: str | None = None
) -> Page[CommissionRow]:
    """Return what an order earns its payees."""
    return await page_by_key(tables, COMMISSIONS, {"order_id": order_id}, limit, cursor)


async def commissions_of_payee(
    tables: Tables, payee_id: PayeeId, *, limit: int = 100, cursor: str | None = None
) -> Page[CommissionRow]:
    """Return what a payee earned."""
    return await page_by_key(tables, COMMISSIONS, {"payee_id": payee_id}, limit, cursor)


async def commission(tables: Tables, commission_id: str) -> CommissionRow | None:
    """Return one commission; None when it is not known (yet)."""
    return (await tables.load(COMMISSIONS, [(commission_id,)])).get((commission_id,))


# orders


async def orders_of_stream(
    tables: Tables, stream_id: StreamId, *, limit: int = 100, cursor: str | None = None
) -> Page[OrderRow]:
    """Return the orders of a show, refused ones too."""
    return await page_by_key(tables, ORDERS, {"stream_id": stream_id}, limit, cursor)


async def orders_of_buyer(
    tables: Tables, buyer_id: BuyerId, *, limit: int = 100, cursor: str | None = None
) -> Page[OrderRow]:
    """Return the orders of a buyer, refused ones too."""
    return await page_by_key(tables, ORDERS, {"buyer_id": buyer_id}, limit, cursor)


async def orders(tables: Tables, order_ids: Iterable[OrderId]) -> dict[OrderId, OrderRow]:
    """Return those orders that are known."""
    rows = await tables.load(ORDERS, [(order_id,) for order_id in dict.fromkeys(order_ids)])
    return {row.order_id: row for row in rows.values()}


# streams


async def stream(tables: Tables, stream_id: StreamId) -> StreamRow | None:
    """Return a show; None when it is not known (yet)."""
    return (await tables.load(STREAMS, [(stream_id,)])).get((stream_id,))


async def streams(tables: Tables, *, limit: int = 100, cursor: str | None = None) -> Page[StreamRow]:
    """Return all shows."""
    return await page_by_key(tables, STREAMS, {}, limit, cursor)


async def running_streams(tables: Tables, *, limit: int = 100, cursor: str | None = None) -> Page[StreamRow]:
    """Return the shows that are on air, or interrupted and expected back."""
    return await page_by_key(tables, STREAMS, {"running": True}, limit, cursor)


# deadlines

_SOONEST = ("due_at", "history_id", "kind")


async def due(tables: Tables, now: datetime, limit: int = 100) -> Sequence[DeadlineRow]:
    """Return what is due, the longest overdue first."""
    found = await tables.find(Query(DEADLINES, at_most={"due_at": now}, order=_SOONEST, limit=bounded(limit)))
    return found.rows


async def next_due(tables: Tables) -> datetime | None:
    """Return when the next thing falls due; None when nothing will."""
    found = await tables.find(Query(DEADLINES, order=_SOONEST, limit=1))
    return found.rows[0].due_at if found.rows else None
