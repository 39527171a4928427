"""Streams: which shows there are, who is on air with what, and what viewers see pinned."""

from datetime import datetime
from typing import Any

from attrs import define

from domain.ids import BrandId, HostId, ListingId, StreamId
from domain.stream import events as s
from domain.stream.state import Status
from projections.projection import Fact, Projection, change, put
from projections.tables import Key, Table


@define
class StreamRow:
    """One show."""

    stream_id: StreamId
    title: str
    host_id: HostId
    brand_id: BrandId
    currency: str
    scheduled_at: datetime
    on_air: HostId
    """Who sells right now, or will first."""
    status: str = Status.SCHEDULED.value
    running: bool = False
    """On air, or interrupted and expected back."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    segment_listing_id: ListingId | None = None
    pins: tuple[ListingId, ...] = ()
    views: int = 0
    """Since the start, as last sampled."""
    position: int = 0


STREAMS = Table("streams", StreamRow, key=("stream_id",), indexes=(("running", "stream_id"),))


def _scheduled(_: Key, record: Fact, event: s.StreamScheduled) -> StreamRow:
    return StreamRow(
        record.history_id, event.title, event.host_id, event.brand_id, event.currency, event.scheduled_at, event.host_id
    )


def _rescheduled(row: StreamRow, _: Fact, event: s.StreamRescheduled) -> None:
    row.scheduled_at = event.scheduled_at


def _started(row: StreamRow, _: Fact, event: s.StreamStarted) -> None:
    row.started_at = event.started_at
    _become(row, Status.LIVE)


def _interrupted(row: StreamRow, _: Fact, __: Any) -> None:
    _become(row, Status.INTERRUPTED)


def _back(row: StreamRow, _: Fact, __: Any) -> None:
    row.ended_at = None
    _become(row, Status.LIVE)


def _ended(row: StreamRow, _: Fact, event: s.StreamEnded) -> None:
    row.ended_at = event.ended_at
    row.pins = ()
    _become(row, Status.ENDED)


def _cancelled(row: StreamRow, _: Fact, __: Any) -> None:
    row.pins = ()
    _become(row, Status.CANCELLED)


def _become(row: StreamRow, status: Status) -> None:
    row.status = status.value
    row.running = status in (Status.LIVE, Status.INTERRUPTED)


def _segment(row: StreamRow, _: Fact, event: s.SegmentStarted) -> None:
    row.on_air, row.segment_listing_id = event.host_id, event.listing_id


def _co_host_left(row: StreamRow, _: Fact, event: s.CoHostLeft) -> None:
    """Whoever is on air and leaves hands over to the host."""
    if row.on_air == event.host_id:
        row.on_air = row.host_id


def _pinned(row: StreamRow, _: Fact, event: s.ListingPinned) -> None:
    row.pins = (*row.pins, event.listing_id)


def _unpinned(row: StreamRow, _: Fact, event: s.ListingUnpinned) -> None:
    row.pins = tuple(each for each in row.pins if each != event.listing_id)


def _sampled(row: StreamRow, _: Fact, event: s.AudienceSampled) -> None:
    row.views = event.views


PROJECTION = Projection(
    "streams",
    (STREAMS,),
    {
        s.StreamScheduled: put(STREAMS, _scheduled),
        s.StreamRescheduled: change(STREAMS, _rescheduled),
        s.StreamStarted: change(STREAMS, _started),
        s.StreamInterrupted: change(STREAMS, _interrupted),
        s.StreamResumed: change(STREAMS, _back),
        s.StreamRestarted: change(STREAMS, _back),
        s.StreamEnded: change(STREAMS, _ended),
        s.StreamCancelled: change(STREAMS, _cancelled),
        s.SegmentStarted: change(STREAMS, _segment),
        s.CoHostLeft: change(STREAMS, _co_host_left),
        s.ListingPinned: change(STREAMS, _pinned),
        s.ListingUnpinned: change(STREAMS, _unpinned),
        s.AudienceSampled: change(STREAMS, _sampled),
    },
)
