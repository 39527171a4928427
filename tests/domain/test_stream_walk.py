"""Random evenings of a show: somebody is always on air, and nobody gets less than was agreed."""

from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain.presence import PRESENCE, GoOffAir, GoOnAir, Presence
from domain.presence import Command as PresenceCommand
from domain.presence import Event as PresenceEvent
from domain.stream import STREAM
from domain.stream import commands as sc
from domain.stream import events as s
from domain.stream.events import EndReason
from domain.stream.rules import MAX_PINS
from domain.stream.state import Status, Stream
from domain.terms import Share, Terms
from tests.builders import at, schedule_stream
from tests.domain.subject import Subject, depths

hosts = st.sampled_from(["host-1", "host-2", "host-3"])
listings = st.sampled_from([f"listing-{n}" for n in range(1, 6)])
rates = st.sampled_from([0, 500, 1000, 1500, 10_000, 10_001])
splits: st.SearchStrategy[tuple[Share, ...]] = st.sampled_from(
    [(), (Share("host-1", 10_000),), (Share("agency-1", 4000), Share("host-1", 6000)), (Share("agency-1", 9999),)]
)
terms = st.builds(Terms, rates, st.integers(0, 30), splits)


class StreamWalk(RuleBasedStateMachine):
    """A show, a clock that only goes forward, and everybody who may tell it something."""

    def __init__(self) -> None:
        super().__init__()
        self.show: Subject[Stream, sc.Command, s.Event] = Subject(STREAM)
        self.seconds = -600

    @property
    def state(self) -> Stream:
        """The show as it is now."""
        return self.show.state

    @property
    def now(self) -> datetime:
        """The ingress of the next command."""
        return at(self.seconds)

    @initialize(agreed=st.builds(Terms, st.sampled_from([500, 1000]), st.just(14), st.just(())))
    def schedule(self, agreed: Terms) -> None:
        """Announced with its first terms."""
        self.show.tell(schedule_stream(terms=agreed, now=self.now))

    @rule(passed=st.sampled_from([1, 60, 1799, 1800, 7200, 86_400]))
    def time_passes(self, passed: int) -> None:
        """Nothing else happens."""
        self.seconds += passed

    @rule(what=st.sampled_from([sc.StartStream, sc.InterruptStream, sc.ResumeStream, sc.RestartStream]))
    def go(self, what: type[sc.StartStream]) -> None:
        """On air, off and on again."""
        self.show.tell(what(self.now))

    @rule(reason=st.sampled_from(EndReason))
    def end(self, reason: EndReason) -> None:
        """For any reason; a time-out only when the time is out."""
        before = self.state
        ended = self.show.tell(sc.EndStream(reason, self.now))
        if ended and reason is EndReason.TIMEOUT:
            assert before.interrupted_until is not None
            assert before.interrupted_until <= self.now

    @rule(scheduled_in=st.sampled_from([3600, 86_400]))
    def move(self, scheduled_in: int) -> None:
        """Only what has not begun."""
        self.show.tell(sc.RescheduleStream(at(scheduled_in)))

    @rule(text=st.sampled_from(["soon", "sooner"]))
    def tease(self, text: str) -> None:
        """Viewers hear of it."""
        self.show.tell(sc.PublishTeaser(text))

    @rule(sure=st.sampled_from([False] * 9 + [True]))
    def cancel(self, sure: bool) -> None:
        """Seldom."""
        if sure:
            self.show.tell(sc.CancelStream())

    @rule(host_id=hosts, joins=st.booleans())
    def come_or_go(self, host_id: str, joins: bool) -> None:
        """Co-hosts."""
        self.show.tell(sc.JoinCoHost(host_id) if joins else sc.LeaveCoHost(host_id))

    @rule(host_id=hosts, listing_id=st.none() | listings)
    def segment(self, host_id: str, listing_id: str | None) -> None:
        """Somebody presents."""
        self.show.tell(sc.StartSegment(host_id, listing_id, self.now))

    @rule(listing_id=listings)
    def pin(self, listing_id: str) -> None:
        """On the screen."""
        self.show.tell(sc.PinListing(listing_id))

    @rule(listing_id=st.none() | listings)
    def unpin(self, listing_id: str | None) -> None:
        """Off the screen."""
        self.show.tell(sc.UnpinListing(listing_id))

    @rule(views=st.integers(-1, 1000))
    def sample(self, views: int) -> None:
        """Two samples may be alike: only the envelope tells a repetition."""
        self.show.tell(sc.SampleAudience(views, 10, 1, 1, self.now), twice=False)

    @rule(agreed=terms, notice_days=st.integers(1, 14))
    def agree(self, agreed: Terms, notice_days: int) -> None:
        """Whatever is agreed, until its notice is over nobody gets less, or gets it later, than was agreed before."""
        noticed = self.now + timedelta(days=notice_days)
        changes = [each.effective_at for each in self.state.agreed if self.now < each.effective_at < noticed]
        before = {instant: self._promised(instant) for instant in (self.now, *changes)}
        self.show.tell(sc.AgreeTerms(agreed, self.now, notice_days))
        for instant, (hold_days, earned) in before.items():
            holds_now, earns_now = self._promised(instant)
            assert holds_now <= hold_days
            assert all(earns_now.get(who, 0) >= promised for who, promised in earned.items())

    def _promised(self, instant: datetime) -> tuple[int, dict[tuple[str, str], int]]:
        """Return the hold days of a sale at an instant, and what each payee gets of it, by who makes it."""
        terms_then = self.state.terms_at(instant).terms
        return terms_then.hold_days, {
            (host_id, share.payee_id): terms_then.rate_bps * share.share_bps
            for host_id in (self.state.host_id, *self.state.co_hosts)
            for share in terms_then.shares_for(host_id)
        }

    @invariant()
    def the_state_is_the_fold_of_the_history(self) -> None:
        """Loading from the beginning gives what was kept in memory."""
        self.show.holds()

    @invariant()
    def the_screen_has_room_for_three(self) -> None:
        """Each once, and none when the show is over."""
        assert len(set(self.state.pins)) == len(self.state.pins) <= MAX_PINS
        assert not (self.state.pins and self.state.status in (Status.ENDED, Status.CANCELLED))

    @invariant()
    def somebody_of_the_show_is_on_air(self) -> None:
        """Sales are always somebody's, and a co-host is one once."""
        if self.state.status is not Status.UNKNOWN:
            assert self.state.on_air in (self.state.host_id, *self.state.co_hosts)
        assert len(set(self.state.co_hosts)) == len(self.state.co_hosts)
        assert self.state.host_id not in self.state.co_hosts

    @invariant()
    def each_deadline_belongs_to_its_status(self) -> None:
        """Interrupted shows have a limit, ended ones an end, and no others have either."""
        assert (self.state.interrupted_until is not None) is (self.state.status is Status.INTERRUPTED)
        assert (self.state.ended_at is not None) is (self.state.status is Status.ENDED)
        limit = self.state.interrupted_until
        waits = self.state.status is Status.INTERRUPTED and limit is not None and self.now < limit
        assert self.state.sells(self.now) is (self.state.status is Status.LIVE or waits)

    @invariant()
    def terms_are_numbered_without_gaps(self) -> None:
        """So a sale's version names its terms for ever."""
        assert [each.version for each in self.state.agreed] == list(range(1, len(self.state.agreed) + 1))
        assert all(self.state.terms_of(each.version) == each.terms for each in self.state.agreed)
        assert self.state.views >= 0


class PresenceWalk(RuleBasedStateMachine):
    """A host whom several shows want."""

    def __init__(self) -> None:
        super().__init__()
        self.host: Subject[Presence, PresenceCommand, PresenceEvent] = Subject(PRESENCE)

    @rule(stream_id=st.sampled_from(["stream-1", "stream-2", "stream-3"]), on=st.booleans())
    def claim(self, stream_id: str, on: bool) -> None:
        """A show starts or ends; only a free host is taken, and only by its own show let go."""
        before = self.host.state.stream_id
        self.host.tell(GoOnAir(stream_id) if on else GoOffAir(stream_id))
        if on:
            assert self.host.state.stream_id == (before or stream_id)
        else:
            assert self.host.state.stream_id == (None if before == stream_id else before)

    @invariant()
    def the_state_is_the_fold_of_the_history(self) -> None:
        """Loading from the beginning gives what was kept in memory."""
        self.host.holds()


@depths
def test_a_show_keeps_its_promises_whatever_happens(depth: settings) -> None:
    """Pins, hosts, deadlines and terms, on random evenings."""
    run_state_machine_as_test(StreamWalk, settings=depth)


@depths
def test_a_host_is_in_one_show_whatever_happens(depth: settings) -> None:
    """Claims and releases in any order."""
    run_state_machine_as_test(PresenceWalk, settings=depth)
