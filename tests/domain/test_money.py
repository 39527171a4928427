"""Arithmetic of money: nothing appears, nothing vanishes."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import BPS, DECIMALS, MAX_MINOR, formatted, percent, portion, split
from tests.domain.subject import QUICK

amounts = st.integers(0, MAX_MINOR)
weights = st.lists(st.integers(0, MAX_MINOR), min_size=1, max_size=30).filter(any)


@QUICK
@given(amounts, weights)
def test_a_split_sums_to_the_whole(amount_minor: int, shares: list[int]) -> None:
    """To the cent, whatever the weights."""
    assert sum(split(amount_minor, shares)) == amount_minor


@QUICK
@given(amounts, weights)
def test_each_part_is_within_one_of_its_exact_share(amount_minor: int, shares: list[int]) -> None:
    """Nobody gains or loses a whole cent by the rounding of others, and who has no weight gets nothing."""
    for part, weight in zip(split(amount_minor, shares), shares, strict=True):
        assert abs(part - Fraction(amount_minor * weight, sum(shares))) < 1
        assert weight or not part


@QUICK
@given(weights, st.data())
def test_an_amount_split_by_what_each_can_bear_never_overburdens_one(shares: list[int], data: st.DataObject) -> None:
    """A refund within what was captured fits on every line."""
    amount_minor = data.draw(st.integers(0, sum(shares)))
    assert all(part <= weight for part, weight in zip(split(amount_minor, shares), shares, strict=True))


def test_ties_go_to_the_earlier_weight() -> None:
    """The order of the weights is fixed, so the same split is the same for ever."""
    assert split(1, [1, 1, 1]) == (1, 0, 0)
    assert split(2, [1, 1, 1]) == (1, 1, 0)
    assert split(100, [1, 1, 1]) == (34, 33, 33)
    assert split(10, [3, 3, 4]) == (3, 3, 4)
    assert split(5, [0, 1]) == (0, 5)


@QUICK
@given(amounts, st.integers(0, BPS))
def test_a_rate_is_rounded_half_up(amount_minor: int, rate_bps: int) -> None:
    """Within half a cent of the exact value, and a half goes up."""
    error = percent(amount_minor, rate_bps) - Fraction(amount_minor * rate_bps, BPS)
    assert Fraction(-1, 2) < error <= Fraction(1, 2)


@pytest.mark.parametrize(("amount_minor", "expected"), [(4, 0), (5, 1), (6, 1), (14, 1), (15, 2), (0, 0)])
def test_half_a_cent_is_a_cent(amount_minor: int, expected: int) -> None:
    """Ten percent of five cents is one."""
    assert percent(amount_minor, 1000) == expected


@QUICK
@given(amounts, st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any))
def test_portions_given_up_one_after_another_end_where_all_at_once_does(amount_minor: int, steps: list[int]) -> None:
    """Each step is worth the difference of what was left and what is left: the sum telescopes to the whole."""
    whole = left = sum(steps)
    given_up = 0
    for step in steps:
        worth = portion(amount_minor, left, whole) - portion(amount_minor, left - step, whole)
        assert worth >= 0
        given_up, left = given_up + worth, left - step
    assert given_up == amount_minor
    assert portion(amount_minor, 0, whole) == 0
    assert portion(amount_minor, whole, whole) == amount_minor


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (123_450, "GBP", "1,234.50 GBP"),
        (-5, "EUR", "-0.05 EUR"),
        (1234, "JPY", "1,234 JPY"),
        (1234, "KWD", "1.234 KWD"),
        (0, "EUR", "0.00 EUR"),
    ],
)
def test_money_is_written_with_its_currencys_decimals(amount_minor: int, currency: str, text: str) -> None:
    """Yen have none, dinars three."""
    assert formatted(amount_minor, currency) == text


def test_currencies_are_iso_codes_with_known_decimals() -> None:
    """Three capital letters each, and the three kinds of minor units that exist."""
    assert all(len(code) == 3 and code.isupper() for code in DECIMALS)
    assert set(DECIMALS.values()) == {0, 2, 3}
    assert (DECIMALS["JPY"], DECIMALS["EUR"], DECIMALS["KWD"]) == (0, 2, 3)
