"""Rules between an order and what was on offer: its show as it was on air, its listings at the prices they had.

All of it is known at the order's position, for shows and listings stand in the journal before their orders.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from domain.listing import LISTING
from domain.listing.events import UnitsReserved
from domain.listing.offer import Phase
from domain.listing.state import Listing, Offer
from domain.order.events import Line, OrderPlaced
from domain.record import Record
from domain.stream import STREAM
from domain.stream.state import Stream
from projections.breach import BreachError


class OfferRules:
    """Takes orders in order of their positions; ``BreachError`` where nobody had offered what was sold."""

    def __init__(self, resident: Mapping[str, tuple[int, Any]]) -> None:
        """``resident`` has the versions and states of all shows and listings."""
        self._resident = resident

    def reserved(self, record: Record, event: UnitsReserved, listing: Listing) -> None:
        """Hold units that a listing gives against its list price and its limits."""
        if event.list_price_minor != listing.offer.price_minor:
            found = f"{event.reservation_id} has list price {event.list_price_minor}, not {listing.offer.price_minor}"
            raise BreachError(record.position, "offer", found)
        if _over_limits(event, listing):
            given = f"{record.history_id} or {event.discount_id} gives"
            found = f"{event.reservation_id} of {event.buyer_id} is more than {given}"
            raise BreachError(record.position, "offer", found)

    def ordered(self, record: Record, event: OrderPlaced) -> None:
        """Hold a new order, whose lines are reserved, against its show and its listings."""
        self._on_air(record, event)
        looks: dict[str, list[Line]] = {}
        for line in event.lines:
            if line.look_id is None:
                self._priced(record, event, line)
            else:
                looks.setdefault(line.look_id, []).append(line)
        for look_id, lines in looks.items():
            self._shared(record, event, look_id, lines)

    def _on_air(self, record: Record, event: OrderPlaced) -> None:
        show: Stream = self._resident.get(event.stream_id, (0, STREAM.initial))[1]
        at = event.placed_at
        if not show.sells(at):
            raise BreachError(record.position, "offer", f"{event.stream_id} sold nothing when {record.history_id} came")
        said = (event.host_id, event.terms_version, event.currency)
        true = (show.on_air, show.terms_at(at).version, show.currency)
        if said != true:
            found = f"{record.history_id} names host, terms and currency {said}, its show has {true}"
            raise BreachError(record.position, "offer", found)

    def _priced(self, record: Record, event: OrderPlaced, line: Line) -> None:
        """Hold a unit's price against its listing or its discount."""
        listing: Listing = self._resident[line.listing_id][1]
        offer = listing.offer
        price_minor = offer.price_minor
        if line.discount_id is not None:
            price_minor = _discounted(offer, line.discount_id, event.placed_at)
        if line.unit_price_minor != price_minor or line.amount_minor != price_minor * line.quantity:
            self._refuse(record, line.listing_id, line.quantity, line.amount_minor)
        self._on_sale(record, event, line.listing_id, listing)

    def _shared(self, record: Record, event: OrderPlaced, look_id: str, lines: list[Line]) -> None:
        """Hold whole looks against their price; their discounts have no limits, so the best of them applied."""
        look: Listing = self._resident.get(look_id, (0, LISTING.initial))[1]
        parts = {part.listing_id: part.quantity for part in look.offer.components}
        units = Counter[str]()
        for line in lines:
            units[line.listing_id] += line.quantity
        looks = units.total() // (sum(parts.values()) or 1)
        amount_minor = sum([line.amount_minor for line in lines])
        price_minor = look.quote(event.placed_at, event.buyer_id, looks).unit_price_minor
        whole = units == {each: quantity * looks for each, quantity in parts.items()}
        if not whole or amount_minor != price_minor * looks:
            self._refuse(record, look_id, units.total(), amount_minor)
        self._on_sale(record, event, look_id, look)

    @staticmethod
    def _on_sale(record: Record, event: OrderPlaced, listing_id: str, listing: Listing) -> None:
        """Hold a listing against the show of the order, and the order against the listing's window."""
        offer, window = listing.offer, listing.window
        if offer.stream_id != event.stream_id or offer.currency != event.currency:
            raise BreachError(record.position, "offer", f"{listing_id} is not of {event.stream_id} or its currency")
        if window is None or window.phase(event.placed_at) is not Phase.OPEN:
            found = f"{record.history_id} was placed when the window of {listing_id} was not open"
            raise BreachError(record.position, "offer", found)

    @staticmethod
    def _refuse(record: Record, listing_id: str, quantity: int, amount_minor: int) -> None:
        found = f"{record.history_id} has {quantity} units of {listing_id} at {amount_minor}, which was not the offer"
        raise BreachError(record.position, "offer", found)


def _over_limits(event: UnitsReserved, listing: Listing) -> bool:
    """Tell whether a buyer has more than the listing or the discount gives to one, or all have more than it gives."""
    limit, discount_id, buyer_id = listing.offer.purchase_limit, event.discount_id, event.buyer_id
    over = limit is not None and listing.book.bought.get(buyer_id, 0) > limit
    if discount_id is not None:
        used, by_buyer = (listing.discounted.get(key, 0) for key in (discount_id, f"{discount_id}/{buyer_id}"))
        for each in listing.offer.discounts:
            if each.discount_id == discount_id:
                total, one = each.total_limit, each.per_buyer_limit
                over = over or (total is not None and used > total) or (one is not None and by_buyer > one)
    return over


def _discounted(offer: Offer, discount_id: str, at: datetime) -> int:
    """Return the price at a discount that runs; -1, which nothing costs, when there is none."""
    running = (each for each in offer.discounts if each.discount_id == discount_id and each.runs(at))
    return next((each.price(offer.price_minor) for each in running), -1)
