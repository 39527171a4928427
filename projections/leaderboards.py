"""Leaderboards: what sells best in a show, who sells most, who buys most.

Sales count when they are paid and stop counting when they are cancelled, returned or refunded, so ranks fall as well.
Each metric remembers the position at which it took its value: of two that are equal, the one that got there first is
ahead. Views are kept beside the sums, so that sales per thousand views are computed from both and never stored.
"""

from collections.abc import Sequence
from enum import StrEnum

from attrs import define

from domain.ids import ListingId, StreamId
from domain.listing.events import UnitsCommitted, UnitsReturned
from domain.order.events import RefundIssued
from domain.stream.events import AudienceSampled
from projections.projection import Change, Fact, Projection, Step, put
from projections.tables import Key, Table


class Board(StrEnum):
    """Who is ranked."""

    LISTINGS = "listings"
    HOSTS = "hosts"
    BUYERS = "buyers"


@define
class StandingRow:
    """What one listing, host or buyer has sold or bought in one show, in the show's currency."""

    stream_id: StreamId
    board: str
    subject_id: str
    units: int = 0
    """Paid, without what was cancelled or returned."""
    units_reached: int = 0
    """The position at which ``units`` took its value."""
    returned_units: int = 0
    """Paid, and then cancelled or returned: with ``units`` all that was ever sold."""
    gmv_minor: int = 0
    """Paid, with what was given back later."""
    gmv_reached: int = 0
    refunded_minor: int = 0
    net_gmv_minor: int = 0
    """Paid, without what was given back."""
    net_gmv_reached: int = 0
    position: int = 0


@define
class AudienceRow:
    """How often a show was viewed since its start, as last sampled."""

    stream_id: StreamId
    views: int
    position: int = 0


STANDINGS = Table("leaderboards", StandingRow, key=("stream_id", "board", "subject_id"))
AUDIENCES = Table("leaderboard_audiences", AudienceRow, key=("stream_id",), projection="leaderboards")

_LISTINGS, _HOSTS, _BUYERS = Board.LISTINGS.value, Board.HOSTS.value, Board.BUYERS.value


def _committed(record: Fact, event: UnitsCommitted) -> Sequence[Change]:
    return _on_boards(event, record.history_id, _sold)


def _came_back(record: Fact, event: UnitsReturned) -> Sequence[Change]:
    return _on_boards(event, record.history_id, _unsold)


def _refunded(_: Fact, event: RefundIssued) -> Sequence[Change]:
    """Spread a refund over its lines; one of an orphaned payment has none, for nothing was sold."""
    return [
        change
        for allocation in event.allocations
        for change in _on_boards(event, allocation.listing_id, _given_back(allocation.amount_minor))
    ]


def _on_boards(
    event: UnitsCommitted | UnitsReturned | RefundIssued, listing_id: ListingId, step: Step
) -> Sequence[Change]:
    stream_id = event.stream_id
    return (
        (STANDINGS, (stream_id, _LISTINGS, listing_id), _begun, step),
        (STANDINGS, (stream_id, _HOSTS, event.host_id), _begun, step),
        (STANDINGS, (stream_id, _BUYERS, event.buyer_id), _begun, step),
    )


def _begun(key: Key, _: Fact, __: object) -> StandingRow:
    return StandingRow(*key)


def _sold(row: StandingRow, record: Fact, event: UnitsCommitted) -> None:
    row.units += event.quantity
    row.units_reached = record.position
    if event.amount_minor:
        row.gmv_minor += event.amount_minor
        row.net_gmv_minor += event.amount_minor
        row.gmv_reached = row.net_gmv_reached = record.position


def _unsold(row: StandingRow, record: Fact, event: UnitsReturned) -> None:
    row.units -= event.quantity
    row.returned_units += event.quantity
    row.units_reached = record.position


def _given_back(amount_minor: int) -> Step:
    def step(row: StandingRow, record: Fact, _: RefundIssued) -> None:
        row.refunded_minor += amount_minor
        row.net_gmv_minor -= amount_minor
        row.net_gmv_reached = record.position

    return step


def _sampled(_: Key, record: Fact, event: AudienceSampled) -> AudienceRow:
    return AudienceRow(record.history_id, event.views)


PROJECTION = Projection(
    "leaderboards",
    (STANDINGS, AUDIENCES),
    {
        UnitsCommitted: _committed,
        UnitsReturned: _came_back,
        RefundIssued: _refunded,
        AudienceSampled: put(AUDIENCES, _sampled),
    },
)
