"""A show: what may be said when, and what a host was promised."""

from datetime import timedelta

import pytest

from domain.refusal import AlreadyExists, Invalid, NotAllowedNow, NotFound
from domain.stream import STREAM
from domain.stream import commands as sc
from domain.stream import events as s
from domain.stream.events import EndReason
from domain.stream.rules import StreamNotLive, TooManyPins
from domain.stream.state import Status, Stream
from domain.terms import Share, Terms
from tests.builders import (
    at,
    days,
    live_show,
    schedule_stream,
    scheduled_show,
    stream_scheduled,
    ten_percent,
    terms_agreed,
)
from tests.scenario import given

HALF_HOUR = 1800
TWO_HOURS = 7200


def interrupted_show() -> list[s.Event]:
    """Return the history of a show whose picture was lost after ten minutes."""
    return [*live_show(), s.StreamInterrupted(at(600), at(600 + HALF_HOUR))]


def ended_show() -> list[s.Event]:
    """Return the history of a show that its host ended after an hour."""
    return [*live_show(), s.StreamEnded(EndReason.HOST, at(3600))]


# life cycle


def test_scheduling_announces_the_show_and_its_first_terms() -> None:
    """A show is never without terms: the first ones are agreed in the breath that announces it."""
    given(STREAM).when(schedule_stream()).then(stream_scheduled(), terms_agreed())


def test_a_show_is_scheduled_once() -> None:
    """An id names one show for ever."""
    given(STREAM, *scheduled_show()).when(schedule_stream()).refused(AlreadyExists, what="stream")


def test_nothing_can_be_told_to_an_unknown_show() -> None:
    """Commands other than scheduling need a show."""
    given(STREAM).when(sc.StartStream(at(0))).refused(NotFound, what="stream")


@pytest.mark.parametrize("currency", ["EURO", "eur", "XXX", ""])
def test_a_show_sells_in_a_real_currency(currency: str) -> None:
    """Only ISO 4217 codes whose decimals are known can be rung up; its ``XXX`` stands for no currency at all."""
    given(STREAM).when(schedule_stream(currency=currency)).refused(Invalid, field="currency")


def test_a_show_may_be_moved_until_it_starts() -> None:
    """Rescheduling is for announced shows; the same date again is no news."""
    moved = sc.RescheduleStream(days(1))
    given(STREAM, *scheduled_show()).when(moved).then(s.StreamRescheduled(days(1)))
    given(STREAM, *scheduled_show(), s.StreamRescheduled(days(1))).when(moved).changes_nothing()
    given(STREAM, *live_show()).when(moved).refused(NotAllowedNow, action="reschedule_stream", status="live")


def test_a_show_starts_once() -> None:
    """A repeated start is the same start."""
    given(STREAM, *scheduled_show()).when(sc.StartStream(at(0))).then(s.StreamStarted(at(0)))
    given(STREAM, *live_show()).when(sc.StartStream(at(5))).changes_nothing()


def test_an_announced_show_can_be_cancelled_and_stays_so() -> None:
    """Cancelling is final."""
    cancelled = [*scheduled_show(), s.StreamCancelled()]
    given(STREAM, *scheduled_show()).when(sc.CancelStream()).then(s.StreamCancelled())
    given(STREAM, *cancelled).when(sc.CancelStream()).changes_nothing()
    given(STREAM, *cancelled).when(sc.StartStream(at(0))).refused(NotAllowedNow, status="cancelled")


def test_a_live_show_is_ended_and_not_cancelled() -> None:
    """Viewers saw it: it cannot be made not to have happened."""
    given(STREAM, *live_show()).when(sc.CancelStream()).refused(NotAllowedNow, status="live")


def test_a_teaser_is_published_once() -> None:
    """The same words again are no news."""
    teaser = s.TeaserPublished("Three looks for spring")
    tell = sc.PublishTeaser("Three looks for spring")
    given(STREAM, *scheduled_show()).when(tell).then(teaser)
    given(STREAM, *scheduled_show(), teaser).when(tell).changes_nothing()


# pins


def test_pinning_opens_no_window_and_is_done_once() -> None:
    """A pin shows a listing, nothing else happens."""
    given(STREAM, *live_show()).when(sc.PinListing("listing-1")).then(s.ListingPinned("listing-1"))
    given(STREAM, *live_show(), s.ListingPinned("listing-1")).when(sc.PinListing("listing-1")).changes_nothing()


def test_three_listings_fit_on_the_screen() -> None:
    """The third pin fits, the fourth does not, and one that is pinned already takes no more room."""
    pins = [s.ListingPinned(f"listing-{n}") for n in (1, 2, 3)]
    given(STREAM, *live_show(), *pins[:2]).when(sc.PinListing("listing-3")).then(pins[2])
    given(STREAM, *live_show(), *pins).when(sc.PinListing("listing-4")).refused(TooManyPins, limit=3)
    given(STREAM, *live_show(), *pins).when(sc.PinListing("listing-2")).changes_nothing()


def test_unpinning_all_takes_down_what_is_up() -> None:
    """Without a name every pin goes; with one only that."""
    pinned = [*live_show(), s.ListingPinned("listing-1"), s.ListingPinned("listing-2")]
    gone = [s.ListingUnpinned("listing-1"), s.ListingUnpinned("listing-2")]
    given(STREAM, *pinned).when(sc.UnpinListing()).then(*gone).leaves({"pins": ()})
    given(STREAM, *pinned).when(sc.UnpinListing("listing-2")).then(gone[1])
    given(STREAM, *pinned).when(sc.UnpinListing("listing-9")).changes_nothing()


def test_the_end_of_the_show_clears_the_screen() -> None:
    """Nothing stays pinned to a show that is over."""
    ended = given(STREAM, *live_show(), s.ListingPinned("listing-1")).when(sc.EndStream(EndReason.HOST, at(3600)))
    ended.leaves({"pins": (), "status": Status.ENDED})


# interruptions


def test_an_interruption_says_when_it_becomes_the_end() -> None:
    """The limit is written down when the picture is lost, so that a later rule changes no past show."""
    given(STREAM, *live_show()).when(sc.InterruptStream(at(600))).then(
        s.StreamInterrupted(at(600), at(600 + HALF_HOUR))
    )
    given(STREAM, *interrupted_show()).when(sc.InterruptStream(at(700))).changes_nothing()


def test_an_interrupted_show_still_sells() -> None:
    """Open windows keep their promise while the picture is away, up to the limit and not an instant longer."""
    state = STREAM.fold(interrupted_show())
    assert state.interrupted_until is not None
    assert state.sells(state.interrupted_until - timedelta(microseconds=1))
    assert not state.sells(state.interrupted_until)


def test_the_picture_may_come_back_within_the_limit() -> None:
    """One second before the limit the show goes on."""
    back = at(600 + HALF_HOUR - 1)
    given(STREAM, *interrupted_show()).when(sc.ResumeStream(back)).then(s.StreamResumed(back))
    given(STREAM, *live_show()).when(sc.ResumeStream(back)).changes_nothing()


def test_at_the_limit_the_show_is_over() -> None:
    """Intervals are half-open: a picture that comes back at the limit comes too late, and the show ended then."""
    over = at(600 + HALF_HOUR)
    given(STREAM, *interrupted_show()).when(sc.ResumeStream(over)).then(s.StreamEnded(EndReason.TIMEOUT, over))
    given(STREAM, *interrupted_show()).when(sc.EndStream(EndReason.TIMEOUT, over)).then(
        s.StreamEnded(EndReason.TIMEOUT, over)
    )


def test_the_limit_is_when_the_show_ended_whoever_finds_out() -> None:
    """A timer that was held up, a host who comes back or one who gives up much later: all write down the same end."""
    ended = s.StreamEnded(EndReason.TIMEOUT, at(600 + HALF_HOUR))
    much_later = at(600 + HALF_HOUR + 240)
    for reason in EndReason:
        given(STREAM, *interrupted_show()).when(sc.EndStream(reason, much_later)).then(ended)
    given(STREAM, *interrupted_show()).when(sc.ResumeStream(much_later)).then(ended)


def test_a_timer_that_comes_early_or_after_the_picture_is_back_ends_nothing() -> None:
    """The recorded limit decides, not the timer."""
    timer = sc.EndStream(EndReason.TIMEOUT, at(600 + HALF_HOUR - 1))
    given(STREAM, *interrupted_show()).when(timer).changes_nothing()
    resumed = [*interrupted_show(), s.StreamResumed(at(700))]
    given(STREAM, *resumed).when(sc.EndStream(EndReason.TIMEOUT, at(600 + HALF_HOUR))).changes_nothing()


# end and restart


def test_ending_says_why_and_is_done_once() -> None:
    """The first end stands."""
    given(STREAM, *live_show()).when(sc.EndStream(EndReason.HOST, at(3600))).then(
        s.StreamEnded(EndReason.HOST, at(3600))
    )
    given(STREAM, *ended_show()).when(sc.EndStream(EndReason.MODERATION, at(3700))).changes_nothing()


def test_a_show_may_come_back_for_two_hours() -> None:
    """A second before two hours it may, at two hours exactly it may not."""
    last_chance = at(3600 + TWO_HOURS - 1)
    given(STREAM, *ended_show()).when(sc.RestartStream(last_chance)).then(s.StreamRestarted(last_chance)).leaves(
        {"status": Status.LIVE, "ended_at": None}
    )
    given(STREAM, *ended_show()).when(sc.RestartStream(at(3600 + TWO_HOURS))).refused(NotAllowedNow, status="ended")


def test_whoever_presents_a_show_is_taken_while_it_runs() -> None:
    """From the start on, also while the picture is away, and not a moment longer."""
    joined: list[s.Event] = [*live_show(), s.CoHostJoined("host-2")]
    for running in (live_show(), interrupted_show(), joined):
        assert STREAM.fold(running).presenters == ("host-1",)
    handed_over = [*joined, s.SegmentStarted("host-2", None, at(300))]
    assert STREAM.fold(handed_over).presenters == ("host-1", "host-2")
    for quiet in ([], scheduled_show(), ended_show(), [*scheduled_show(), s.StreamCancelled()]):
        assert STREAM.fold(quiet).presenters == ()


def test_an_ended_show_cannot_be_started_again() -> None:
    """Coming back is a restart, with its own time limit."""
    given(STREAM, *ended_show()).when(sc.StartStream(at(3700))).refused(NotAllowedNow, action="start_stream")


# who is on air


def test_a_segment_says_whose_the_sales_are() -> None:
    """From the segment on, sales belong to the co-host who presents."""
    hosted = [*live_show(), s.CoHostJoined("host-2")]
    segment = s.SegmentStarted("host-2", "listing-1", at(300))
    given(STREAM, *hosted).when(sc.StartSegment("host-2", "listing-1", at(300))).then(segment).leaves(
        {"on_air": "host-2", "segment_listing_id": "listing-1"}
    )
    given(STREAM, *hosted, segment).when(sc.StartSegment("host-2", "listing-1", at(310))).changes_nothing()


def test_only_who_belongs_to_the_show_goes_on_air() -> None:
    """Sales cannot be attributed to somebody who has no part in the show."""
    given(STREAM, *live_show()).when(sc.StartSegment("host-9", None, at(300))).refused(NotFound, id="host-9")


def test_a_segment_needs_a_picture() -> None:
    """Before the show nobody is on air."""
    given(STREAM, *scheduled_show()).when(sc.StartSegment("host-1", None, at(-1))).refused(NotAllowedNow)


def test_a_co_host_who_leaves_hands_over_to_the_host() -> None:
    """There is always somebody on air, or sales would be nobody's."""
    on_air = [*live_show(), s.CoHostJoined("host-2"), s.SegmentStarted("host-2", None, at(300))]
    given(STREAM, *on_air).when(sc.LeaveCoHost("host-2")).then(s.CoHostLeft("host-2")).leaves({"on_air": "host-1"})


def test_a_co_host_may_leave_after_the_end() -> None:
    """A show that comes back comes back with whoever was on air; who is gone by then must not keep it from that."""
    on_air = [*live_show(), s.CoHostJoined("host-2"), s.SegmentStarted("host-2", None, at(300))]
    ended = [*on_air, s.StreamEnded(EndReason.HOST, at(3600))]
    given(STREAM, *ended).when(sc.LeaveCoHost("host-2")).then(s.CoHostLeft("host-2")).leaves({"on_air": "host-1"})
    given(STREAM, *ended, s.CoHostLeft("host-2")).when(sc.LeaveCoHost("host-2")).changes_nothing()
    given(STREAM, *scheduled_show(), s.StreamCancelled()).when(sc.LeaveCoHost("host-2")).refused(NotAllowedNow)


def test_joining_and_leaving_are_done_once_and_the_host_stays() -> None:
    """The show is the host's: co-hosts come and go, the host does neither."""
    given(STREAM, *live_show()).when(sc.JoinCoHost("host-1")).changes_nothing()
    given(STREAM, *live_show(), s.CoHostJoined("host-2")).when(sc.JoinCoHost("host-2")).changes_nothing()
    given(STREAM, *live_show()).when(sc.LeaveCoHost("host-2")).changes_nothing()
    given(STREAM, *live_show()).when(sc.LeaveCoHost("host-1")).refused(NotAllowedNow, action="leave_co_host")


# the audience


def test_the_audience_is_sampled_while_there_is_one() -> None:
    """Engagement can be replayed from samples; counts are never negative."""
    sample = sc.SampleAudience(views=1200, concurrent=800, comments=40, likes=310, now=at(60))
    given(STREAM, *live_show()).when(sample).then(s.AudienceSampled(1200, 800, 40, 310, at(60)))
    given(STREAM, *live_show()).when(sc.SampleAudience(1, -1, 0, 0, at(60))).refused(Invalid, field="audience")
    given(STREAM, *scheduled_show()).when(sample).refused(NotAllowedNow)


# terms


def test_a_raise_applies_at_once() -> None:
    """Nobody waits for good news."""
    given(STREAM, *live_show()).when(sc.AgreeTerms(ten_percent(rate_bps=1500), at(60))).then(
        terms_agreed(terms_version=2, effective_at=at(60), rate_bps=1500)
    )


def test_a_cut_applies_after_its_notice() -> None:
    """What was agreed stands for the notice's days; the instant it ends the lower rate applies."""
    cut = given(STREAM, *live_show()).when(sc.AgreeTerms(ten_percent(rate_bps=500), at(60), notice_days=7))
    cut.then(terms_agreed(terms_version=2, effective_at=at(60) + timedelta(days=7), rate_bps=500))
    cut.gives(lambda show: _rate(show, 7 * 86_400 + 59), 1000)
    cut.gives(lambda show: _rate(show, 7 * 86_400 + 60), 500)


def test_a_smaller_share_is_a_cut_too() -> None:
    """Taking half of the host's share at the same rate is less than was agreed, so it waits like any cut."""
    halved = ten_percent(shares=(Share("agency-1", 5000), Share("host-1", 5000)))
    given(STREAM, *live_show()).when(sc.AgreeTerms(halved, at(60), notice_days=7)).then(
        terms_agreed(terms_version=2, effective_at=at(60) + timedelta(days=7), shares=halved.shares)
    )


def test_a_smaller_share_of_a_much_better_rate_is_a_raise() -> None:
    """What counts is what a payee gets of the price: half of thirty percent is more than all of ten."""
    better = ten_percent(rate_bps=3000, shares=(Share("agency-1", 5000), Share("host-1", 5000)))
    given(STREAM, *live_show()).when(sc.AgreeTerms(better, at(60))).then(
        terms_agreed(terms_version=2, effective_at=at(60), rate_bps=3000, shares=better.shares)
    )


def test_a_better_offer_overtakes_a_cut_that_was_announced() -> None:
    """The newest terms that are in force win: a cut under notice never comes when it was taken back."""
    announced = terms_agreed(terms_version=2, effective_at=days(7), rate_bps=500)
    taken_back = given(STREAM, *live_show(), announced).when(sc.AgreeTerms(ten_percent(), days(1)))
    taken_back.then(terms_agreed(terms_version=3, effective_at=days(1), rate_bps=1000))
    taken_back.gives(lambda show: _rate(show, 8 * 86_400), 1000)


def test_a_cut_that_is_softened_counts_from_the_day_of_the_harder_one() -> None:
    """Less than what holds now, more than what was to come: on the day of that cut nobody loses by it."""
    announced = terms_agreed(terms_version=2, effective_at=days(7), rate_bps=500)
    softened = given(STREAM, *live_show(), announced).when(sc.AgreeTerms(ten_percent(rate_bps=700), days(6)))
    softened.then(terms_agreed(terms_version=3, effective_at=days(7), rate_bps=700))
    softened.gives(lambda show: _rate(show, 7 * 86_400 - 1), 1000)
    softened.gives(lambda show: _rate(show, 7 * 86_400), 700)


def test_a_cut_that_is_hardened_waits_for_its_own_notice() -> None:
    """What was announced comes first, and as announced."""
    announced = terms_agreed(terms_version=2, effective_at=days(7), rate_bps=500)
    hardened = given(STREAM, *live_show(), announced).when(sc.AgreeTerms(ten_percent(rate_bps=300), days(6)))
    hardened.then(terms_agreed(terms_version=3, effective_at=days(13), rate_bps=300))
    hardened.gives(lambda show: _rate(show, 7 * 86_400), 500)


def test_of_two_cuts_to_come_a_softer_one_takes_the_place_of_those_it_raises() -> None:
    """Four percent come when three would have, not when five do."""
    to_come = [
        terms_agreed(terms_version=2, effective_at=days(7), rate_bps=500),
        terms_agreed(terms_version=3, effective_at=days(8), rate_bps=300),
    ]
    given(STREAM, *live_show(), *to_come).when(sc.AgreeTerms(ten_percent(rate_bps=400), days(2))).then(
        terms_agreed(terms_version=4, effective_at=days(8), rate_bps=400)
    )


def test_a_raise_to_come_is_not_taken_away_without_notice() -> None:
    """What holds now is raised at once only if nobody gets less by it later, within the notice."""
    to_come = [
        terms_agreed(terms_version=2, effective_at=days(1), rate_bps=500),
        terms_agreed(terms_version=3, effective_at=days(8), rate_bps=700),
    ]
    given(STREAM, *live_show(), *to_come).when(sc.AgreeTerms(ten_percent(rate_bps=600), days(2))).then(
        terms_agreed(terms_version=4, effective_at=days(9), rate_bps=600)
    )


def test_longer_hold_days_are_a_cut_and_shorter_ones_are_not() -> None:
    """Whoever is paid ten years later has been promised something else."""
    given(STREAM, *live_show()).when(sc.AgreeTerms(ten_percent(rate_bps=1500, hold_days=3650), at(60))).then(
        terms_agreed(terms_version=2, effective_at=at(60) + timedelta(days=7), rate_bps=1500, hold_days=3650)
    )
    given(STREAM, *live_show()).when(sc.AgreeTerms(ten_percent(hold_days=7), at(60))).then(
        terms_agreed(terms_version=2, effective_at=at(60), hold_days=7)
    )


def test_the_same_terms_again_are_no_news() -> None:
    """An agreement repeated is one agreement."""
    given(STREAM, *live_show()).when(sc.AgreeTerms(ten_percent(), at(60))).changes_nothing()


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        (Terms(10_001, 14), "terms.rate_bps"),
        (Terms(-1, 14), "terms.rate_bps"),
        (Terms(1000, -1), "terms.hold_days"),
        (Terms(1000, 14, (Share("a", 5000), Share("b", 4999))), "terms.shares"),
        (Terms(1000, 14, (Share("a", 5000), Share("a", 5000))), "terms.shares"),
        (Terms(1000, 14, (Share("a", 10_001), Share("b", -1))), "terms.shares.share_bps"),
        (Terms(1000, 14, (Share("a@example.com", 10_000),)), "terms.shares.payee_id"),
    ],
)
def test_terms_that_could_not_be_paid_out_are_refused(terms: Terms, field: str) -> None:
    """Shares sum to the whole, each payee is a pseudonym named once, and no rate is beyond all of the price."""
    given(STREAM, *live_show()).when(sc.AgreeTerms(terms, at(60))).refused(Invalid, field=field)
    given(STREAM).when(schedule_stream(terms=terms)).refused(Invalid, field=field)


def test_a_notice_is_not_negative() -> None:
    """A cut cannot be backdated."""
    given(STREAM, *live_show()).when(sc.AgreeTerms(ten_percent(rate_bps=1), at(0), notice_days=-1)).refused(
        Invalid, field="notice_days"
    )


def test_terms_may_be_agreed_after_the_show() -> None:
    """Sales end with the show, agreements do not; a version that was used can still be read."""
    after = given(STREAM, *ended_show()).when(sc.AgreeTerms(ten_percent(rate_bps=2000), days(1)))
    after.gives(lambda show: show.terms_of(1).rate_bps, 1000).gives(lambda show: show.terms_of(2).rate_bps, 2000)


def test_a_sale_before_all_terms_gets_the_first() -> None:
    """There is no instant without terms."""
    given(STREAM).when(schedule_stream()).gives(lambda show: show.terms_at(days(-30)).version, 1)


def test_not_being_live_is_a_refusal_with_the_status() -> None:
    """A client learns from the refusal where the show stands."""
    assert StreamNotLive(STREAM.fold(ended_show()).status).facts == {"status": "ended"}


def _rate(show: Stream, seconds: float) -> int:
    return show.terms_at(at(seconds)).terms.rate_bps
