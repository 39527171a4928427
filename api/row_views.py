"""What clients are told by lists and read models; each says the position that it is true at."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from api.views import ComponentView, DiscountView, MoneyView, WindowView


class StreamRowView(Struct, frozen=True):
    """A show in a list."""

    stream_id: str
    status: str
    title: str
    host_id: str
    brand_id: str
    currency: str
    scheduled_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    on_air: str
    pins: tuple[str, ...]
    views: int


class StreamsView(Struct, frozen=True):
    """A page of shows."""

    as_of_position: int
    streams: list[StreamRowView]
    next_cursor: str | None


class OrderRowView(Struct, frozen=True):
    """An order in a list; refused ones too, with their reason."""

    order_id: str
    stream_id: str
    buyer_id: str
    status: str
    units: int
    total: MoneyView | None
    captured_minor: int
    refunded_minor: int
    orphaned_minor: int
    placed_at: datetime
    reason: str


class OrdersView(Struct, frozen=True):
    """A page of orders."""

    as_of_position: int
    orders: list[OrderRowView]
    next_cursor: str | None


class StockLineView(Struct, frozen=True):
    """What is left of a listing, what it costs and when it sells. A look's units are those of its components."""

    listing_id: str
    sku: str
    title: str
    status: str
    price: MoneyView
    window: WindowView | None
    allotted: int
    available: int
    reserved: int
    committed: int
    shipped: int
    unavailable: int
    returned_to_source: int
    purchase_limit: int | None
    discounts: list[DiscountView]
    components: list[ComponentView]


class StockView(Struct, frozen=True):
    """The stock of a show; ``server_now`` lets a page run an honest countdown."""

    stream_id: str
    as_of_position: int
    server_now: datetime
    listings: list[StockLineView]


class StandingView(Struct, frozen=True):
    """A place on a board: what was sold is ``units + returned_units`` for ``gmv_minor``, before anything came back."""

    rank: int
    subject_id: str
    units: int
    returned_units: int
    gmv_minor: int
    refunded_minor: int
    net_gmv_minor: int
    gpm_minor: int | None
    reached_position: int


class BoardView(Struct, frozen=True):
    """A leaderboard: what it ranks by, of which show, as of where."""

    stream_id: str
    board: str
    metric: str
    window: str
    currency: str
    views: int | None
    as_of_position: int
    standings: list[StandingView]
    next_cursor: str | None


class PayoutView(Struct, frozen=True):
    """What a payee is owed in a currency: ``pending + payable + paid = accrued - reversed``."""

    payee_id: str
    currency: str
    pending_minor: int
    payable_minor: int
    paid_minor: int
    accrued_minor: int
    reversed_minor: int
    as_of_position: int


class CommissionView(Struct, frozen=True):
    """What an order line earns a payee."""

    commission_id: str
    order_id: str
    line_id: str
    stream_id: str
    payee_id: str
    instrument: str
    currency: str
    rate_bps: int
    base_minor: int
    remaining_base_minor: int
    accrued_minor: int
    amount_minor: int
    status: str
    locks_at: datetime | None


class CommissionsView(Struct, frozen=True):
    """A page of commissions."""

    as_of_position: int
    commissions: list[CommissionView]
    next_cursor: str | None


class RecordView(Struct, frozen=True):
    """A record of the journal, as it is stored."""

    position: int
    topic: str
    history_id: str
    version: int
    recorded_at: datetime
    data: dict[str, Any]
    metadata: dict[str, Any]


class JournalView(Struct, frozen=True):
    """Records in order; ``next_after`` is where the next page starts, null at the end."""

    head: int
    records: list[RecordView]
    next_after: int | None
