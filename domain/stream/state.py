"""What the rules need to know of a show, and how each event changes it."""

from datetime import datetime
from enum import StrEnum

from attrs import evolve as changed

from domain.ids import BrandId, HostId, ListingId
from domain.stream.events import (
    AudienceSampled,
    CoHostJoined,
    CoHostLeft,
    Event,
    ListingPinned,
    ListingUnpinned,
    SegmentStarted,
    StreamCancelled,
    StreamEnded,
    StreamInterrupted,
    StreamRescheduled,
    StreamRestarted,
    StreamResumed,
    StreamScheduled,
    StreamStarted,
    TeaserPublished,
    TermsAgreed,
)
from domain.terms import AgreedTerms, Terms, in_force
from domain.values import frozen


class Status(StrEnum):
    """Where a show stands."""

    UNKNOWN = "unknown"
    SCHEDULED = "scheduled"
    LIVE = "live"
    INTERRUPTED = "interrupted"
    ENDED = "ended"
    CANCELLED = "cancelled"


@frozen
class Stream:
    """What the rules need to know of a show."""

    status: Status = Status.UNKNOWN
    title: str = ""
    host_id: HostId = ""
    brand_id: BrandId = ""
    currency: str = ""
    scheduled_at: datetime | None = None
    agreed: tuple[AgreedTerms, ...] = ()
    co_hosts: tuple[HostId, ...] = ()
    pins: tuple[ListingId, ...] = ()
    on_air: HostId = ""
    segment_listing_id: ListingId | None = None
    teasers: tuple[str, ...] = ()
    started_at: datetime | None = None
    interrupted_until: datetime | None = None
    ended_at: datetime | None = None
    views: int = 0

    def sells(self, now: datetime) -> bool:
        """Whether orders are taken: on air, or interrupted for not too long, while open windows keep their promise."""
        waiting = self.interrupted_until is not None and now < self.interrupted_until
        return self.status is Status.LIVE or (self.status is Status.INTERRUPTED and waiting)

    @property
    def presenters(self) -> tuple[HostId, ...]:
        """Who may be in no other show meanwhile: while the show runs, the host and whoever is on air."""
        running = self.status in (Status.LIVE, Status.INTERRUPTED)
        return tuple(dict.fromkeys((self.host_id, self.on_air))) if running else ()

    def terms_at(self, instant: datetime) -> AgreedTerms:
        """Return the terms of a sale whose units are reserved at an instant."""
        return in_force(self.agreed, instant)

    def terms_of(self, version: int) -> Terms:
        """Return agreed terms by their version."""
        return self.agreed[version - 1].terms


def evolve(state: Stream, event: Event) -> Stream:
    """Return the show after an event."""
    match event:
        case StreamScheduled():
            return changed(
                state,
                status=Status.SCHEDULED,
                title=event.title,
                host_id=event.host_id,
                on_air=event.host_id,
                brand_id=event.brand_id,
                currency=event.currency,
                scheduled_at=event.scheduled_at,
            )
        case TermsAgreed():
            return changed(state, agreed=(*state.agreed, _read(event)))
        case StreamRescheduled(scheduled_at):
            return changed(state, scheduled_at=scheduled_at)
        case TeaserPublished(text):
            return changed(state, teasers=(*state.teasers, text))
        case CoHostJoined(host_id):
            return changed(state, co_hosts=(*state.co_hosts, host_id))
        case CoHostLeft(host_id):
            return _without_co_host(state, host_id)
        case StreamStarted(started_at):
            return changed(state, status=Status.LIVE, started_at=started_at)
        case SegmentStarted(host_id, listing_id):
            return changed(state, on_air=host_id, segment_listing_id=listing_id)
        case ListingPinned(listing_id):
            return changed(state, pins=(*state.pins, listing_id))
        case ListingUnpinned(listing_id):
            return changed(state, pins=tuple(each for each in state.pins if each != listing_id))
        case StreamInterrupted(_, until):
            return changed(state, status=Status.INTERRUPTED, interrupted_until=until)
        case StreamResumed() | StreamRestarted():
            return changed(state, status=Status.LIVE, interrupted_until=None, ended_at=None)
        case StreamEnded(_, ended_at):
            return changed(state, status=Status.ENDED, interrupted_until=None, ended_at=ended_at, pins=())
        case StreamCancelled():
            return changed(state, status=Status.CANCELLED, pins=())
        case AudienceSampled(views):
            return changed(state, views=views)


def _read(event: TermsAgreed) -> AgreedTerms:
    return AgreedTerms(event.terms_version, event.effective_at, Terms(event.rate_bps, event.hold_days, event.shares))


def _without_co_host(state: Stream, host_id: HostId) -> Stream:
    """Whoever is on air and leaves hands over to the host."""
    on_air = state.host_id if state.on_air == host_id else state.on_air
    return changed(state, on_air=on_air, co_hosts=tuple(each for each in state.co_hosts if each != host_id))
