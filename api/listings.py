"""Listings: products offered in a show, with their stock, price and window."""

from typing import Any

from api import access, bodies, idempotency, params
from api.answers import Answer, answer
from api.ask import Ask, Seen
from api.edge import read, write
from api.fields import utc
from api.views import ListingView, listing_view, told
from application import commands as c
from domain.listing import commands as listing
from domain.listing.offer import Component, Discount
from domain.refusal import Invalid

WITHDRAWN = ("listing_withdrawn",)
WINDOW = (*WITHDRAWN, "not_allowed_now")
STOCK = ("stock_is_promised",)


@write("/v1/streams/{stream_id:str}/listings", roles=access.SHOW_STAFF, status=201, refusals=("not_allowed_now",))
async def create_listing(ask: Ask, body: bodies.CreateListingBody) -> Answer[ListingView]:
    """Offer a product in a show that is still to end; with ``opens_at`` its window is planned at once."""
    show = await ask.stream(access.runs)
    created = listing.CreateListing(
        show.id, body.sku, body.title, body.price.currency, body.price.amount_minor, body.allotment,
        body.hold_seconds, body.purchase_limit,
        tuple(Component(each.listing_id, each.quantity) for each in body.components),
    )  # fmt: skip
    listing_id = idempotency.new_id("listing", ask.now)
    discount = None if body.discount is None else _discount(ask, body.discount)
    verdict = await ask.ring(c.CreateListing(listing_id, created, _period(body), discount))
    made = await ask.told(verdict, told(verdict, "listing"))
    view = await _view(ask, made, verdict.position)
    return answer(view, status=201, version=made.version, location=f"/v1/listings/{made.id}")


def _period(body: bodies.CreateListingBody) -> c.Period | None:
    if body.opens_at is not None:
        closes_at = None if body.closes_at is None else utc(body.closes_at)
        return c.Period(utc(body.opens_at), closes_at, body.countdown_seconds)
    if body.closes_at is not None or body.countdown_seconds:
        raise Invalid("opens_at", "is needed for closes_at and countdown_seconds; without them it is a draft")
    return None


def _discount(ask: Ask, body: bodies.DiscountBody) -> Discount:
    return body.discount(idempotency.part_id("discount", ask.command_id), ask.now)


async def _view(ask: Ask, found: Seen, position: int, as_of: int | None = None) -> ListingView:
    parts = await ask.parts(found.state, as_of)
    return listing_view(found.id, found.state, found.version, position, ask.now, parts)


async def _edit(ask: Ask, command: Any) -> Answer[ListingView]:
    """Ring up a command to a listing and answer with the listing."""
    verdict = await ask.ring(command)
    changed = await ask.told(verdict, command.target)
    return answer(await _view(ask, changed, verdict.position), version=changed.version)


async def _tell(ask: Ask, found: Seen, command: Any) -> Answer[ListingView]:
    return await _edit(ask, c.Tell(found.id, command))


def _reference(ask: Ask, given: str | None) -> str:
    """Name a stock movement, so that it is booked once."""
    return given or idempotency.part_id("movement", ask.command_id)


@write("/v1/listings/{listing_id:str}/open", roles=access.SHOW_STAFF, edits=True, refusals=WINDOW)
async def open_listing(ask: Ask, body: bodies.OpenBody) -> Answer[ListingView]:
    """Open the window now, or start the countdown to it, in a show that is still to end."""
    found = await ask.listing(access.runs)
    closes_at = None if body.closes_at is None else utc(body.closes_at)
    return await _edit(ask, c.OpenWindow(found.id, closes_at, body.countdown_seconds))


@write("/v1/listings/{listing_id:str}/close", roles=access.SHOW_STAFF, edits=True)
async def close_listing(ask: Ask) -> Answer[ListingView]:
    """Close the window; holds live to their own expiry."""
    return await _edit(ask, c.CloseWindow((await ask.listing(access.runs)).id))


@write("/v1/listings/{listing_id:str}/extend", roles=access.SHOW_STAFF, edits=True, refusals=WINDOW)
async def extend_listing(ask: Ask, body: bodies.ExtendBody) -> Answer[ListingView]:
    """Let the window close later than was said; viewers see it."""
    found = await ask.listing(access.runs)
    return await _tell(ask, found, listing.ExtendWindow(utc(body.closes_at), ask.now))


@write(
    "/v1/listings/{listing_id:str}/price", roles=access.SHOW_STAFF, edits=True,
    refusals=(*WITHDRAWN, "price_may_not_rise"),
)  # fmt: skip
async def set_price(ask: Ask, body: bodies.PriceBody) -> Answer[ListingView]:
    """Change the list price; it may fall at any time but not rise once the countdown has begun."""
    found = await ask.listing(access.runs)
    price_minor = body.price.within(found.state.offer.currency, "price")
    return await _tell(ask, found, listing.SetPrice(price_minor, ask.now))


@write(
    "/v1/listings/{listing_id:str}/discount", roles=access.SHOW_STAFF, edits=True,
    refusals=(*WITHDRAWN, "already_exists"),
)  # fmt: skip
async def schedule_discount(ask: Ask, body: bodies.DiscountBody) -> Answer[ListingView]:
    """Sell for less for a while. The best discount applies; they do not stack."""
    found = await ask.listing(access.runs)
    return await _tell(ask, found, listing.ScheduleDiscount(_discount(ask, body)))


@write("/v1/listings/{listing_id:str}/discounts/{discount_id:str}/end", roles=access.SHOW_STAFF, edits=True)
async def end_discount(ask: Ask) -> Answer[ListingView]:
    """Stop a discount before its time; units that are held keep their price."""
    found, discount_id = await ask.listing(access.runs), ask.named("discount_id")
    return await _tell(ask, found, listing.EndDiscount(discount_id))


@write("/v1/listings/{listing_id:str}/purchase-limit", roles=access.SHOW_STAFF, edits=True, refusals=WITHDRAWN)
async def set_purchase_limit(ask: Ask, body: bodies.PurchaseLimitBody) -> Answer[ListingView]:
    """Bound what one buyer may hold and buy; null for no limit."""
    return await _tell(ask, await ask.listing(access.runs), listing.SetPurchaseLimit(body.limit))


@write("/v1/listings/{listing_id:str}/withdraw", roles=access.SHOW_STAFF, edits=True)
async def withdraw_listing(ask: Ask, body: bodies.WithdrawBody) -> Answer[ListingView]:
    """Take the product out of the show for good."""
    return await _tell(ask, await ask.listing(access.runs), listing.WithdrawListing(body.reason))


@write("/v1/listings/{listing_id:str}/allot", roles=access.OWNERS, edits=True)
async def allot_stock(ask: Ask, body: bodies.AllotBody) -> Answer[ListingView]:
    """Give more units to sell; the same reference is booked once."""
    found = await ask.listing(access.owns)
    return await _tell(ask, found, listing.AllotStock(body.quantity, _reference(ask, body.reference)))


@write("/v1/listings/{listing_id:str}/return-allotment", roles=access.OWNERS, edits=True, refusals=STOCK)
async def return_allotment(ask: Ask, body: bodies.AllotBody) -> Answer[ListingView]:
    """Take units back that nobody holds."""
    found = await ask.listing(access.owns)
    return await _tell(ask, found, listing.ReturnAllotment(body.quantity, _reference(ask, body.reference), ask.now))


@write("/v1/listings/{listing_id:str}/adjust", roles=access.OWNERS, edits=True, refusals=STOCK)
async def adjust_stock(ask: Ask, body: bodies.AdjustBody) -> Answer[ListingView]:
    """Correct a count; cutting below what is promised must be forced, and says whose orders it breaks."""
    found = await ask.listing(access.owns)
    adjusted = listing.AdjustStock(body.delta, body.reason, _reference(ask, body.reference), ask.now, body.force)
    return await _tell(ask, found, adjusted)


@read("/v1/listings/{listing_id:str}", roles=None)
async def get_listing(ask: Ask, query: params.ReadQuery) -> Answer[ListingView]:
    """Return a listing, now or as of any position; its status is judged at the time of the request."""
    found, position = await ask.of(await ask.listing(), "listing", query)
    view = await _view(ask, found, position, None if query.as_of is None else position)
    return answer(view, version=found.version)


ENDPOINTS = (
    create_listing, open_listing, close_listing, extend_listing, set_price, schedule_discount, end_discount,
    set_purchase_limit, withdraw_listing, allot_stock, return_allotment, adjust_stock, get_listing,
)  # fmt: skip
