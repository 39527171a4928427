"""What a command means for a commission, and how each event changes it."""

from datetime import datetime
from enum import StrEnum

from attrs import evolve as changed

from domain.commission.facts import (
    AccrueCommission,
    Command,
    CommissionAccrued,
    CommissionAdjusted,
    CommissionExcluded,
    CommissionHeld,
    CommissionHoldReleased,
    CommissionLocked,
    CommissionQualified,
    CommissionReversed,
    Event,
    Fund,
    HoldCommission,
    LockCommission,
    QualifyCommission,
    ReleaseCommissionHold,
    ReviseCommission,
)
from domain.ids import OrderId, PayeeId
from domain.money import percent, split
from domain.refusal import Invalid, NotFound
from domain.terms import Share
from domain.values import frozen


class Stage(StrEnum):
    """How far a commission has come."""

    UNKNOWN = "unknown"
    ACCRUED = "accrued"
    QUALIFIED = "qualified"
    LOCKED = "locked"
    OUT_OF_TERMS = "out_of_terms"


@frozen
class Commission:
    """What the rules need to know of a commission."""

    stage: Stage = Stage.UNKNOWN
    order_id: OrderId = ""
    payee_id: PayeeId = ""
    currency: str = ""
    rate_bps: int = 0
    shares: tuple[Share, ...] = ()
    base_minor: int = 0
    remaining_base_minor: int = 0
    amount_minor: int = 0
    """What stands."""
    accrued_minor: int = 0
    """What was booked at first."""
    locks_at: datetime | None = None
    held: bool = False

    @property
    def status(self) -> str:
        """Derive the status: a hold and a reversal are said before the stage."""
        if self.stage in (Stage.UNKNOWN, Stage.OUT_OF_TERMS):
            return self.stage
        if self.held:
            return "on_hold"
        if self.accrued_minor and not self.amount_minor:
            return "reversed"
        return "partially_reversed" if self.amount_minor < self.accrued_minor else self.stage

    @property
    def fund(self) -> Fund:
        """Which of the payee's sums it is part of."""
        return Fund.PAYABLE if self.stage is Stage.LOCKED else Fund.PENDING


def due(payee_id: PayeeId, rate_bps: int, shares: tuple[Share, ...], base_minor: int) -> tuple[int, int]:
    """Return the whole commission of a base and a payee's share of it, both rounded once."""
    whole = percent(base_minor, rate_bps)
    parts = split(whole, [share.share_bps for share in shares])
    return whole, next(part for share, part in zip(shares, parts, strict=True) if share.payee_id == payee_id)


def decide(state: Commission, command: Command) -> list[Event]:
    """Return what a command means for a commission."""
    match state.stage, command:
        case Stage.UNKNOWN, AccrueCommission():
            return [_accrue(command)]
        case Stage.UNKNOWN, _:
            raise NotFound("commission", "")
        case (_, AccrueCommission()) | (Stage.OUT_OF_TERMS, _):
            return []
        case Stage.ACCRUED, QualifyCommission(locks_at):
            return [CommissionQualified(locks_at)]
        case _, QualifyCommission():
            return []
        case Stage.QUALIFIED, LockCommission(now):
            early = state.held or (state.locks_at is not None and now < state.locks_at)
            return [] if early else [CommissionLocked(state.payee_id, state.currency, state.amount_minor)]
        case _, LockCommission():
            return []
        case _, ReviseCommission():
            return _revise(state, command)
        case _, HoldCommission(reason):
            return [] if state.held else [CommissionHeld(reason)]
        case _, ReleaseCommissionHold(now):
            return _release(state, now)


def _release(state: Commission, now: datetime) -> list[Event]:
    """What would have been locked meanwhile is locked now."""
    if not state.held:
        return []
    ripe = state.stage is Stage.QUALIFIED and state.locks_at is not None and state.locks_at <= now
    locked: list[Event] = [CommissionLocked(state.payee_id, state.currency, state.amount_minor)] if ripe else []
    return [CommissionHoldReleased(), *locked]


def _accrue(command: AccrueCommission) -> Event:
    if command.buyer_id in command.insiders:
        return CommissionExcluded(
            command.order_id, command.line_id, command.stream_id, command.payee_id, command.instrument,
            command.currency, command.base_minor, "host_is_buyer",
        )  # fmt: skip
    if all(share.payee_id != command.payee_id for share in command.shares):
        raise Invalid("payee_id", "must have a share in the terms")
    whole, part = due(command.payee_id, command.rate_bps, command.shares, command.base_minor)
    return CommissionAccrued(
        command.order_id, command.line_id, command.stream_id, command.payee_id, command.instrument,
        command.terms_version, command.rate_bps, command.shares, command.currency, command.base_minor, whole, part,
    )  # fmt: skip


def _revise(state: Commission, command: ReviseCommission) -> list[Event]:
    """Book the difference between what stands and what is due on the remaining base."""
    base_minor = command.remaining_base_minor
    if not 0 <= base_minor <= state.base_minor:
        raise Invalid("remaining_base_minor", f"must be between 0 and {state.base_minor}")
    if base_minor >= state.remaining_base_minor:
        return []
    _, part = due(state.payee_id, state.rate_bps, state.shares, base_minor)
    difference = state.amount_minor - part
    revised = CommissionReversed if difference >= 0 else CommissionAdjusted
    return [revised(state.payee_id, state.currency, state.fund, base_minor, abs(difference), command.reason)]


def evolve(state: Commission, event: Event) -> Commission:
    """Return the commission after an event."""
    match event:
        case CommissionAccrued():
            return Commission(
                Stage.ACCRUED, event.order_id, event.payee_id, event.currency, event.rate_bps, event.shares,
                event.base_minor, event.base_minor, event.amount_minor, event.amount_minor,
            )  # fmt: skip
        case CommissionExcluded():
            return Commission(Stage.OUT_OF_TERMS, event.order_id, event.payee_id, event.currency)
        case CommissionQualified(locks_at):
            return changed(state, stage=Stage.QUALIFIED, locks_at=locks_at)
        case CommissionLocked():
            return changed(state, stage=Stage.LOCKED)
        case CommissionReversed() | CommissionAdjusted():
            sign = -1 if isinstance(event, CommissionReversed) else 1
            amount_minor = state.amount_minor + sign * event.amount_minor
            return changed(state, amount_minor=amount_minor, remaining_base_minor=event.remaining_base_minor)
        case CommissionHeld():
            return changed(state, held=True)
        case CommissionHoldReleased():
            return changed(state, held=False)
