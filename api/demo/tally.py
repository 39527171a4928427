"""What the shop answered while the shows ran, added up as it was said."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field


@define
class HostTally:
    """What came of a host's shows."""

    shows: int = 0
    orders_paid: int = 0
    orders_refused: int = 0
    units_paid: int = 0
    gmv_minor: int = 0
    units_returned: int = 0
    refunds_minor: int = 0


@define
class Tally:
    """The sums of all answers."""

    hosts: dict[str, HostTally] = field(factory=dict)
    listings: int = 0
    orders_placed: int = 0
    units_unmatched: int = 0
    refusals: Counter[str] = field(factory=Counter)
    selling_seconds: float = 0.0

    def of(self, host_id: str) -> HostTally:
        """Return the sums of a host."""
        return self.hosts.setdefault(host_id, HostTally())

    def total(self, name: str) -> int:
        """Return a sum over all hosts."""
        return sum(int(getattr(host, name)) for host in self.hosts.values())

    def refused(self, host_id: str, reason: str) -> None:
        """Note an order that the shop refused."""
        self.of(host_id).orders_refused += 1
        self.refusals[reason] += 1

    def paid(self, host_id: str, quantities: Iterable[int], amount_minor: int) -> None:
        """Note an order that was paid."""
        host = self.of(host_id)
        host.orders_paid += 1
        host.units_paid += sum(quantities)
        host.gmv_minor += amount_minor


@define
class Payee:
    """What a payee was booked, and what was taken back."""

    accrued_minor: int = 0
    reversed_minor: int = 0


@define
class Closing:
    """How the books stand when all that follows from the shows is done."""

    position: int
    payees: Mapping[str, Payee]
    boards: Mapping[str, Mapping[str, Any]]
    """Each host's sums on the leaderboards of its shows."""

    def agrees(self, tally: Tally) -> bool:
        """Whether the read models say the same as the answers did."""
        return all(
            self.boards.get(host_id, {})
            == {
                "units": host.units_paid - host.units_returned,
                "returned_units": host.units_returned,
                "gmv_minor": host.gmv_minor,
                "refunded_minor": host.refunds_minor,
            }
            for host_id, host in tally.hosts.items()
            if host.orders_paid
        )
