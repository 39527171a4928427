"""How events are written: stored names that never change, and JSON.

A topic names the aggregate, the event and the version of its fields: ``listing.units_reserved.v1``. It is written out
here and never derived from a class, so code may be renamed and moved. Fields are only ever added, with a default. An
event whose fields must change otherwise gets the next version and an upcast from the old one; every topic ever
written has a sample in ``tests/golden`` that must load for ever.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from domain import presence
from domain.commission import facts as c
from domain.listing import events as li
from domain.order import events as o
from domain.record import Metadata, UnreadableError
from domain.stream import events as s

TOPICS: Final[dict[str, type]] = {
    "stream.stream_scheduled.v1": s.StreamScheduled,
    "stream.stream_rescheduled.v1": s.StreamRescheduled,
    "stream.teaser_published.v1": s.TeaserPublished,
    "stream.terms_agreed.v1": s.TermsAgreed,
    "stream.co_host_joined.v1": s.CoHostJoined,
    "stream.co_host_left.v1": s.CoHostLeft,
    "stream.stream_started.v1": s.StreamStarted,
    "stream.segment_started.v1": s.SegmentStarted,
    "stream.listing_pinned.v1": s.ListingPinned,
    "stream.listing_unpinned.v1": s.ListingUnpinned,
    "stream.stream_interrupted.v1": s.StreamInterrupted,
    "stream.stream_resumed.v1": s.StreamResumed,
    "stream.stream_ended.v1": s.StreamEnded,
    "stream.stream_restarted.v1": s.StreamRestarted,
    "stream.stream_cancelled.v1": s.StreamCancelled,
    "stream.audience_sampled.v1": s.AudienceSampled,
    "presence.host_went_on_air.v1": presence.HostWentOnAir,
    "presence.host_went_off_air.v1": presence.HostWentOffAir,
    "listing.listing_created.v1": li.ListingCreated,
    "listing.stock_allotted.v1": li.StockAllotted,
    "listing.allotment_returned.v1": li.AllotmentReturned,
    "listing.stock_adjusted.v1": li.StockAdjusted,
    "listing.oversell_declared.v1": li.OversellDeclared,
    "listing.oversell_covered.v1": li.OversellCovered,
    "listing.price_set.v1": li.PriceSet,
    "listing.purchase_limit_set.v1": li.PurchaseLimitSet,
    "listing.window_scheduled.v1": li.WindowScheduled,
    "listing.countdown_started.v1": li.CountdownStarted,
    "listing.window_opened.v1": li.WindowOpened,
    "listing.window_extended.v1": li.WindowExtended,
    "listing.window_closed.v1": li.WindowClosed,
    "listing.discount_scheduled.v1": li.DiscountScheduled,
    "listing.discount_ended.v1": li.DiscountEnded,
    "listing.units_reserved.v1": li.UnitsReserved,
    "listing.units_released.v1": li.UnitsReleased,
    "listing.units_committed.v1": li.UnitsCommitted,
    "listing.units_shipped.v1": li.UnitsShipped,
    "listing.units_returned.v1": li.UnitsReturned,
    "listing.listing_sold_out.v1": li.ListingSoldOut,
    "listing.listing_back_in_stock.v1": li.ListingBackInStock,
    "listing.listing_withdrawn.v1": li.ListingWithdrawn,
    "order.order_placed.v1": o.OrderPlaced,
    "order.order_refused.v1": o.OrderRefused,
    "order.payment_requested.v1": o.PaymentRequested,
    "order.payment_captured.v1": o.PaymentCaptured,
    "order.payment_failed.v1": o.PaymentFailed,
    "order.payment_orphaned.v1": o.PaymentOrphaned,
    "order.order_expired.v1": o.OrderExpired,
    "order.order_cancelled.v1": o.OrderCancelled,
    "order.line_cancelled.v1": o.LineCancelled,
    "order.order_shipped.v1": o.OrderShipped,
    "order.order_delivered.v1": o.OrderDelivered,
    "order.return_requested.v1": o.ReturnRequested,
    "order.return_received.v1": o.ReturnReceived,
    "order.refund_issued.v1": o.RefundIssued,
    "order.return_window_closed.v1": o.ReturnWindowClosed,
    "order.order_completed.v1": o.OrderCompleted,
    "order.request_refused.v1": o.RequestRefused,
    "commission.commission_accrued.v1": c.CommissionAccrued,
    "commission.commission_excluded.v1": c.CommissionExcluded,
    "commission.commission_qualified.v1": c.CommissionQualified,
    "commission.commission_locked.v1": c.CommissionLocked,
    "commission.commission_reversed.v1": c.CommissionReversed,
    "commission.commission_adjusted.v1": c.CommissionAdjusted,
    "commission.commission_held.v1": c.CommissionHeld,
    "commission.commission_hold_released.v1": c.CommissionHoldReleased,
}

RESERVED: Final = (
    "listing.waitlist_joined", "listing.waitlist_offered", "listing.waitlist_offer_lapsed", "order.chargeback_opened",
    "order.chargeback_won", "order.chargeback_lost", "commission.commission_reinstated",
    "commission.commission_stated", "commission.commission_paid", "commission.clawback_raised",
    "commission.clawback_netted", "commission.slot_fee_accrued", "commission.tier_bonus_accrued",
    "commission.tier_bonus_reversed",
)  # fmt: skip
"""Names of facts that are decided on but not written yet; nothing else may take them."""

UPCASTS: Final[dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]]] = {}
"""Old topic → the topic that replaces it, and how its fields are rewritten."""


class JsonWire:
    """The wire of every journal: attrs events as JSON, by topic."""

    def __init__(self) -> None:
        """Prepare a decoder a topic, once."""
        self._topics = {event: topic for topic, event in TOPICS.items()}
        self._encode = msgspec.json.Encoder().encode
        self._decode: dict[str, Callable[[bytes], Any]] = {
            topic: msgspec.json.Decoder(event).decode for topic, event in TOPICS.items()
        }
        self._decode_metadata = msgspec.json.Decoder(Metadata).decode

    def encode(self, event: object) -> tuple[str, bytes]:
        """Return the topic and the state of an event."""
        return self._topics[type(event)], self._encode(event)

    def decode(self, topic: str, state: bytes) -> Any:
        """Return the event of a record; ``UnreadableError`` when the topic is unknown or the state does not fit."""
        decode = self._decode.get(topic)
        try:
            return decode(state) if decode else self._upcast(topic, state)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableError(f"a record of topic {topic} cannot be read: {error}") from error

    def encode_metadata(self, metadata: Metadata) -> bytes:
        """Write an envelope."""
        return self._encode(metadata)

    def decode_metadata(self, metadata: bytes) -> Metadata:
        """Read an envelope."""
        try:
            return self._decode_metadata(metadata)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableError(f"an envelope cannot be read: {error}") from error

    def _upcast(self, topic: str, state: bytes) -> Any:
        """Rewrite a record of an older version step by step, and read it as the newest."""
        if topic not in UPCASTS:
            raise UnreadableError(f"the topic {topic} is unknown: was it written by a newer livetill?")
        newer, rewrite = UPCASTS[topic]
        try:
            rewritten = rewrite(msgspec.json.decode(state))
        except (LookupError, TypeError, ValueError) as error:
            raise UnreadableError(f"a record of topic {topic} does not fit its upcast: {error!r}") from error
        return self.decode(newer, self._encode(rewritten))
