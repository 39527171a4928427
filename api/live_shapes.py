"""What viewers are shown, as JSON will have it: listings, the show, places on boards.

Money is ``{amount_minor, currency}``. Nothing of a buyer leaves the house here but the pseudonym that the boards rank.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.views import component_views, discount_views, window_view
from domain.listing.offer import best_quote
from projections.leaderboards import StandingRow
from projections.live_stock import StockRow
from projections.streams import StreamRow

Shape = dict[str, Any]


def money(amount_minor: int, currency: str) -> Shape:
    """Return an amount with its currency."""
    return {"amount_minor": amount_minor, "currency": currency}


def listing_shape(row: StockRow, available: int, now: datetime) -> Shape:
    """Show a listing as it stands at an instant, with the same members as where stock is asked for, and a quote."""
    return {
        "listing_id": row.listing_id,
        "sku": row.sku,
        "title": row.title,
        "status": row.status(now),
        "price": money(row.price_minor, row.currency),
        "quote": quote_shape(row, now),
        "window": window_view(row.window, now),
        "allotted": row.allotted,
        "available": available,
        "reserved": row.reserved,
        "committed": row.committed,
        "shipped": row.shipped,
        "unavailable": row.unavailable,
        "returned_to_source": row.returned_to_source,
        "purchase_limit": row.purchase_limit,
        "discounts": discount_views(row.discounts),
        "components": component_views(row.components),
    }


def quote_shape(row: StockRow, now: datetime) -> Shape:
    """Show what a unit costs at an instant, for a buyer whom no discount's limit keeps out."""
    quote = best_quote(row.price_minor, row.discounts, now, lambda _: True)
    return {**money(quote.unit_price_minor, row.currency), "discount_id": quote.discount_id}


def stream_shape(row: StreamRow) -> Shape:
    """Show a show: who sells, and whether it is on."""
    return {
        "stream_id": row.stream_id,
        "title": row.title,
        "host_id": row.host_id,
        "on_air": row.on_air,
        "status": row.status,
        "currency": row.currency,
        "scheduled_at": row.scheduled_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "segment_listing_id": row.segment_listing_id,
        "views": row.views,
    }


def place_shape(rank: int, row: StandingRow, currency: str, listing: Mapping[str, Any] | None) -> Shape:
    """Show a place on a board, with the name of what is ranked when it is a listing."""
    named = {} if listing is None else {"sku": listing["sku"], "title": listing["title"]}
    gmv = money(row.gmv_minor, currency)
    units = {"units": row.units, "returned_units": row.returned_units}
    return {"rank": rank, "subject_id": row.subject_id, **named, **units, "gmv": gmv}
