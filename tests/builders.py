"""Short builders of events and commands: a test names only what it is about.

All of it happens in one show on one evening: ``at(90)`` is ninety seconds into it. Every builder takes the fields of
what it builds as keywords.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from domain.commission import facts as c
from domain.commission.facts import Instrument
from domain.listing import commands as lc
from domain.listing import events as li
from domain.listing.offer import Discount
from domain.listing.units import Bucket, Disposition
from domain.order import commands as oc
from domain.order import events as o
from domain.stream import commands as sc
from domain.stream import events as s
from domain.terms import Share, Terms

T = TypeVar("T")

AIR_TIME: Final = datetime(2026, 3, 7, 20, 0, tzinfo=UTC)
"""When the show goes on air."""


def at(seconds: float) -> datetime:
    """Return an instant of the show, in seconds since it went on air; negative is before."""
    return AIR_TIME + timedelta(seconds=seconds)


def days(number: int) -> datetime:
    """Return an instant that many days after the show went on air."""
    return AIR_TIME + timedelta(days=number)


def _builds(kind: Callable[..., T], **defaults: object) -> Callable[..., T]:
    return partial(kind, **defaults)


WHO: Final = {"stream_id": "stream-1", "buyer_id": "buyer-1", "host_id": "host-1"}
HOLDER: Final = {"order_id": "order-1", "buyer_id": "buyer-1", "host_id": "host-1"}

# stream

ten_percent: Final = _builds(Terms, rate_bps=1000, hold_days=14)
schedule_stream: Final = _builds(
    sc.ScheduleStream, title="Spring looks", host_id="host-1", brand_id="brand-1", scheduled_at=AIR_TIME,
    currency="EUR", terms=ten_percent(), now=days(-7),
)  # fmt: skip
stream_scheduled: Final = _builds(
    s.StreamScheduled, title="Spring looks", host_id="host-1", brand_id="brand-1", scheduled_at=AIR_TIME,
    currency="EUR",
)  # fmt: skip
terms_agreed: Final = _builds(
    s.TermsAgreed, terms_version=1, effective_at=days(-7), rate_bps=1000, hold_days=14, shares=()
)


def scheduled_show() -> list[s.Event]:
    """Return the history of a show that is announced."""
    return [stream_scheduled(), terms_agreed()]


def live_show() -> list[s.Event]:
    """Return the history of a show that went on air."""
    return [*scheduled_show(), s.StreamStarted(AIR_TIME)]


# listing

create_listing: Final = _builds(
    lc.CreateListing, stream_id="stream-1", sku="SCARF-RED", title="Red scarf", currency="EUR", price_minor=1999,
    allotment=10, hold_seconds=600,
)  # fmt: skip
listing_created: Final = _builds(
    li.ListingCreated, stream_id="stream-1", sku="SCARF-RED", title="Red scarf", currency="EUR", price_minor=1999,
    hold_seconds=600,
)  # fmt: skip
window_scheduled: Final = _builds(li.WindowScheduled, number=1, opens_at=at(0), closes_at=at(900), countdown_seconds=60)
schedule_window: Final = _builds(
    lc.ScheduleWindow, opens_at=at(0), closes_at=at(900), countdown_seconds=60, now=at(-300)
)
discount: Final = _builds(Discount, discount_id="flash", starts_at=at(0), ends_at=at(300))
want: Final = _builds(lc.Want, reservation_id="order-1:1", quantity=1)
units_reserved: Final = _builds(
    li.UnitsReserved, reservation_id="order-1:1", **HOLDER, quantity=1, unit_price_minor=1999, list_price_minor=1999,
    amount_minor=1999, until=at(660),
)  # fmt: skip
units_committed: Final = _builds(
    li.UnitsCommitted, reservation_id="order-1:1", **HOLDER, stream_id="stream-1", quantity=1, amount_minor=1999
)
units_returned: Final = _builds(
    li.UnitsReturned, reservation_id="order-1:1", return_id="return-1", **HOLDER, stream_id="stream-1", quantity=1,
    disposition=Disposition.RESTOCK, source=Bucket.SHIPPED, target=Bucket.AVAILABLE,
)  # fmt: skip
commit_units: Final = _builds(lc.CommitUnits, reservation_id="order-1:1", now=at(120))
release_units: Final = _builds(lc.ReleaseUnits, reservation_id="order-1:1", reason="cancelled")
reacquire_units: Final = _builds(
    lc.ReacquireUnits, reservation_id="order-1:1", **HOLDER, quantity=1, unit_price_minor=1999, amount_minor=1999,
    discount_id=None, now=at(700),
)  # fmt: skip
return_units: Final = _builds(
    lc.ReturnUnits, reservation_id="order-1:1", return_id="return-1", quantity=1, disposition=Disposition.RESTOCK,
    show_is_over=False,
)  # fmt: skip
cut_stock: Final = _builds(lc.AdjustStock, delta=-1, reason="count", reference="count-1", now=at(0))


def reserve_units(*wants: lc.Want, **changes: object) -> lc.ReserveUnits:
    """Return a reservation of one line's unit a minute into the show, unless told otherwise."""
    build = _builds(lc.ReserveUnits, **HOLDER, now=at(60))
    return build(wants=wants or (want(),), **changes)


def listing_of(units: int, **created: object) -> list[li.Event]:
    """Return the history of a listing with some units and no window."""
    return [listing_created(**created), li.StockAllotted(units, "")]


def open_listing(units: int = 10, **created: object) -> list[li.Event]:
    """Return the history of a listing on sale for the first fifteen minutes of the show."""
    return [*listing_of(units, **created), window_scheduled(), li.CountdownStarted(1, at(0)), li.WindowOpened(1, at(0))]


# order


def line(number: int = 1, **changes: object) -> o.Line:
    """Return an order line for one scarf."""
    build = _builds(o.Line, listing_id=f"listing-{number}", quantity=1, unit_price_minor=1999, list_price_minor=1999)
    quantity = changes.get("quantity", 1)
    assert isinstance(quantity, int)
    return build(line_id=str(number), **{"amount_minor": 1999 * quantity, **changes})


place_order: Final = _builds(
    oc.PlaceOrder, **WHO, terms_version=1, currency="EUR", lines=(line(),), hold_expires_at=at(660), now=at(60)
)
refuse_order: Final = _builds(
    oc.RefuseOrder, stream_id="stream-1", buyer_id="buyer-1", asked=(o.AskedLine("listing-1", 1),), reason="sold_out",
    facts={"listing_id": "listing-1", "available": 0}, arrival=1001, now=at(60),
)  # fmt: skip
capture_payment: Final = _builds(oc.CapturePayment, payment_id="pay-1", amount_minor=1999, late=False, now=at(120))
orphan_payment: Final = _builds(
    oc.OrphanPayment, payment_id="pay-1", amount_minor=1999, reason="hold_expired", now=at(700)
)
payment_captured: Final = _builds(
    o.PaymentCaptured, payment_id="pay-1", amount_minor=1999, late=False, captured_at=at(120)
)
issue_refund: Final = _builds(oc.IssueRefund, refund_id="refund-1", line_id=None, amount_minor=1000, reason="goodwill")
refund_issued: Final = _builds(
    o.RefundIssued, refund_id="refund-1", payment_id="pay-1", **WHO, currency="EUR", amount_minor=1000,
    reason="goodwill", allocations=(o.Allocation("1", "listing-1", 1000),),
)  # fmt: skip
cancel_line: Final = _builds(oc.CancelLine, cancellation_id="cancel-1", line_id="1", quantity=1, now=at(180))
request_return: Final = _builds(oc.RequestReturn, return_id="return-1", line_id="1", quantity=1, now=days(5))


def order_placed(*lines: o.Line, **changes: object) -> o.OrderPlaced:
    """Return an order a minute into the show; its total is the sum of its lines."""
    lines = lines or (line(),)
    total_minor = sum(each.amount_minor for each in lines)
    build = _builds(
        o.OrderPlaced, **WHO, terms_version=1, currency="EUR", total_minor=total_minor, hold_expires_at=at(660),
        placed_at=at(60),
    )  # fmt: skip
    return build(lines=lines, **changes)


def paid_order(*lines: o.Line) -> list[o.Event]:
    """Return the history of an order whose payment was captured in time."""
    placed = order_placed(*lines)
    return [placed, payment_captured(amount_minor=placed.total_minor)]


def shipped_order(*lines: o.Line) -> list[o.Event]:
    """Return the history of an order that is on its way since the next day."""
    return [*paid_order(*lines), o.OrderShipped(days(1))]


def delivered_order(*lines: o.Line) -> list[o.Event]:
    """Return the history of an order that arrived on the third day; its return window is fourteen days."""
    return [*shipped_order(*lines), o.OrderDelivered(days(3), days(17))]


# commission

ALONE: Final = (Share("host-1", 10_000),)
THREE: Final = (Share("agency-1", 3334), Share("host-1", 3333), Share("stylist-1", 3333))

accrue: Final = _builds(
    c.AccrueCommission, order_id="order-1", line_id="1", stream_id="stream-1", buyer_id="buyer-1",
    insiders=("host-1",), payee_id="host-1", instrument=Instrument.PERCENT,
    terms_version=1, rate_bps=1000, shares=ALONE, currency="EUR", base_minor=1999,
)  # fmt: skip
accrued: Final = _builds(
    c.CommissionAccrued, order_id="order-1", line_id="1", stream_id="stream-1", payee_id="host-1",
    instrument=Instrument.PERCENT, terms_version=1, rate_bps=1000, shares=ALONE, currency="EUR", base_minor=1999,
    commission_minor=200, amount_minor=200,
)  # fmt: skip
reversed_by: Final = _builds(
    c.CommissionReversed, payee_id="host-1", currency="EUR", fund=c.Fund.PENDING, remaining_base_minor=0,
    amount_minor=200, reason="refund",
)  # fmt: skip
