"""What clients ask by query string: as of when, which page, of whom."""

from typing import Annotated, Literal

from msgspec import Meta

from api.fields import (
    END,
    Body,
    Currency,
    Name,
    OrderName,
    StreamName,
    worded,
)
from domain.money import MAX_MINOR

CURSOR = worded(r"^[A-Za-z0-9_-]{1,512}" + END, "must be the next_cursor of the page before")
MOMENT = worded(r"^[0-9TZtz:.+ -]+" + END, "must be a position or a time in RFC 3339")

Limit = Annotated[int, Meta(ge=1, le=500)]
Cursor = Annotated[str, Meta(pattern=CURSOR, max_length=512)]
Position = Annotated[int, Meta(ge=0, le=MAX_MINOR)]
AsOf = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        pattern=MOMENT,
        description="A position of the journal, or a time in RFC 3339: the answer as it was then.",
        examples=["42", "2030-06-01T20:00:00Z"],
    ),
]
MinPosition = Annotated[
    int,
    Meta(ge=0, le=MAX_MINOR, description="A position that the answer must know of; waits up to 5 seconds for it."),
]


class ReadQuery(Body, frozen=True):
    """When the answer is to be of."""

    as_of: AsOf | None = None
    min_position: MinPosition = 0


class PageQuery(ReadQuery, frozen=True):
    """Which part of a long answer."""

    limit: Limit = 100
    cursor: Cursor | None = None


class StreamsQuery(PageQuery, frozen=True):
    """Which shows."""

    status: Literal["all", "running", "scheduled", "live", "interrupted", "ended", "cancelled"] = "all"


class OrdersQuery(PageQuery, frozen=True):
    """Whose orders, or of which show."""

    stream_id: StreamName | None = None
    buyer_id: Name | None = None


class BoardQuery(ReadQuery, frozen=True):
    """What the board ranks by; units without a word."""

    metric: Literal["units", "gmv", "net_gmv", "gpm"] = "units"
    limit: Limit = 10
    cursor: Cursor | None = None


class PayoutQuery(ReadQuery, frozen=True, kw_only=True):
    """Whose payouts, in which currency."""

    payee_id: Name
    currency: Currency


class CommissionsQuery(PageQuery, frozen=True):
    """Of which order, or of whom."""

    order_id: OrderName | None = None
    payee_id: Name | None = None


class JournalQuery(Body, frozen=True):
    """Records after a position."""

    after: Position = 0
    limit: Limit = 100
