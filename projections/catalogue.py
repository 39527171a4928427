"""All read models there are."""

from typing import Final

from projections import commissions, deadlines, leaderboards, live_stock, orders, payouts, streams
from projections.projection import Projection

PROJECTIONS: Final = (
    live_stock.PROJECTION,
    leaderboards.PROJECTION,
    payouts.PROJECTION,
    commissions.PROJECTION,
    orders.PROJECTION,
    streams.PROJECTION,
    deadlines.PROJECTION,
)
NAMES: Final = tuple(each.name for each in PROJECTIONS)


class UnknownProjectionError(Exception):
    """There is no read model of that name."""


def named(*names: str) -> tuple[Projection, ...]:
    """Return read models by name, in the catalogue's order; ``UnknownProjectionError`` says which there are."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise UnknownProjectionError(f"There is no read model {unknown[0]}: choose from {', '.join(NAMES)}")
    return tuple(each for each in PROJECTIONS if each.name in names)
