"""What a show can be told to do."""

from datetime import datetime
from typing import Final

from domain.ids import BrandId, HostId, ListingId
from domain.stream.events import EndReason
from domain.terms import Terms
from domain.values import frozen

NOTICE_DAYS: Final = 7


@frozen
class ScheduleStream:
    """Announce a show."""

    title: str
    host_id: HostId
    brand_id: BrandId
    scheduled_at: datetime
    currency: str
    terms: Terms
    now: datetime


@frozen
class RescheduleStream:
    """Move an announced show."""

    scheduled_at: datetime


@frozen
class PublishTeaser:
    """Show viewers what is to come."""

    text: str


@frozen
class AgreeTerms:
    """Change what the host earns: from now on, or as soon as nobody gets less, after the notice at the latest."""

    terms: Terms
    now: datetime
    notice_days: int = NOTICE_DAYS


@frozen
class JoinCoHost:
    """Let somebody else sell in this show too."""

    host_id: HostId


@frozen
class LeaveCoHost:
    """A co-host leaves, also after the end, so that the show may come back without; the host never does."""

    host_id: HostId


@frozen
class StartStream:
    """Go on air."""

    now: datetime


@frozen
class StartSegment:
    """Say who is on air from now on, with which listing: sales are attributed to it."""

    host_id: HostId
    listing_id: ListingId | None
    now: datetime


@frozen
class PinListing:
    """Keep a listing on the viewers' screen."""

    listing_id: ListingId


@frozen
class UnpinListing:
    """Take a listing off the viewers' screen; all of them when none is named."""

    listing_id: ListingId | None = None


@frozen
class InterruptStream:
    """The picture is gone; open windows keep their deadlines."""

    now: datetime


@frozen
class ResumeStream:
    """The picture is back."""

    now: datetime


@frozen
class EndStream:
    """Go off air."""

    reason: EndReason
    now: datetime


@frozen
class RestartStream:
    """Come back on air after an end that was too early."""

    now: datetime


@frozen
class CancelStream:
    """Call an announced show off."""


@frozen
class SampleAudience:
    """Note how many watch and what they do, so that engagement can be replayed."""

    views: int
    concurrent: int
    comments: int
    likes: int
    now: datetime


Command = (
    ScheduleStream | RescheduleStream | PublishTeaser | AgreeTerms | JoinCoHost | LeaveCoHost | StartStream
    | StartSegment | PinListing | UnpinListing | InterruptStream | ResumeStream | EndStream | RestartStream
    | CancelStream | SampleAudience
)  # fmt: skip
