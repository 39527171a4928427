"""One show that is being watched: what its viewers see, and the log of what they were told.

The state is loaded once, when the first viewer comes, and then moved by what the journal says has changed. Reading
rows and telling viewers are two steps: all reading is done before anything changes, so a database that is away leaves
the channel as it was, and what viewers are told never mixes two moments.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import Factory, define

from api.live_log import FrameLog, Told, event
from api.live_news import Digest, Ticker, count
from api.live_shapes import Shape, listing_shape, money, place_shape, stream_shape
from api.live_totals import Totals, totals_of
from domain.ids import ListingId, StreamId
from domain.record import Record
from domain.values import frozen
from projections.leaderboards import Board
from projections.live_stock import LIVE_STOCK, StockRow, available_of
from projections.queries import Metric, leaderboard, stream
from projections.store import Query, Tables
from projections.streams import StreamRow

TOP = 5
BOARD_SECONDS = 1.0
TICK_SECONDS = 10.0
"""How often a page that hears nothing else is told the time."""
SNAPSHOT_SECONDS = 0.2
"""How long a snapshot serves those who come together."""
RECENT = timedelta(seconds=120)
_RANKINGS = (Metric.UNITS, Metric.GMV)
_ALWAYS = ("listing_id", "sku", "status", "allotted", "available", "reserved", "committed")

Boards = dict[str, dict[str, list[Shape]]]


@frozen
class Fresh:
    """What was read for one show in one round."""

    rows: Sequence[StockRow] = ()
    show: StreamRow | None = None
    boards: Boards | None = None


@define
class Channel:
    """A show that is being watched."""

    stream_id: StreamId
    currency: str
    log: FrameLog
    show: Shape
    pins: tuple[ListingId, ...]
    totals: Totals
    rows: dict[ListingId, StockRow] = Factory(dict)
    boards: Boards = Factory(dict)
    viewers: int = 0
    shapes: dict[ListingId, Shape] = Factory(dict)
    looks: defaultdict[ListingId, set[ListingId]] = Factory(lambda: defaultdict(set))
    """By component: the looks whose stock follows from it."""
    recent: deque[tuple[datetime, Ticker]] = Factory(deque)
    """Sales by second, for the plot of a page that has just been opened."""
    _boards_due: bool = False
    _boards_at: float = 0.0
    _timed_at: float = 0.0
    _told_at: float = 0.0
    _snapshot: tuple[int, float, bytes] = (-1, 0.0, b"")

    # reading

    async def read(self, tables: Tables, digest: Digest, moment: float) -> Fresh:
        """Read what has changed; ``moment`` is the event loop's time."""
        keys = [(listing_id,) for listing_id in sorted(digest.listings)]
        rows = (await tables.load(LIVE_STOCK, keys)).values() if keys else ()
        show = await stream(tables, self.stream_id) if digest.show else None
        due = (self._boards_due or digest.boards) and moment - self._boards_at >= BOARD_SECONDS
        return Fresh(list(rows), show, await self.ranked(tables) if due else None)

    async def ranked(self, tables: Tables) -> Boards:
        """Read the top of every board by every metric that pages show."""
        return {
            f"{board.value}": {metric.value: await self._top(tables, board, metric) for metric in _RANKINGS}
            for board in Board
        }

    async def _top(self, tables: Tables, board: Board, metric: Metric) -> list[Shape]:
        page = await leaderboard(tables, self.stream_id, board, metric, limit=TOP)
        listings = self.shapes if board is Board.LISTINGS else {}
        return [
            place_shape(each.rank, each.row, self.currency, listings.get(each.row.subject_id)) for each in page.items
        ]

    # telling

    def tell(self, fresh: Fresh, digest: Digest, position: int, now: datetime, moment: float) -> None:
        """Take in what was read and tell the viewers, if there is anything to tell."""
        self.take(fresh)
        changed = self._changed({row.listing_id for row in fresh.rows}, now, moment)
        figures = self._figures(digest, fresh, moment)
        told = [*_stock(changed, position, now), *figures, *self._news(digest), *self._ticker(digest)]
        if not told and moment - self._told_at >= TICK_SECONDS:
            told = [Told("tick", {"server_now": now})]
        if told:
            self._told_at = moment
            self.log.append(position, told)

    def snapshot(self, now: datetime, moment: float) -> bytes:
        """Return all that a viewer who knows nothing must be told; those who come together share one."""
        number, made_at, data = self._snapshot
        if number != self.log.number or moment - made_at >= SNAPSHOT_SECONDS:
            data = event("snapshot", self.log.position, self._everything(now))
            self._snapshot = (self.log.number, moment, data)
        return data

    def _everything(self, now: datetime) -> Shape:
        return {
            "as_of_position": self.log.position,
            "server_now": now,
            "stream": self.show,
            "pins": self.pins,
            "listings": list(self.shapes.values()),
            "boards": self.boards,
            "totals": self.totals.shape(self.currency),
            "recent": [_second(second, ticker) for second, ticker in self.recent],
        }

    def _news(self, digest: Digest) -> Iterator[Told]:
        for position, name, data in digest.news:
            yield Told(name, {"position": position, **data, **self._circumstances(name, data)}, position)

    def _circumstances(self, name: str, data: Mapping[str, Any]) -> Shape:
        """Say what a viewer needs to understand a piece of news by itself."""
        if name == "stream":
            return {"stream": {**self.show, **{key: data[key] for key in ("status",) if key in data}}}
        if name == "pin":
            return {"pins": self.pins}
        shape = self.shapes.get(data["listing_id"], {})
        wanted = ("window",) if name == "window" else ("available", "reserved")
        return {key: shape[key] for key in ("sku", "title", *wanted) if key in shape}

    def _figures(self, digest: Digest, fresh: Fresh, moment: float) -> Iterator[Told]:
        if digest.show and not any(name == "stream" for _, name, _ in digest.news):
            yield Told("stream", {"change": "sampled", "stream": self.show})
        self._boards_due = self._boards_due or digest.boards
        if fresh.boards is not None:
            self._boards_due, self._boards_at = False, moment
            if fresh.boards != self.boards:
                self.boards = fresh.boards
                yield Told("boards", {"boards": self.boards})

    def _ticker(self, digest: Digest) -> Iterator[Told]:
        """Tell sales last, for they add up: who has heard of them has heard all of the frame."""
        if digest.sales:
            yield Told("order", self._sales(digest.sales), adds_up=True)

    # state

    def take(self, fresh: Fresh) -> None:
        """Take in what was read of listings and of the show."""
        if fresh.show is not None:
            self.show, self.pins = stream_shape(fresh.show), fresh.show.pins
        for row in fresh.rows:
            self.rows[row.listing_id] = row
            for part in row.components:
                self.looks[part.listing_id].add(row.listing_id)

    def show_all(self, now: datetime, moment: float) -> None:
        """Show all listings as they stand."""
        self._timed_at = self._told_at = moment
        for row in self.rows.values():
            self._change(row, now)

    def _changed(self, listing_ids: set[ListingId], now: datetime, moment: float) -> list[Shape]:
        """Show listings anew and return what is different; now and then all, for prices and windows change by time."""
        concerned = listing_ids.union(*(self.looks.get(each, ()) for each in listing_ids))
        if moment - self._timed_at >= 1.0:
            self._timed_at = moment
            concerned |= {row.listing_id for row in self.rows.values() if row.discounts or row.window_number}
        return [change for each in sorted(concerned) if (change := self._change(self.rows[each], now))]

    def _change(self, row: StockRow, now: datetime) -> Shape | None:
        old = self.shapes.get(row.listing_id)
        new = self.shapes[row.listing_id] = listing_shape(row, available_of(row, self.rows), now)
        if old is None or old == new:
            return new if old is None else None
        return {key: value for key, value in new.items() if key in _ALWAYS or old[key] != value}

    def _sales(self, sales: Iterable[tuple[Record, Any]]) -> Shape:
        ticker = Ticker()
        self.totals.count(ticker, sales)
        self.remember(sales)
        units = {"units": ticker.paid_units, "returned_units": ticker.returned_units}
        paid = {**units, **money(ticker.paid_minor, self.currency)}
        figures = {name: getattr(ticker, name) for name in ("at", "orders", "units", "refused")}
        amount, totals = money(ticker.amount_minor, self.currency), self.totals.shape(self.currency)
        return {**figures, **amount, "paid": paid, "totals": totals}

    def remember(self, sales: Iterable[tuple[Record, Any]]) -> None:
        """Keep what is sold second by second, for the plot of a page that is opened later."""
        for record, sale in sales:
            second = record.recorded_at.replace(microsecond=0)
            if not self.recent or self.recent[-1][0] != second:
                self.recent.append((second, Ticker()))
            count(self.recent[-1][1], record, sale)
        while self.recent and self.recent[-1][0] - self.recent[0][0] >= RECENT:
            self.recent.popleft()


async def open_channel(
    tables: Tables, stream_id: StreamId, position: int, now: datetime, moment: float
) -> Channel | None:
    """Load a show whose read models hold ``position``; None when there is no such show."""
    show = await stream(tables, stream_id)
    if show is None:
        return None
    stock = await tables.find(Query(LIVE_STOCK, {"stream_id": stream_id}))
    totals = await totals_of(tables, stream_id)
    channel = Channel(stream_id, show.currency, FrameLog(position), stream_shape(show), show.pins, totals)
    channel.take(Fresh(stock.rows))
    channel.show_all(now, moment)
    channel.boards = await channel.ranked(tables)
    return channel


def _stock(changed: Sequence[Shape], position: int, now: datetime) -> Iterator[Told]:
    if changed:
        yield Told("stock", {"as_of_position": position, "server_now": now, "listings": changed})


def _second(at: datetime, ticker: Ticker) -> Shape:
    return {"at": at, "orders": ticker.orders, "units": ticker.units, "refused": ticker.refused}
