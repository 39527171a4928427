"""Commissions: what each order line earns each payee, and where it stands."""

from datetime import datetime
from typing import Any

from attrs import define

from domain.commission import facts as c
from domain.commission.rules import Stage
from domain.ids import CommissionId, OrderId, PayeeId, StreamId
from projections.projection import Fact, Projection, change, put
from projections.tables import Key, Table


@define
class CommissionRow:
    """One commission."""

    commission_id: CommissionId
    order_id: OrderId
    line_id: str
    stream_id: StreamId
    payee_id: PayeeId
    instrument: str
    currency: str
    rate_bps: int
    base_minor: int
    """What the line brought when it was paid."""
    remaining_base_minor: int
    """What it still brings after refunds."""
    accrued_minor: int
    """What was booked at first."""
    amount_minor: int
    """What stands."""
    stage: str
    status: str
    """The stage, unless a hold or a reversal is to be said first."""
    held: bool = False
    locks_at: datetime | None = None
    position: int = 0


COMMISSIONS = Table(
    "commissions",
    CommissionRow,
    key=("commission_id",),
    indexes=(("order_id", "commission_id"), ("payee_id", "commission_id")),
)


def _accrued(_: Key, record: Fact, event: c.CommissionAccrued) -> CommissionRow:
    row = CommissionRow(
        record.history_id, event.order_id, event.line_id, event.stream_id, event.payee_id, event.instrument.value,
        event.currency, event.rate_bps, event.base_minor, event.base_minor, event.amount_minor, event.amount_minor,
        "", "",
    )  # fmt: skip
    _reach(row, Stage.ACCRUED)
    return row


def _excluded(_: Key, record: Fact, event: c.CommissionExcluded) -> CommissionRow:
    """Nothing is earned, so nothing can be taken back: the base stands for ever and the amounts are zero."""
    row = CommissionRow(
        record.history_id, event.order_id, event.line_id, event.stream_id, event.payee_id, event.instrument.value,
        event.currency, 0, event.base_minor, event.base_minor, 0, 0, "", "",
    )  # fmt: skip
    _reach(row, Stage.OUT_OF_TERMS)
    return row


def _qualified(row: CommissionRow, _: Fact, event: c.CommissionQualified) -> None:
    row.locks_at = event.locks_at
    _reach(row, Stage.QUALIFIED)


def _locked(row: CommissionRow, _: Fact, __: Any) -> None:
    _reach(row, Stage.LOCKED)


def _reversed(row: CommissionRow, _: Fact, event: c.CommissionReversed) -> None:
    _revise(row, event.remaining_base_minor, -event.amount_minor)


def _adjusted(row: CommissionRow, _: Fact, event: c.CommissionAdjusted) -> None:
    _revise(row, event.remaining_base_minor, event.amount_minor)


def _held(row: CommissionRow, _: Fact, __: Any) -> None:
    row.held = True
    row.status = _status(row)


def _released(row: CommissionRow, _: Fact, __: Any) -> None:
    row.held = False
    row.status = _status(row)


def _revise(row: CommissionRow, remaining_base_minor: int, amount_minor: int) -> None:
    row.remaining_base_minor = remaining_base_minor
    row.amount_minor += amount_minor
    row.status = _status(row)


def _reach(row: CommissionRow, stage: Stage) -> None:
    row.stage = stage.value
    row.status = _status(row)


def _status(row: CommissionRow) -> str:
    """Derive the status as ``Commission.status`` does."""
    if row.stage == Stage.OUT_OF_TERMS:
        return row.stage
    if row.held:
        return "on_hold"
    if row.accrued_minor and not row.amount_minor:
        return "reversed"
    return "partially_reversed" if row.amount_minor < row.accrued_minor else row.stage


PROJECTION = Projection(
    "commissions",
    (COMMISSIONS,),
    {
        c.CommissionAccrued: put(COMMISSIONS, _accrued),
        c.CommissionExcluded: put(COMMISSIONS, _excluded),
        c.CommissionQualified: change(COMMISSIONS, _qualified),
        c.CommissionLocked: change(COMMISSIONS, _locked),
        c.CommissionReversed: change(COMMISSIONS, _reversed),
        c.CommissionAdjusted: change(COMMISSIONS, _adjusted),
        c.CommissionHeld: change(COMMISSIONS, _held),
        c.CommissionHoldReleased: change(COMMISSIONS, _released),
    },
)
