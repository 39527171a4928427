"""A commission: frozen at accrual, rounded once, never off by a cent."""

from datetime import timedelta

import pytest

from domain.commission import COMMISSION
from domain.commission import facts as c
from domain.commission.facts import Fund
from domain.commission.rules import due
from domain.ids import commission_id
from domain.money import percent
from domain.refusal import Invalid, NotFound
from domain.terms import Share
from tests.builders import ALONE, THREE, accrue, accrued, at, days, reversed_by
from tests.scenario import given, told

LOCKS_AT = days(17)


def qualified() -> list[c.Event]:
    """Return the history of a commission whose goods were delivered."""
    return [accrued(), c.CommissionQualified(LOCKS_AT)]


def locked() -> list[c.Event]:
    """Return the history of a commission that is payable."""
    return [*qualified(), c.CommissionLocked("host-1", "EUR", 200)]


# accrual


def test_a_sale_earns_its_rate() -> None:
    """Ten percent of 19.99 is 2.00: rate, base and terms are written down with the amount."""
    given(COMMISSION).when(accrue()).then(accrued()).leaves({"status": "accrued", "amount_minor": 200})


def test_there_is_one_accrual_whatever_is_repeated() -> None:
    """The same sale again, even with today's better rate, changes nothing."""
    given(COMMISSION, accrued()).when(accrue(rate_bps=9000, terms_version=7)).changes_nothing()
    given(COMMISSION, *locked()).when(accrue()).changes_nothing()


def test_whoever_computes_the_id_of_a_commission_gets_the_same() -> None:
    """Order line, payee and instrument name it, so a replay cannot make a second one."""
    assert commission_id("order-1", "2", "host-1", "percent") == "commission-1-2-host-1-percent"


def test_a_host_buying_from_its_own_show_earns_nothing() -> None:
    """Out of terms, and recorded as such; whatever comes later changes nothing."""
    own = given(COMMISSION).when(accrue(buyer_id="host-2", insiders=("host-1", "host-2")))
    own.then(
        c.CommissionExcluded(
            "order-1", "1", "stream-1", "host-1", c.Instrument.PERCENT, "EUR", 1999, "host_is_buyer"
        )
    ).leaves({"status": "out_of_terms", "amount_minor": 0})  # fmt: skip
    for later in (
        accrue(), c.QualifyCommission(LOCKS_AT), c.LockCommission(LOCKS_AT), c.ReviseCommission(0, "refund"),
        c.HoldCommission("audit"), c.ReleaseCommissionHold(at(0)),
    ):  # fmt: skip
        given(COMMISSION, *own.events).when(later).changes_nothing()


def test_nothing_can_be_told_to_an_unknown_commission() -> None:
    """It has to be earned first."""
    given(COMMISSION).when(c.LockCommission(LOCKS_AT)).refused(NotFound, what="commission")


@pytest.mark.parametrize("base_minor", [0, 1, 2, 29, 100, 101, 1999, 10**12 + 7])
def test_three_payees_share_every_cent(base_minor: int) -> None:
    """The parts sum to the commission of the whole, and the tie goes to the payee named first."""
    whole, _ = due("host-1", 1500, THREE, base_minor)
    parts = [due(share.payee_id, 1500, THREE, base_minor)[1] for share in THREE]
    assert whole == percent(base_minor, 1500)
    assert sum(parts) == whole
    assert parts[0] >= parts[1] >= parts[2] >= parts[0] - max(1, base_minor)


def test_equal_remainders_fall_to_the_first_payee() -> None:
    """One cent between two halves goes to who is named first, always."""
    halves = (Share("agency-1", 5000), Share("host-1", 5000))
    assert due("agency-1", 1000, halves, 10) == (1, 1)
    assert due("host-1", 1000, halves, 10) == (1, 0)


def test_somebody_without_a_share_earns_nothing() -> None:
    """A commission is accrued for the payees of the terms only."""
    given(COMMISSION).when(accrue(payee_id="stranger-1")).refused(Invalid, field="payee_id")


@pytest.mark.parametrize(("base_minor", "commission_minor"), [(4, 0), (5, 1), (14, 1), (15, 2), (0, 0)])
def test_half_a_cent_is_rounded_up(base_minor: int, commission_minor: int) -> None:
    """Ten percent of 0.05 is a cent."""
    assert due("host-1", 1000, ALONE, base_minor) == (commission_minor, commission_minor)


# to the payout


def test_delivery_starts_the_hold_days() -> None:
    """From then on it waits for its lock, once."""
    given(COMMISSION, accrued()).when(c.QualifyCommission(LOCKS_AT)).then(c.CommissionQualified(LOCKS_AT))
    given(COMMISSION, *qualified()).when(c.QualifyCommission(days(30))).changes_nothing()
    given(COMMISSION, *locked()).when(c.QualifyCommission(days(30))).changes_nothing()


def test_it_locks_when_the_return_window_is_over() -> None:
    """At the instant itself and not a second before; never without a delivery; once."""
    early = LOCKS_AT - timedelta(seconds=1)
    given(COMMISSION, *qualified()).when(c.LockCommission(early)).changes_nothing()
    given(COMMISSION, *qualified()).when(c.LockCommission(LOCKS_AT)).then(c.CommissionLocked("host-1", "EUR", 200))
    given(COMMISSION, accrued()).when(c.LockCommission(days(99))).changes_nothing()
    given(COMMISSION, *locked()).when(c.LockCommission(days(99))).changes_nothing()


def test_what_is_locked_is_what_stands() -> None:
    """After a partial reversal the rest is payable."""
    partly: list[c.Event] = [*qualified(), reversed_by(remaining_base_minor=999, amount_minor=100)]
    given(COMMISSION, *partly).when(c.LockCommission(LOCKS_AT)).then(c.CommissionLocked("host-1", "EUR", 100))


def test_a_held_commission_waits() -> None:
    """It does not lock until it is released; both are said once."""
    held: list[c.Event] = [*qualified(), c.CommissionHeld("audit")]
    given(COMMISSION, *qualified()).when(c.HoldCommission("audit")).then(c.CommissionHeld("audit"))
    given(COMMISSION, *held).when(c.HoldCommission("audit")).changes_nothing()
    given(COMMISSION, *held).when(c.LockCommission(LOCKS_AT)).changes_nothing().leaves({"status": "on_hold"})
    given(COMMISSION, *held).when(c.ReleaseCommissionHold(at(0))).then(c.CommissionHoldReleased())
    released: list[c.Event] = [*held, c.CommissionHoldReleased()]
    given(COMMISSION, *released).when(c.ReleaseCommissionHold(at(0))).changes_nothing()
    given(COMMISSION, *released).when(c.LockCommission(LOCKS_AT)).then(c.CommissionLocked("host-1", "EUR", 200))


def test_a_commission_that_was_held_too_long_locks_when_it_is_let_go() -> None:
    """Nobody comes by to lock it again."""
    held: list[c.Event] = [*qualified(), c.CommissionHeld("audit")]
    given(COMMISSION, *held).when(c.ReleaseCommissionHold(LOCKS_AT)).then(
        c.CommissionHoldReleased(), c.CommissionLocked("host-1", "EUR", 200)
    )


# reversals


def test_a_full_refund_takes_all_of_it_back() -> None:
    """Nothing is left, and the status says so."""
    given(COMMISSION, accrued()).when(c.ReviseCommission(0, "refund")).then(reversed_by()).leaves(
        {"status": "reversed", "amount_minor": 0}
    )


def test_a_partial_refund_takes_the_difference_back() -> None:
    """What stands is always the rate of what is left."""
    given(COMMISSION, accrued()).when(c.ReviseCommission(999, "refund")).then(
        reversed_by(remaining_base_minor=999, amount_minor=100)
    ).leaves({"status": "partially_reversed", "amount_minor": 100})


def test_refunds_of_a_cent_each_end_where_one_refund_ends() -> None:
    """1999 reversals, most of them of nothing, and the payee is left with nothing: no cent drifts."""
    history = told(
        COMMISSION, accrue(), *(c.ReviseCommission(base_minor, "refund") for base_minor in range(1998, -1, -1))
    )
    state = COMMISSION.fold(history)
    assert (state.amount_minor, state.remaining_base_minor) == (0, 0)
    taken = sum(event.amount_minor for event in history if isinstance(event, c.CommissionReversed))
    assert taken == 200


def test_a_base_never_grows_back() -> None:
    """An older refund that comes late changes nothing; a base beyond the sale's is refused."""
    partly: list[c.Event] = [accrued(), reversed_by(remaining_base_minor=999, amount_minor=100)]
    given(COMMISSION, *partly).when(c.ReviseCommission(999, "refund")).changes_nothing()
    given(COMMISSION, *partly).when(c.ReviseCommission(1500, "refund")).changes_nothing()
    given(COMMISSION, *partly).when(c.ReviseCommission(2000, "refund")).refused(Invalid, field="remaining_base_minor")
    given(COMMISSION, *partly).when(c.ReviseCommission(-1, "refund")).refused(Invalid, field="remaining_base_minor")


def test_the_fund_says_which_sum_is_lowered() -> None:
    """Before the lock it is the pending one, after it the payable one."""
    given(COMMISSION, *qualified()).when(c.ReviseCommission(0, "refund")).then(reversed_by(fund=Fund.PENDING))
    given(COMMISSION, *locked()).when(c.ReviseCommission(0, "refund")).then(reversed_by(fund=Fund.PAYABLE))


def test_a_payee_may_get_a_cent_more_when_the_whole_falls() -> None:
    """Largest remainders can shift between payees (the Alabama paradox); it is an adjustment, and the sum is exact."""
    shares = (Share("a", 4500), Share("b", 4500), Share("c", 1000))
    base = {payee: due(payee, 10_000, shares, 5)[1] for payee in "abc"}
    less = {payee: due(payee, 10_000, shares, 4)[1] for payee in "abc"}
    assert (base, less) == ({"a": 2, "b": 2, "c": 1}, {"a": 2, "b": 2, "c": 0})
    grown = [
        (whole, payee)
        for whole in range(1, 60)
        for payee in "abc"
        if due(payee, 10_000, shares, whole - 1)[1] > due(payee, 10_000, shares, whole)[1]
    ]
    assert grown, "these shares show the paradox within 60 cents"
    whole, payee = grown[0]
    history = told(COMMISSION, accrue(payee_id=payee, rate_bps=10_000, shares=shares, base_minor=whole))
    stands = COMMISSION.fold(history).amount_minor
    given(COMMISSION, *history).when(c.ReviseCommission(whole - 1, "refund")).then(
        c.CommissionAdjusted(payee, "EUR", Fund.PENDING, whole - 1, 1, "refund")
    ).leaves({"amount_minor": stands + 1})
