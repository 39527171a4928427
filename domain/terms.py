"""What a host is promised: a commission's terms, agreed on a stream and never re-resolved from today's rates.

Terms are versioned values. A raise applies at once; a cut applies after its notice, so nobody who is on air finds
less than was agreed; a smaller share and longer hold days are cuts as a lower rate is. Terms that only soften a cut
which is still to come apply from that cut's day on. The terms of a sale are those in force when its units were
reserved.
"""

from collections.abc import Sequence
from datetime import datetime

from domain.ids import PSEUDONYM, HostId, PayeeId
from domain.money import BPS
from domain.refusal import Invalid
from domain.values import frozen

MAX_HOLD_DAYS = 3650
MAX_SHARES = 20


@frozen
class Share:
    """A payee's part of a commission, in basis points of it."""

    payee_id: PayeeId
    share_bps: int


@frozen
class Terms:
    """A percent of the net price; without shares all of it goes to the host on air."""

    rate_bps: int
    hold_days: int
    """Days after delivery in which the buyer may return the goods and the commission stays pending."""
    shares: tuple[Share, ...] = ()

    def shares_for(self, host_id: HostId) -> tuple[Share, ...]:
        """Return who is paid when ``host_id`` made the sale."""
        return self.shares or (Share(host_id, BPS),)


def is_cut(old: Terms, new: Terms, host_ids: Sequence[HostId]) -> bool:
    """Tell whether somebody would get less of the price or get it later, whichever of the hosts makes the sale."""
    return new.hold_days > old.hold_days or any(
        new.rate_bps * _share_of(share.payee_id, new, host_id) < old.rate_bps * share.share_bps
        for host_id in host_ids
        for share in old.shares_for(host_id)
    )


def _share_of(payee_id: PayeeId, terms: Terms, host_id: HostId) -> int:
    return sum(share.share_bps for share in terms.shares_for(host_id) if share.payee_id == payee_id)


@frozen
class AgreedTerms:
    """Terms with their place in the agreement's history."""

    version: int
    effective_at: datetime
    terms: Terms


def require_valid(terms: Terms) -> None:
    """Refuse terms that could not be paid out: a rate beyond 100 %, shares that do not sum to the whole."""
    if not 0 <= terms.rate_bps <= BPS:
        raise Invalid("terms.rate_bps", f"must be between 0 and {BPS}")
    if not 0 <= terms.hold_days <= MAX_HOLD_DAYS:
        raise Invalid("terms.hold_days", f"must be between 0 and {MAX_HOLD_DAYS}")
    payees = [share.payee_id for share in terms.shares]
    if len(payees) > MAX_SHARES or len(set(payees)) != len(payees):
        raise Invalid("terms.shares", f"must name each payee once, {MAX_SHARES} at most")
    if not all(PSEUDONYM.fullmatch(payee) for payee in payees):
        raise Invalid("terms.shares.payee_id", "must be 1 to 64 letters, digits, _ or -")
    if any(share.share_bps <= 0 for share in terms.shares):
        raise Invalid("terms.shares.share_bps", "must be positive")
    if terms.shares and sum(share.share_bps for share in terms.shares) != BPS:
        raise Invalid("terms.shares", f"share_bps must sum to {BPS}")


def in_force(agreed: Sequence[AgreedTerms], at: datetime) -> AgreedTerms:
    """Return the newest terms that are effective at an instant; the first ones when none is yet."""
    for each in reversed(agreed):
        if each.effective_at <= at:
            return each
    return agreed[0]
