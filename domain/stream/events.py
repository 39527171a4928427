"""What can happen to a show."""

from datetime import datetime
from enum import StrEnum

from domain.ids import BrandId, HostId, ListingId
from domain.terms import Share
from domain.values import frozen


class EndReason(StrEnum):
    """Why a show ended."""

    HOST = "host"
    TIMEOUT = "timeout"
    MODERATION = "moderation"
    TECHNICAL = "technical"


@frozen
class StreamScheduled:
    """A show was announced."""

    title: str
    host_id: HostId
    brand_id: BrandId
    scheduled_at: datetime
    currency: str


@frozen
class StreamRescheduled:
    """A show was moved."""

    scheduled_at: datetime


@frozen
class TeaserPublished:
    """Viewers were shown what is to come."""

    text: str


@frozen
class TermsAgreed:
    """Brand and host agreed on a commission; sales use it from ``effective_at`` on."""

    terms_version: int
    effective_at: datetime
    rate_bps: int
    hold_days: int
    shares: tuple[Share, ...]


@frozen
class CoHostJoined:
    """Somebody else sells in this show too."""

    host_id: HostId


@frozen
class CoHostLeft:
    """A co-host left."""

    host_id: HostId


@frozen
class StreamStarted:
    """The show went on air."""

    started_at: datetime


@frozen
class SegmentStarted:
    """Somebody is on air with a listing; sales are theirs."""

    host_id: HostId
    listing_id: ListingId | None
    started_at: datetime


@frozen
class ListingPinned:
    """A listing stays on the viewers' screen."""

    listing_id: ListingId


@frozen
class ListingUnpinned:
    """A listing left the viewers' screen."""

    listing_id: ListingId


@frozen
class StreamInterrupted:
    """The picture was lost; past ``until`` the show is over."""

    interrupted_at: datetime
    until: datetime


@frozen
class StreamResumed:
    """The picture came back."""

    resumed_at: datetime


@frozen
class StreamEnded:
    """The show went off air."""

    reason: EndReason
    ended_at: datetime


@frozen
class StreamRestarted:
    """The show came back on air."""

    restarted_at: datetime


@frozen
class StreamCancelled:
    """The show will not happen."""


@frozen
class AudienceSampled:
    """The audience at an instant; ``views`` counts since the start."""

    views: int
    concurrent: int
    comments: int
    likes: int
    sampled_at: datetime


Event = (
    StreamScheduled | StreamRescheduled | TeaserPublished | TermsAgreed | CoHostJoined | CoHostLeft | StreamStarted
    | SegmentStarted | ListingPinned | ListingUnpinned | StreamInterrupted | StreamResumed | StreamEnded
    | StreamRestarted | StreamCancelled | AudienceSampled
)  # fmt: skip
