"""Sorts records by the show they belong to, and what they mean to its viewers.

A record is decoded only when it can matter: what belongs to a show that nobody watches is passed over by its id.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from attrs import Factory, define

from domain.ids import LISTING, STREAM, ListingId, kind_of
from domain.listing import events as li
from domain.order import events as o
from domain.record import Record
from domain.stream import events as s
from domain.stream.state import Status

Tell = Callable[[str, Any], dict[str, Any]]
"""Turns an event of a history into what viewers are told."""
News = tuple[int, str, dict[str, Any]]
"""Position, name and data of something that must not be lost."""


@define
class Ticker:
    """Sales within one tick; they add up, and name nobody."""

    orders: int = 0
    units: int = 0
    amount_minor: int = 0
    refused: int = 0
    paid_units: int = 0
    """Sold; what came back of them is told apart."""
    returned_units: int = 0
    paid_minor: int = 0
    at: datetime | None = None
    """When the last of it was recorded."""


@define
class Digest:
    """What a batch of records means to the viewers of one show."""

    listings: set[ListingId] = Factory(set)
    """Whose stock, price or window may have changed."""
    news: list[News] = Factory(list)
    sales: list[tuple[Record, Any]] = Factory(list)
    """Orders placed and refused, units paid and returned."""
    show: bool = False
    """Whether the show itself changed."""
    boards: bool = False


def digest(into: Digest, record: Record, event: Any) -> None:
    """Take a record of a show in."""
    kind = kind_of(record.history_id)
    if kind == LISTING:
        into.listings.add(record.history_id)
    into.show = into.show or kind == STREAM
    if isinstance(event, _SALES):
        into.sales.append((record, event))
        into.boards = into.boards or isinstance(event, _RANKED)
    told = _NEWS.get(type(event))
    if told is not None:
        name, tell = told
        into.news.append((record.position, name, tell(record.history_id, event)))


def count(into: Ticker, record: Record, event: Any) -> None:
    """Add a sale to the ticker."""
    match event:
        case o.OrderPlaced():
            into.orders += 1
            into.units += sum(line.quantity for line in event.lines)
            into.amount_minor += event.total_minor
        case o.OrderRefused():
            into.refused += 1
        case li.UnitsCommitted():
            into.paid_units += event.quantity
            into.paid_minor += event.amount_minor
        case li.UnitsReturned():
            into.returned_units += event.quantity
    into.at = record.recorded_at


_RANKED = (li.UnitsCommitted, li.UnitsReturned)
_SALES = (o.OrderPlaced, o.OrderRefused, *_RANKED)


def _tells_pin(*, pinned: bool) -> Tell:
    return lambda _, event: {"listing_id": event.listing_id, "pinned": pinned}


def _tells_window(change: str, *names: str) -> Tell:
    return lambda listing_id, event: {"listing_id": listing_id, "change": change, **_facts(event, "number", *names)}


def _tells_show(change: str, status: Status | None, *names: str) -> Tell:
    became = {} if status is None else {"status": status.value}
    return lambda _, event: {"change": change, **became, **_facts(event, *names)}


def _facts(event: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(event, name) for name in names}


def _tells_listing(listing_id: str, _: Any) -> dict[str, Any]:
    return {"listing_id": listing_id}


_NEWS: Mapping[type, tuple[str, Tell]] = {
    li.ListingSoldOut: ("sold_out", _tells_listing),
    li.ListingBackInStock: ("back_in_stock", _tells_listing),
    li.WindowScheduled: ("window", _tells_window("scheduled", "opens_at", "closes_at", "countdown_seconds")),
    li.CountdownStarted: ("window", _tells_window("countdown", "opens_at")),
    li.WindowOpened: ("window", _tells_window("opened", "opened_at")),
    li.WindowExtended: ("window", _tells_window("extended", "closes_at")),
    li.WindowClosed: ("window", _tells_window("closed", "closed_at", "reason")),
    s.ListingPinned: ("pin", _tells_pin(pinned=True)),
    s.ListingUnpinned: ("pin", _tells_pin(pinned=False)),
    s.StreamRescheduled: ("stream", _tells_show("rescheduled", None, "scheduled_at")),
    s.StreamStarted: ("stream", _tells_show("started", Status.LIVE, "started_at")),
    s.SegmentStarted: ("stream", _tells_show("segment", None)),
    s.StreamInterrupted: ("stream", _tells_show("interrupted", Status.INTERRUPTED, "until")),
    s.StreamResumed: ("stream", _tells_show("resumed", Status.LIVE)),
    s.StreamEnded: ("stream", _tells_show("ended", Status.ENDED, "reason", "ended_at")),
    s.StreamRestarted: ("stream", _tells_show("restarted", Status.LIVE)),
    s.StreamCancelled: ("stream", _tells_show("cancelled", Status.CANCELLED)),
}
