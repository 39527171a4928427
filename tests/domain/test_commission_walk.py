"""Random refunds of one sale with several payees: no cent drifts between them."""

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain.commission import COMMISSION
from domain.commission import facts as c
from domain.commission.rules import Commission, Stage, due
from domain.money import BPS, percent, split
from domain.terms import Share
from tests.builders import accrue, at
from tests.domain.subject import QUICK, Subject, depths

rates = st.integers(0, BPS) | st.just(BPS)
bases = st.integers(0, 60) | st.integers(0, 10_000) | st.integers(0, 2**53 - 1)
weights = st.lists(st.integers(1, 100), min_size=1, max_size=5)


def shares_of(parts: list[int]) -> tuple[Share, ...]:
    """Return payees whose shares sum to the whole."""
    return tuple(Share(f"payee-{n}", share) for n, share in enumerate(split(BPS, parts)))


class CommissionWalk(RuleBasedStateMachine):
    """The commissions of one order line, one a payee, told the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.payees: dict[str, Subject[Commission, c.Command, c.Event]] = {}
        self.rate_bps = self.base_minor = self.remaining_minor = 0
        self.shares: tuple[Share, ...] = ()
        self.seconds = 0

    @initialize(rate_bps=rates, base_minor=bases, parts=weights)
    def sell(self, rate_bps: int, base_minor: int, parts: list[int]) -> None:
        """Every payee of the terms earns."""
        self.rate_bps, self.base_minor, self.remaining_minor = rate_bps, base_minor, base_minor
        self.shares = shares_of(parts)
        self.payees = {share.payee_id: Subject(COMMISSION) for share in self.shares}
        for payee_id, subject in self.payees.items():
            earned = accrue(payee_id=payee_id, rate_bps=rate_bps, shares=self.shares, base_minor=base_minor)
            subject.tell(earned, named=True)

    def _tell_all(self, command: c.Command, *, named: bool = False) -> None:
        for subject in self.payees.values():
            subject.tell(command, named=named)

    @rule(passed=st.integers(1, 1000))
    def time_passes(self, passed: int) -> None:
        """Nothing else happens."""
        self.seconds += passed

    @rule(part_bps=st.integers(0, BPS))
    def refund_a_part(self, part_bps: int) -> None:
        """The line brings less: what is left is a part of what was left."""
        self.remaining_minor = percent(self.remaining_minor, part_bps)
        self._tell_all(c.ReviseCommission(self.remaining_minor, "refund"), named=True)

    @rule()
    def refund_a_cent(self) -> None:
        """The smallest refund there is."""
        self.remaining_minor = max(0, self.remaining_minor - 1)
        self._tell_all(c.ReviseCommission(self.remaining_minor, "refund"), named=True)

    @rule(base_minor=st.integers(-1, 10_000))
    def hear_of_an_older_refund(self, base_minor: int) -> None:
        """A base that is higher than what is left, or nonsense, changes nothing."""
        if not 0 <= base_minor < self.remaining_minor:
            self._tell_all(c.ReviseCommission(base_minor, "refund"))

    @rule(hold_seconds=st.integers(0, 2000))
    def deliver(self, hold_seconds: int) -> None:
        """The hold days run."""
        self._tell_all(c.QualifyCommission(at(self.seconds + hold_seconds)), named=True)

    @rule()
    def lock(self) -> None:
        """A timer, early or late."""
        now: datetime = at(self.seconds)
        for subject in self.payees.values():
            before = subject.state
            for event in subject.tell(c.LockCommission(now)):
                assert isinstance(event, c.CommissionLocked)
                assert before.locks_at is not None
                assert before.locks_at <= now
                assert not before.held
                assert event.amount_minor == before.amount_minor

    @rule(held=st.booleans())
    def hold(self, held: bool) -> None:
        """Kept from being paid, or let go."""
        self._tell_all(c.HoldCommission("audit") if held else c.ReleaseCommissionHold(at(0)))

    @rule()
    def nothing_with_an_id_is_done_twice(self) -> None:
        """However much later it is repeated."""
        for subject in self.payees.values():
            subject.repeat_all()

    @invariant()
    def the_state_is_the_fold_of_the_history(self) -> None:
        """Loading from the beginning gives what was kept in memory."""
        for subject in self.payees.values():
            subject.holds()

    @invariant()
    def the_payees_sum_to_the_commission_of_what_is_left(self) -> None:
        """Exactly where one single refund to this base would have ended, together and each."""
        standing = {payee_id: subject.state.amount_minor for payee_id, subject in self.payees.items()}
        assert sum(standing.values()) == percent(self.remaining_minor, self.rate_bps)
        for payee_id, amount_minor in standing.items():
            assert amount_minor == due(payee_id, self.rate_bps, self.shares, self.remaining_minor)[1] >= 0

    @invariant()
    def the_events_sum_to_what_stands(self) -> None:
        """Accrued, less reversed, plus adjusted: what finance books is what the state says."""
        for subject in self.payees.values():
            booked = sum(event.amount_minor for event in subject.of(c.CommissionAccrued, c.CommissionAdjusted))
            taken = sum(event.amount_minor for event in subject.of(c.CommissionReversed))
            assert booked - taken == subject.state.amount_minor

    @invariant()
    def each_fund_holds_what_was_moved_into_it(self) -> None:
        """Pending until it locks, payable after: neither goes below zero."""
        for subject in self.payees.values():
            funds = _funds(subject.history)
            assert min(funds.values()) >= 0
            expected = c.Fund.PAYABLE if subject.state.stage is Stage.LOCKED else c.Fund.PENDING
            assert funds[expected] == subject.state.amount_minor
            assert sum(funds.values()) == subject.state.amount_minor


def _funds(history: list[c.Event]) -> dict[c.Fund, int]:
    """Book a history into a payee's two sums, as finance does."""
    funds = dict.fromkeys(c.Fund, 0)
    for event in history:
        match event:
            case c.CommissionAccrued():
                funds[c.Fund.PENDING] += event.amount_minor
            case c.CommissionLocked():
                funds[c.Fund.PENDING] -= event.amount_minor
                funds[c.Fund.PAYABLE] += event.amount_minor
            case c.CommissionReversed():
                funds[event.fund] -= event.amount_minor
            case c.CommissionAdjusted():
                funds[event.fund] += event.amount_minor
            case _:
                pass
    return funds


@depths
def test_no_cent_drifts_between_payees_whatever_is_refunded(depth: settings) -> None:
    """Any sequence of partial refunds ends where one refund ends, payee by payee and fund by fund."""
    run_state_machine_as_test(CommissionWalk, settings=depth)


@QUICK
@given(bases, rates, weights)
def test_shares_sum_to_the_commission_exactly(base_minor: int, rate_bps: int, parts: list[int]) -> None:
    """For any sale, rate and split."""
    shares = shares_of(parts)
    amounts = [due(share.payee_id, rate_bps, shares, base_minor) for share in shares]
    assert {whole for whole, _ in amounts} == {percent(base_minor, rate_bps)}
    assert sum(part for _, part in amounts) == percent(base_minor, rate_bps)
