"""What a commission can be told, and what can happen to it."""

from datetime import datetime
from enum import StrEnum

from domain.ids import BuyerId, LineId, OrderId, PayeeId, StreamId
from domain.terms import Share
from domain.values import frozen


class Instrument(StrEnum):
    """What a commission is computed from."""

    PERCENT = "percent"


class Fund(StrEnum):
    """Which of a payee's sums a commission is part of."""

    PENDING = "pending"
    PAYABLE = "payable"


# commands


@frozen
class AccrueCommission:
    """Book what a payee earns from a paid order line."""

    order_id: OrderId
    line_id: LineId
    stream_id: StreamId
    buyer_id: BuyerId
    insiders: tuple[str, ...]
    """The hosts of the show and whoever earns on it: what they buy themselves earns nobody anything."""
    payee_id: PayeeId
    instrument: Instrument
    terms_version: int
    rate_bps: int
    shares: tuple[Share, ...]
    currency: str
    base_minor: int


@frozen
class QualifyCommission:
    """The goods were delivered: the hold days run."""

    locks_at: datetime


@frozen
class LockCommission:
    """The goods can no longer come back: the commission is payable."""

    now: datetime


@frozen
class ReviseCommission:
    """Set the base to what the line still brings after refunds."""

    remaining_base_minor: int
    reason: str


@frozen
class HoldCommission:
    """Keep a commission from being paid while something is looked into."""

    reason: str


@frozen
class ReleaseCommissionHold:
    """Let a held commission go on."""

    now: datetime


Command = (
    AccrueCommission | QualifyCommission | LockCommission | ReviseCommission | HoldCommission | ReleaseCommissionHold
)

# events


@frozen
class CommissionAccrued:
    """A payee earned from a sale; ``amount_minor`` is this payee's share of ``commission_minor``."""

    order_id: OrderId
    line_id: LineId
    stream_id: StreamId
    payee_id: PayeeId
    instrument: Instrument
    terms_version: int
    rate_bps: int
    shares: tuple[Share, ...]
    currency: str
    base_minor: int
    commission_minor: int
    amount_minor: int


@frozen
class CommissionExcluded:
    """A sale that earns nothing by the terms: a host buying from its own show."""

    order_id: OrderId
    line_id: LineId
    stream_id: StreamId
    payee_id: PayeeId
    instrument: Instrument
    currency: str
    base_minor: int
    reason: str


@frozen
class CommissionQualified:
    """The goods were delivered; the commission locks when the return window is over."""

    locks_at: datetime


@frozen
class CommissionLocked:
    """The commission is payable."""

    payee_id: PayeeId
    currency: str
    amount_minor: int


@frozen
class CommissionReversed:
    """Part or all of it was taken back, because the line brings less."""

    payee_id: PayeeId
    currency: str
    fund: Fund
    remaining_base_minor: int
    amount_minor: int
    reason: str


@frozen
class CommissionAdjusted:
    """A unit more is due to this payee although the whole fell: largest remainders may shift between payees."""

    payee_id: PayeeId
    currency: str
    fund: Fund
    remaining_base_minor: int
    amount_minor: int
    reason: str


@frozen
class CommissionHeld:
    """It will not be paid for now."""

    reason: str


@frozen
class CommissionHoldReleased:
    """It may be paid again."""


Event = (
    CommissionAccrued | CommissionExcluded | CommissionQualified | CommissionLocked | CommissionReversed
    | CommissionAdjusted | CommissionHeld | CommissionHoldReleased
)  # fmt: skip
