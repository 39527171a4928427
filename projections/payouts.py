"""Payouts: what each payee is owed, by currency.

A commission is pending until the goods can no longer come back, then payable. For every payee and currency
``pending + payable + paid = accrued - reversed``, at every position.
"""

from typing import Any

from attrs import define

from domain.commission import facts as c
from domain.ids import PayeeId
from projections.projection import Fact, Projection, change, ensure
from projections.tables import Key, Table


@define
class PayoutRow:
    """A payee's sums in one currency."""

    payee_id: PayeeId
    currency: str
    pending_minor: int = 0
    """Earned, but the goods may still come back."""
    payable_minor: int = 0
    """Earned for good, and due."""
    paid_minor: int = 0
    accrued_minor: int = 0
    """All that was ever booked."""
    reversed_minor: int = 0
    """What was taken back, less what was put right afterwards."""
    position: int = 0


PAYOUTS = Table("payouts", PayoutRow, key=("payee_id", "currency"))


def _payee(_: Fact, event: Any) -> Key:
    return (event.payee_id, event.currency)


def _begun(key: Key, _: Fact, __: Any) -> PayoutRow:
    return PayoutRow(*key)


def _accrued(row: PayoutRow, _: Fact, event: c.CommissionAccrued) -> None:
    row.accrued_minor += event.amount_minor
    row.pending_minor += event.amount_minor


def _locked(row: PayoutRow, _: Fact, event: c.CommissionLocked) -> None:
    row.pending_minor -= event.amount_minor
    row.payable_minor += event.amount_minor


def _reversed(row: PayoutRow, _: Fact, event: c.CommissionReversed) -> None:
    row.reversed_minor += event.amount_minor
    _add(row, event.fund, -event.amount_minor)


def _adjusted(row: PayoutRow, _: Fact, event: c.CommissionAdjusted) -> None:
    row.reversed_minor -= event.amount_minor
    _add(row, event.fund, event.amount_minor)


def _add(row: PayoutRow, fund: c.Fund, amount_minor: int) -> None:
    if fund is c.Fund.PAYABLE:
        row.payable_minor += amount_minor
    else:
        row.pending_minor += amount_minor


PROJECTION = Projection(
    "payouts",
    (PAYOUTS,),
    {
        c.CommissionAccrued: ensure(PAYOUTS, _begun, _accrued, _payee),
        c.CommissionLocked: change(PAYOUTS, _locked, _payee),
        c.CommissionReversed: change(PAYOUTS, _reversed, _payee),
        c.CommissionAdjusted: change(PAYOUTS, _adjusted, _payee),
    },
)
