"""Why a listing says no. The shop fills in which listing it was."""

from datetime import datetime

from domain.refusal import Refusal, refusal


@refusal
class SoldOut(Refusal):
    """Fewer units are left than were asked for."""

    listing_id: str
    available: int


@refusal
class WindowNotOpen(Refusal):
    """The window has not opened."""

    listing_id: str
    opens_at: datetime | None


@refusal
class WindowIsClosed(Refusal, name="window_closed"):
    """The window is over."""

    listing_id: str
    closed_at: datetime | None


@refusal
class PurchaseLimitExceeded(Refusal):
    """One buyer may not have that many; what is held counts as well as what is bought."""

    listing_id: str
    limit: int
    held: int


@refusal
class PriceChanged(Refusal):
    """The buyer saw another price than the one of now."""

    listing_id: str
    seen: int
    now: int


@refusal
class ListingIsWithdrawn(Refusal, name="listing_withdrawn"):
    """The product is out of the show."""

    listing_id: str


@refusal
class PriceMayNotRise(Refusal):
    """The countdown has begun: what viewers saw may only get cheaper until the window closes."""

    now: int


@refusal
class HoldExpired(Refusal):
    """The hold on the units is over."""

    until: datetime | None


@refusal
class StockIsPromised(Refusal):
    """Units that are held or sold cannot be taken away unless forced."""

    available: int
    promised: int
