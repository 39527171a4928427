"""What a command means for a show."""

from datetime import datetime, timedelta
from typing import Final

from domain.ids import HostId, ListingId
from domain.money import DECIMALS
from domain.refusal import AlreadyExists, Invalid, NotAllowedNow, NotFound, Refusal, refusal, snake_case
from domain.stream.commands import (
    AgreeTerms,
    CancelStream,
    Command,
    EndStream,
    InterruptStream,
    JoinCoHost,
    LeaveCoHost,
    PinListing,
    PublishTeaser,
    RescheduleStream,
    RestartStream,
    ResumeStream,
    SampleAudience,
    ScheduleStream,
    StartSegment,
    StartStream,
    UnpinListing,
)
from domain.stream.events import (
    AudienceSampled,
    CoHostJoined,
    CoHostLeft,
    EndReason,
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
from domain.stream.state import Status, Stream
from domain.terms import Terms, in_force, is_cut, require_valid

MAX_PINS: Final = 3
RESTART_WITHIN: Final = timedelta(hours=2)
INTERRUPTION_LIMIT: Final = timedelta(minutes=30)


@refusal
class StreamNotLive(Refusal):
    """Sales happen only during the show."""

    status: str


@refusal
class TooManyPins(Refusal):
    """A viewer's screen has room for three."""

    limit: int


def decide(state: Stream, command: Command) -> list[Event]:
    """Return what a command means for a show."""
    match state.status, command:
        case Status.UNKNOWN, ScheduleStream():
            return _schedule(command)
        case Status.UNKNOWN, _:
            raise NotFound("stream", "")
        case _, ScheduleStream():
            raise AlreadyExists("stream", "")
        case Status.CANCELLED, CancelStream():
            return []
        case Status.CANCELLED, _:
            raise NotAllowedNow(snake_case(type(command)), state.status)
        case Status.SCHEDULED, CancelStream():
            return [StreamCancelled()]
        case Status.SCHEDULED, RescheduleStream(scheduled_at):
            return [] if scheduled_at == state.scheduled_at else [StreamRescheduled(scheduled_at)]
        case _, AgreeTerms():
            return _agree(state, command)
        case Status.SCHEDULED | Status.LIVE | Status.INTERRUPTED, PublishTeaser(text):
            return [] if text in state.teasers else [TeaserPublished(text)]
        case Status.SCHEDULED | Status.LIVE | Status.INTERRUPTED, JoinCoHost(host_id):
            return [] if host_id in (state.host_id, *state.co_hosts) else [CoHostJoined(host_id)]
        case _, LeaveCoHost(host_id):
            return _leave(state, host_id)
        case Status.SCHEDULED | Status.LIVE | Status.INTERRUPTED, PinListing(listing_id):
            return _pin(state, listing_id)
        case Status.SCHEDULED | Status.LIVE | Status.INTERRUPTED, UnpinListing(listing_id):
            return [ListingUnpinned(each) for each in state.pins if listing_id in (None, each)]
        case Status.SCHEDULED, StartStream(now):
            return [StreamStarted(now)]
        case Status.LIVE | Status.INTERRUPTED, StartStream() | RestartStream():
            return []
        case Status.LIVE, StartSegment():
            return _start_segment(state, command)
        case Status.LIVE, InterruptStream(now):
            return [StreamInterrupted(now, now + INTERRUPTION_LIMIT)]
        case Status.INTERRUPTED, InterruptStream():
            return []
        case Status.INTERRUPTED, ResumeStream(now):
            return _resume(state, now)
        case Status.LIVE, ResumeStream():
            return []
        case Status.LIVE | Status.INTERRUPTED, EndStream(reason, now):
            return _end(state, reason, now)
        case Status.ENDED, EndStream():
            return []
        case Status.ENDED, RestartStream(now):
            return _restart(state, now)
        case Status.LIVE | Status.INTERRUPTED, SampleAudience():
            return _sample(command)
        case _:
            raise NotAllowedNow(snake_case(type(command)), state.status)


def _schedule(command: ScheduleStream) -> list[Event]:
    if command.currency not in DECIMALS:
        raise Invalid("currency", "must be an ISO 4217 code such as EUR")
    require_valid(command.terms)
    return [
        StreamScheduled(command.title, command.host_id, command.brand_id, command.scheduled_at, command.currency),
        _agreed(1, command.now, command.terms),
    ]


def _agreed(version: int, effective_at: datetime, terms: Terms) -> TermsAgreed:
    return TermsAgreed(version, effective_at, terms.rate_bps, terms.hold_days, terms.shares)


def _agree(state: Stream, command: AgreeTerms) -> list[Event]:
    """A raise counts at once, a cut after its notice; what only softens a cut to come counts from its day on."""
    require_valid(command.terms)
    if command.notice_days < 0:
        raise Invalid("notice_days", "must not be negative")
    newest = state.agreed[-1]
    if command.terms == newest.terms:
        return []
    return [_agreed(newest.version + 1, _effective_at(state, command), command.terms)]


def _effective_at(state: Stream, command: AgreeTerms) -> datetime:
    """Go back from the end of the notice, change by change, for as long as nobody would get less than without."""
    effective_at = command.now + timedelta(days=command.notice_days)
    to_come = [each.effective_at for each in state.agreed if command.now < each.effective_at < effective_at]
    for instant in sorted([command.now, *to_come], reverse=True):
        if is_cut(in_force(state.agreed, instant).terms, command.terms, (state.host_id, *state.co_hosts)):
            break
        effective_at = instant
    return effective_at


def _leave(state: Stream, host_id: HostId) -> list[Event]:
    if host_id == state.host_id:
        raise NotAllowedNow("leave_co_host", "host")
    return [CoHostLeft(host_id)] if host_id in state.co_hosts else []


def _pin(state: Stream, listing_id: ListingId) -> list[Event]:
    if listing_id in state.pins:
        return []
    if len(state.pins) >= MAX_PINS:
        raise TooManyPins(MAX_PINS)
    return [ListingPinned(listing_id)]


def _start_segment(state: Stream, command: StartSegment) -> list[Event]:
    if command.host_id not in (state.host_id, *state.co_hosts):
        raise NotFound("co_host", command.host_id)
    if (command.host_id, command.listing_id) == (state.on_air, state.segment_listing_id):
        return []
    return [SegmentStarted(command.host_id, command.listing_id, command.now)]


def _resume(state: Stream, now: datetime) -> list[Event]:
    return _time_out(state, now) or [StreamResumed(now)]


def _end(state: Stream, reason: EndReason, now: datetime) -> list[Event]:
    if over := _time_out(state, now):
        return over
    return [] if reason is EndReason.TIMEOUT else [StreamEnded(reason, now)]


def _time_out(state: Stream, now: datetime) -> list[Event]:
    """The limit is when the show ended, whoever finds out; before it, or with the picture back, nothing has ended."""
    if state.interrupted_until is None or now < state.interrupted_until:
        return []
    return [StreamEnded(EndReason.TIMEOUT, state.interrupted_until)]


def _restart(state: Stream, now: datetime) -> list[Event]:
    if state.ended_at is not None and now - state.ended_at >= RESTART_WITHIN:
        raise NotAllowedNow("restart_stream", state.status)
    return [StreamRestarted(now)]


def _sample(command: SampleAudience) -> list[Event]:
    counts = (command.views, command.concurrent, command.comments, command.likes)
    if min(counts) < 0:
        raise Invalid("audience", "counts must not be negative")
    return [AudienceSampled(*counts, command.now)]
