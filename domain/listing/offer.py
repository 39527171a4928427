"""What a listing is sold for and when: windows, prices and discounts as values.

Intervals are half-open: a window accepts iff ``opens_at <= now < closes_at``. The recorded times decide; what timers
write is a notification. A price may fall at any time but not rise once the countdown has begun.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

from domain.ids import ListingId
from domain.money import BPS, MAX_MINOR, percent
from domain.refusal import Invalid
from domain.values import frozen


class Phase(StrEnum):
    """Where a window stands at an instant."""

    SCHEDULED = "scheduled"
    COUNTDOWN = "countdown"
    OPEN = "open"
    CLOSED = "closed"


@frozen
class Window:
    """One period of sale; a listing's next window has the next number."""

    number: int
    opens_at: datetime
    closes_at: datetime | None
    """None: until it is closed by hand or the show ends."""
    countdown_seconds: int = 0
    announced: Phase = Phase.SCHEDULED
    """The last phase that was recorded."""

    @property
    def counts_down_from(self) -> datetime:
        """The instant from which viewers see the countdown and the price may not rise."""
        return self.opens_at - timedelta(seconds=self.countdown_seconds)

    def phase(self, now: datetime) -> Phase:
        """Judge the recorded times at an instant."""
        if self.announced is Phase.CLOSED or (self.closes_at is not None and now >= self.closes_at):
            return Phase.CLOSED
        if now >= self.opens_at:
            return Phase.OPEN
        return Phase.COUNTDOWN if now >= self.counts_down_from else Phase.SCHEDULED


@frozen
class Component:
    """A listing and how many of it are part of one look."""

    listing_id: ListingId
    quantity: int


@frozen
class Discount:
    """A lower price for a while: a percent off, or a fixed price."""

    discount_id: str
    starts_at: datetime
    ends_at: datetime
    percent_bps: int | None = None
    price_minor: int | None = None
    total_limit: int | None = None
    """Units that may be sold at it in all."""
    per_buyer_limit: int | None = None

    def price(self, list_price_minor: int) -> int:
        """Return the discounted unit price, never above the list price."""
        if self.price_minor is not None:
            return min(self.price_minor, list_price_minor)
        return list_price_minor - percent(list_price_minor, self.percent_bps or 0)

    def runs(self, now: datetime) -> bool:
        """Whether the discount's own window is open."""
        return self.starts_at <= now < self.ends_at


@frozen
class Quote:
    """The price of a unit for one buyer at one instant."""

    unit_price_minor: int
    discount_id: str | None = None


def best_quote(
    list_price_minor: int,
    discounts: tuple[Discount, ...],
    now: datetime,
    room: Callable[[Discount], bool],
) -> Quote:
    """Return the lowest price on offer; discounts do not stack, and one must have room for the whole demand."""
    offers = [
        Quote(each.price(list_price_minor), each.discount_id) for each in discounts if each.runs(now) and room(each)
    ]
    return min(offers, key=lambda quote: quote.unit_price_minor, default=Quote(list_price_minor))


def require_price(amount_minor: int, field: str = "price.amount_minor") -> None:
    """Refuse amounts that no till could ring up."""
    if not 0 <= amount_minor <= MAX_MINOR:
        raise Invalid(field, f"must be between 0 and {MAX_MINOR}")


def require_period(opens_at: datetime, closes_at: datetime | None, countdown_seconds: int) -> None:
    """Refuse a window that is empty or counts down from before time."""
    if closes_at is not None and closes_at <= opens_at:
        raise Invalid("closes_at", "must be later than opens_at")
    if countdown_seconds < 0:
        raise Invalid("countdown_seconds", "must not be negative")


def require_discount(discount: Discount) -> None:
    """Refuse a discount that is neither a percent nor a price, or both, or has no time."""
    if (discount.percent_bps is None) == (discount.price_minor is None):
        raise Invalid("discount", "needs either percent_bps or price_minor")
    if discount.percent_bps is not None and not 0 < discount.percent_bps <= BPS:
        raise Invalid("discount.percent_bps", f"must be between 1 and {BPS}")
    if discount.price_minor is not None:
        require_price(discount.price_minor, "discount.price_minor")
    if discount.ends_at <= discount.starts_at:
        raise Invalid("discount.ends_at", "must be later than starts_at")
    for name in ("total_limit", "per_buyer_limit"):
        limit = getattr(discount, name)
        if limit is not None and limit <= 0:
            raise Invalid(f"discount.{name}", "must be positive")
