"""Live stock: where the units of every listing are, what it costs and when it sells. What viewers look at.

A look (a listing made of components) has no units of its own; what is left of it is computed when it is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import define

from domain.ids import ListingId
from domain.listing import events as e
from domain.listing.offer import Component, Discount, Phase, Window
from projections.projection import Fact, Projection, change, put
from projections.tables import Key, Table


@define
class StockRow:
    """A listing's stock, offer and window."""

    listing_id: ListingId
    stream_id: str
    sku: str
    title: str
    currency: str
    price_minor: int
    hold_seconds: int
    components: tuple[Component, ...]
    allotted: int = 0
    available: int = 0
    reserved: int = 0
    committed: int = 0
    shipped: int = 0
    unavailable: int = 0
    returned_to_source: int = 0
    sold_out: bool = False
    """Whether viewers were last told that nothing is left."""
    withdrawn: bool = False
    purchase_limit: int | None = None
    discounts: tuple[Discount, ...] = ()
    window_number: int = 0
    """0: no window was ever planned."""
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    countdown_seconds: int = 0
    announced: str = Phase.SCHEDULED.value
    """The last phase of the window that was recorded."""
    position: int = 0

    @property
    def sellable(self) -> int:
        """Units that may be sold, alone or in a look: none once it is withdrawn."""
        return 0 if self.withdrawn else self.available

    @property
    def window(self) -> Window | None:
        """The window as the domain knows it."""
        if not self.window_number or self.opens_at is None:
            return None
        return Window(self.window_number, self.opens_at, self.closes_at, self.countdown_seconds, Phase(self.announced))

    def status(self, now: datetime) -> str:
        """Say where the listing stands at an instant, as ``Listing.status`` does."""
        if self.withdrawn:
            return "withdrawn"
        window = self.window
        if window is None:
            return "draft"
        phase = window.phase(now)
        return "sold_out" if phase is Phase.OPEN and self.sold_out else phase.value


LIVE_STOCK = Table("live_stock", StockRow, key=("listing_id",), indexes=(("stream_id", "listing_id"),))


def available_of(row: StockRow, rows: Mapping[ListingId, StockRow]) -> int:
    """Return the units for sale; of a look, what its components allow: a component that is not known has none."""
    if not row.components:
        return row.available
    return left_of_look(row.components, lambda part: rows[part].sellable if part in rows else 0)


def left_of_look(components: Sequence[Component], left: Callable[[ListingId], int]) -> int:
    """Return how many of a look can be had: as many as the scarcest component allows, of which ``left`` tells."""
    return min(left(part.listing_id) // part.quantity for part in components)


def _created(_: Key, record: Fact, event: e.ListingCreated) -> StockRow:
    return StockRow(
        record.history_id, event.stream_id, event.sku, event.title, event.currency, event.price_minor,
        event.hold_seconds, event.components,
    )  # fmt: skip


def _allotted(row: StockRow, _: Fact, event: e.StockAllotted) -> None:
    row.allotted += event.quantity
    row.available += event.quantity


def _allotment_returned(row: StockRow, _: Fact, event: e.AllotmentReturned) -> None:
    row.available -= event.quantity
    row.returned_to_source += event.quantity


def _adjusted(row: StockRow, _: Fact, event: e.StockAdjusted) -> None:
    row.allotted += event.delta
    row.available += event.delta


def _oversell_covered(row: StockRow, _: Fact, event: e.OversellCovered) -> None:
    row.allotted -= event.quantity
    row.available -= event.quantity


def _reserved(row: StockRow, _: Fact, event: e.UnitsReserved) -> None:
    row.available -= event.quantity
    row.reserved += event.quantity


def _released(row: StockRow, _: Fact, event: e.UnitsReleased) -> None:
    row.reserved -= event.quantity
    row.available += event.quantity


def _committed(row: StockRow, _: Fact, event: e.UnitsCommitted) -> None:
    row.reserved -= event.quantity
    row.committed += event.quantity


def _shipped(row: StockRow, _: Fact, event: e.UnitsShipped) -> None:
    row.committed -= event.quantity
    row.shipped += event.quantity


def _returned(row: StockRow, _: Fact, event: e.UnitsReturned) -> None:
    source, target = event.source.value, event.target.value
    setattr(row, source, getattr(row, source) - event.quantity)
    setattr(row, target, getattr(row, target) + event.quantity)


def _sold_out(row: StockRow, _: Fact, __: Any) -> None:
    row.sold_out = True


def _back_in_stock(row: StockRow, _: Fact, __: Any) -> None:
    row.sold_out = False


def _price_set(row: StockRow, _: Fact, event: e.PriceSet) -> None:
    row.price_minor = event.price_minor


def _limit_set(row: StockRow, _: Fact, event: e.PurchaseLimitSet) -> None:
    row.purchase_limit = event.limit


def _discount_scheduled(row: StockRow, _: Fact, event: e.DiscountScheduled) -> None:
    row.discounts = (*row.discounts, event.discount)


def _discount_ended(row: StockRow, _: Fact, event: e.DiscountEnded) -> None:
    row.discounts = tuple(each for each in row.discounts if each.discount_id != event.discount_id)


def _withdrawn(row: StockRow, _: Fact, __: Any) -> None:
    row.withdrawn = True


def _window_scheduled(row: StockRow, _: Fact, event: e.WindowScheduled) -> None:
    row.window_number = event.number
    row.opens_at, row.closes_at = event.opens_at, event.closes_at
    row.countdown_seconds = event.countdown_seconds
    row.announced = Phase.SCHEDULED.value


def _countdown_started(row: StockRow, _: Fact, __: Any) -> None:
    row.announced = Phase.COUNTDOWN.value


def _window_opened(row: StockRow, _: Fact, __: Any) -> None:
    row.announced = Phase.OPEN.value


def _window_extended(row: StockRow, _: Fact, event: e.WindowExtended) -> None:
    row.closes_at = event.closes_at


def _window_closed(row: StockRow, _: Fact, event: e.WindowClosed) -> None:
    row.closes_at = event.closed_at
    row.announced = Phase.CLOSED.value


_STEPS: dict[type, Callable[[StockRow, Fact, Any], None]] = {
    e.StockAllotted: _allotted,
    e.AllotmentReturned: _allotment_returned,
    e.StockAdjusted: _adjusted,
    e.OversellCovered: _oversell_covered,
    e.UnitsReserved: _reserved,
    e.UnitsReleased: _released,
    e.UnitsCommitted: _committed,
    e.UnitsShipped: _shipped,
    e.UnitsReturned: _returned,
    e.ListingSoldOut: _sold_out,
    e.ListingBackInStock: _back_in_stock,
    e.PriceSet: _price_set,
    e.PurchaseLimitSet: _limit_set,
    e.DiscountScheduled: _discount_scheduled,
    e.DiscountEnded: _discount_ended,
    e.ListingWithdrawn: _withdrawn,
    e.WindowScheduled: _window_scheduled,
    e.CountdownStarted: _countdown_started,
    e.WindowOpened: _window_opened,
    e.WindowExtended: _window_extended,
    e.WindowClosed: _window_closed,
}

PROJECTION = Projection(
    "live_stock",
    (LIVE_STOCK,),
    {
        e.ListingCreated: put(LIVE_STOCK, _created),
        **{event: change(LIVE_STOCK, step) for event, step in _STEPS.items()},
    },
)
