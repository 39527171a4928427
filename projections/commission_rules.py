"""Rules over commissions: each is booked by the terms of its show, and then becomes what its own rules make of it.

Whether one had to be booked at all, and on what, is a question to its order: see ``owed``. All that is written of it
afterwards is decided here once more, from the state before it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from domain.commission import facts as c
from domain.commission.rules import Commission, decide, due
from domain.ids import commission_id
from domain.record import Metadata, Record
from domain.refusal import Refusal
from domain.stream.state import Stream
from projections.breach import BreachError
from projections.owed import Owing
from projections.ripening import Ripening


def _revise(event: c.CommissionReversed | c.CommissionAdjusted, _: datetime) -> c.Command:
    return c.ReviseCommission(event.remaining_base_minor, event.reason)


_ASKED: Final[Mapping[type, Callable[[Any, datetime], c.Command]]] = {
    c.CommissionQualified: lambda event, _: c.QualifyCommission(event.locks_at),
    c.CommissionHeld: lambda event, _: c.HoldCommission(event.reason),
    c.CommissionHoldReleased: lambda _, now: c.ReleaseCommissionHold(now),
    c.CommissionLocked: lambda _, now: c.LockCommission(now),
    c.CommissionReversed: _revise,
    c.CommissionAdjusted: _revise,
}
"""What must have been asked of a commission for an event to follow."""


class CommissionRules:
    """Takes what becomes of commissions; ``BreachError`` where it is not what was agreed."""

    def __init__(self, streams: Mapping[str, tuple[int, Stream]], owing: Owing, ripening: Ripening) -> None:
        self._streams, self._owing, self._ripening = streams, owing, ripening
        self.missing: dict[tuple[str, str], list[int]] = {}
        """Shares of a line that the current command has booked while others are to come; always this one dict."""
        self.checks: dict[type, Callable[..., None]] = {
            c.CommissionAccrued: self._accrued,
            c.CommissionExcluded: self._excluded,
            **dict.fromkeys(_ASKED, self._decided),
        }

    def _accrued(
        self, record: Record, _: Metadata, event: c.CommissionAccrued, __: Commission, ___: Commission
    ) -> None:
        show = self._named(record, event)
        version, agreed = event.terms_version, show.agreed
        terms = agreed[version - 1].terms if 0 < version <= len(agreed) else None
        if terms is None or event.rate_bps != terms.rate_bps or event.shares != terms.shares_for(event.payee_id):
            found = f"{record.history_id} has a rate or shares that terms {version} of its show have not"
            raise BreachError(record.position, "commission", found)
        whole, part = due(event.payee_id, event.rate_bps, event.shares, event.base_minor)
        if whole != event.commission_minor or part != event.amount_minor:
            found = (
                f"{part} of {whole} are due on {event.base_minor}, not {event.amount_minor} of {event.commission_minor}"
            )
            raise BreachError(record.position, "commission", found)
        self._owing.accrued(record, event)
        if len(event.shares) > 1:
            self._share(record, event)

    def _excluded(self, record: Record, _: Metadata, event: c.CommissionExcluded, *__: Commission) -> None:
        self._named(record, event)
        self._owing.excluded(record, event)
        self._ripening.excluded(record)

    def _named(self, record: Record, event: c.CommissionAccrued | c.CommissionExcluded) -> Stream:
        """Return the show of a commission, which says its currency; what it is of is its name."""
        _, show = self._streams[event.stream_id]
        name = commission_id(event.order_id, event.line_id, event.payee_id, event.instrument)
        if record.history_id != name or event.currency != show.currency:
            found = f"{record.history_id} is told of {name} in {event.currency}"
            raise BreachError(record.position, "commission", found)
        return show

    def _share(self, record: Record, event: c.CommissionAccrued) -> None:
        """Sum the payees' shares of a line; they are accrued by one command."""
        parts = self.missing.setdefault((event.order_id, event.line_id), [])
        parts.append(event.amount_minor)
        if len(parts) == len(event.shares):
            del self.missing[event.order_id, event.line_id]
            if sum(parts) != event.commission_minor:
                found = f"shares {parts} of a commission of {event.commission_minor}"
                raise BreachError(record.position, "commission", found)

    def _decided(self, record: Record, metadata: Metadata, event: Any, before: Commission, after: Commission) -> None:
        """Let the rules speak: an event must be the first that they answer to what was asked."""
        decided: list[Any]
        try:
            decided = decide(before, _ASKED[type(event)](event, metadata.ingress_at))
        except Refusal as refused:
            decided = [refused]
        if decided[:1] != [event]:
            found = f"{record.history_id}: {event} is written, its rules say {decided}"
            raise BreachError(record.position, "commission", found)
        if before.remaining_base_minor != after.remaining_base_minor:
            self._owing.stands(record, after.remaining_base_minor)
        match event:
            case c.CommissionQualified():
                self._ripening.qualified(record, event)
            case c.CommissionHeld():
                self._ripening.held(record)
            case c.CommissionLocked():
                self._ripening.locked(record)

    def end(self, record: Record) -> None:
        """Let no share be missing at the end of a command."""
        if self.missing:
            (order_id, line_id), _ = self.missing.popitem()
            raise BreachError(record.position, "commission", f"shares of line {line_id} of {order_id} are missing")
