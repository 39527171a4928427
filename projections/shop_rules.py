"""Rules over what the records mean: histories, units, refusals, and money in. Others have modules of their own:
``offer_rules``, ``line_rules``, ``return_rules`` and ``commission_rules``.

Every event is folded by the decider that wrote it, and after each the state must be one that the shop allows. States
of shows and listings stay in memory, for every later record may need them; what listings remember of each order goes to
the attic. Orders and commissions are many and short: the least recently used are dropped, and folded anew from the
journal if something still happens to them.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import chain
from operator import attrgetter
from typing import Any, Final, Protocol

from domain.aggregates import DECIDERS
from domain.commission import facts as c
from domain.decider import Decider
from domain.ids import PRESENCE, kind_of
from domain.listing import LISTING
from domain.listing import events as li
from domain.listing.state import Listing
from domain.order import events as o
from domain.order.state import Order
from domain.record import Metadata, Record, UnreadableError
from domain.stream.events import StreamScheduled
from domain.values import frozen
from projections.attic import Attic, units_due
from projections.breach import BreachError
from projections.commission_rules import CommissionRules
from projections.envelopes import EnvelopeRules
from projections.line_rules import LineRules
from projections.offer_rules import OfferRules
from projections.once import Once
from projections.owed import Owed, Owing
from projections.return_rules import ReturnRules
from projections.ripening import Ripening, Unripe
from projections.store import Wire

PASSING: Final = ("order", "commission")
"""Aggregates that are many, short and soon done."""
LISTINGS: Final = "listing"
BEGINNINGS: Final = frozenset({
    StreamScheduled, li.ListingCreated, o.OrderPlaced, o.OrderRefused, c.CommissionAccrued, c.CommissionExcluded,
})  # fmt: skip
"""What a history begins with and has nowhere else. Only a host may be on air again and again."""
MOMENTS: Final[Mapping[type, str]] = {
    o.OrderRefused: "ingress_at", o.PaymentRequested: "requested_at", o.PaymentCaptured: "captured_at",
    o.OrderExpired: "expired_at", o.OrderCancelled: "cancelled_at", o.OrderShipped: "shipped_at",
    o.ReturnWindowClosed: "closed_at",
}  # fmt: skip
"""What says by itself when its command came. An order's placing and delivery have rules of their own."""
KEPT_STATES: Final = 15_000
MOST_OWED: Final = 20
"""How many commissions are named."""
_Entry = tuple[int, Any]
"""Version and state."""
_Check = Callable[[Record, Metadata, Any, Any, Any], None]
"""Takes a record, its envelope and its event, and the states before and after; a listing has only the one after."""


@frozen
class _Route:
    """What is known of a topic."""

    kind: str
    """Its aggregate."""
    prefix: str
    """How ids of its histories begin."""
    decider: Decider[Any, Any, Any]
    states: dict[str, _Entry]
    """Where the states of its histories are."""
    passing: bool
    begin: Callable[[str], Any]
    """Returns the state before the first event."""


class Proofs(Protocol):
    """Compares what was written down of long histories on the way with what a walk finds there."""

    @property
    def every(self) -> int:
        """How many versions lie between two things that were written down."""

    def concern(self, history_id: str) -> bool:
        """Tell whether anything was written down of a history."""

    def take(self, record: Record, state: Any) -> None:
        """Take a state that comes to the end of a stretch, as soon as its last record is folded."""


class Histories(Protocol):
    """Where a history can be read again."""

    async def load(self, tails: Mapping[str, int]) -> Sequence[Record]:
        """Return the records of each history after the given version, by history and version."""


class ShopRules:
    """Folds records in order of their positions; ``BreachError`` at the first that breaks a rule."""

    def __init__(
        self,
        wire: Wire,
        journal: Histories,
        envelopes: EnvelopeRules,
        *,
        kept: int = KEPT_STATES,
        proofs: Proofs | None = None,
        attic: Attic | None = None,
        reacted: int = 0,
    ) -> None:
        self._decode, self._journal, self._envelopes, self._kept = wire.decode, journal, envelopes, kept
        self._proofs, self._attic = proofs, attic or Attic()
        self._resident: dict[str, _Entry] = {}
        self._passing: OrderedDict[str, _Entry] = OrderedDict()
        self._routes: dict[str, _Route] = {}
        self._short: set[str] = set()
        """Listings that lack promised units and that the current command touches."""
        self._offers = OfferRules(self._resident)
        self._lines = LineRules()
        self._left = self._lines.left
        self._returns = ReturnRules(self._resident)
        self._open = self._returns.open
        self._owing = Owing(self._attic, self._resident, reacted)
        self._ripening = Ripening(self._attic, self._owing, reacted)
        self._commissions = CommissionRules(self._resident, self._owing, self._ripening)
        self._shares = self._commissions.missing
        self._checks: dict[type, _Check] = {
            li.UnitsReserved: self._reserved,
            li.UnitsCommitted: self._lines.sold,
            li.OversellCovered: self._covered,
            o.OrderPlaced: self._placed,
            o.OrderRefused: self._refused,
            o.PaymentCaptured: self._captured,
            o.RefundIssued: self._refunded,
            o.OrderDelivered: self._ripening.delivered,
            o.OrderCompleted: self._ripening.completed,
            **self._returns.checks,
            **self._commissions.checks,
        }
        self._checks |= {kind: _timely(moment, self._checks.get(kind)) for kind, moment in MOMENTS.items()}
        self.begun = Once()
        """Passing histories, by their first record."""
        self.counts: dict[str, int] = dict.fromkeys((*DECIDERS, "refusals", "refunds"), 0)

    async def prepare(self, records: Sequence[Record]) -> None:
        """Have the states at hand that the next records change: keep the known ones, fold the dropped ones anew."""
        begun_here: set[str] = set()
        wanted: set[str] = set()
        for record in records:
            (wanted if record.version > 1 else begun_here).add(record.history_id)
        dropped = []
        for history_id in wanted - begun_here:
            if history_id in self._passing:
                self._passing.move_to_end(history_id)
            elif kind_of(history_id) in PASSING:
                dropped.append(history_id)
        if dropped:
            await self._fold_anew(sorted(dropped), records[0].position)

    async def _fold_anew(self, history_ids: Sequence[str], upto: int) -> None:
        for record in await self._journal.load(dict.fromkeys(history_ids, 0)):
            if record.position < upto:
                self._fold(record, self._route(record))

    def trim(self) -> None:
        """Drop the states that were not used for longest."""
        while len(self._passing) > self._kept:
            self._passing.popitem(last=False)
        self._attic.tidy()

    def close(self) -> None:
        """Let go of what lies on disk."""
        self.begun.close()
        self._attic.close()

    def take(self, record: Record, metadata: Metadata) -> None:
        """Fold a record and check what it leads to."""
        route = self._routes.get(record.topic)
        if route is None or not record.history_id.startswith(route.prefix):
            route = self._route(record)
        event, before, state = self._fold(record, route)
        if route.kind == LISTINGS:
            self._conserved(record, state)
            if self._proofs is not None and record.version % self._proofs.every == 0:
                self._proofs.take(record, state)
        sort, begins = type(event), record.version == 1
        if (sort in BEGINNINGS) is not begins and route.kind != PRESENCE:
            raise _unfolded(record, f"no history {'begins with' if begins else 'goes on with'} {record.topic}")
        check = self._checks.get(sort)
        if check is not None:
            try:
                check(record, metadata, event, before, state)
            except BreachError:
                raise
            except Exception as error:
                raise _unfolded(record, f"{type(error).__name__}: {error}") from error
        if begins:
            self.counts[route.kind] += 1
        if (self._left or self._open or self._short or self._shares) and self._envelopes.between_commands:
            self._end(record)

    def _end(self, record: Record) -> None:
        """Check what need only be true at the end of a command."""
        self._lines.end(record)
        self._returns.end(record)
        for listing_id in self._short:
            self._promised(record, listing_id)
        self._short.clear()
        self._commissions.end(record)

    def note(self, records: Iterable[Record]) -> None:
        """Remember which passing histories begin in some records that were taken."""
        routes = self._routes
        self.begun.note([each.history_id for each in records if each.version == 1 and routes[each.topic].passing])

    def owed(self) -> tuple[Owed | Unripe, ...]:
        """Return the first commissions that did not follow their orders."""
        left: Iterable[Owed | Unripe] = chain(self._owing.left(), self._ripening.left())
        return tuple(nsmallest(MOST_OWED, left, key=attrgetter("position", "commission_id")))

    def _route(self, record: Record) -> _Route:
        """Return what is known of a record's topic: its history must be of the same aggregate."""
        route = self._routes.get(record.topic)
        if route is None:
            kind = record.topic.partition(".")[0]
            if kind not in DECIDERS:
                raise BreachError(record.position, "readable", f"the topic {record.topic} is unknown")
            passing, decider = kind in PASSING, DECIDERS[kind]
            states = self._passing if passing else self._resident
            begin = self._begun_listing if kind == LISTINGS else lambda _: decider.initial
            route = self._routes[record.topic] = _Route(kind, f"{kind}-", decider, states, passing, begin)
        if not record.history_id.startswith(route.prefix):
            raise BreachError(record.position, "readable", f"{record.topic} stands in {record.history_id}")
        return route

    def _begun_listing(self, history_id: str) -> Listing:
        return self._attic.listing(marked=self._proofs is not None and self._proofs.concern(history_id))

    def _fold(self, record: Record, route: _Route) -> tuple[Any, Any, Any]:
        """Return the event of a record and the states before and after it."""
        history_id, version, known, decider = record.history_id, record.version, route.states, route.decider
        last, before = known.get(history_id) or (0, route.begin(history_id))
        if version != last + 1:
            raise BreachError(record.position, "version", f"{history_id} goes from {last} to {version}")
        try:
            event = self._decode(record.topic, record.state)
            state = decider.evolve(before, event)
        except UnreadableError as error:
            raise BreachError(record.position, "readable", str(error)) from error
        except Exception as error:
            raise _unfolded(record, f"{type(error).__name__}: {error}") from error
        known[history_id] = (version, state)
        return event, before, state

    def _conserved(self, record: Record, listing: Listing) -> None:
        units = listing.units
        available, reserved, committed = units.available, units.reserved, units.committed
        shipped, unavailable, returned = units.shipped, units.unavailable, units.returned_to_source
        whole = available + reserved + committed + shipped + unavailable + returned
        enough = available >= 0 <= reserved and committed >= 0 <= shipped and unavailable >= 0 <= returned
        if whole != units.allotted or not enough:
            raise BreachError(record.position, "units", f"{record.history_id} has {units}")
        if listing.short:
            self._short.add(record.history_id)

    def _reserved(
        self, record: Record, metadata: Metadata, event: li.UnitsReserved, _: Listing, listing: Listing
    ) -> None:
        self._lines.reserved(record, metadata, event, listing)
        self._offers.reserved(record, event, listing)

    def _covered(self, record: Record, _: Metadata, event: li.OversellCovered, *__: Listing) -> None:
        if event.quantity <= 0:
            raise BreachError(record.position, "units", f"{event.quantity} units cover what {record.history_id} lacks")

    def _promised(self, record: Record, listing_id: str) -> None:
        """Only promised units can be missing. What comes free covers them by the end of its command."""
        _, listing = self._resident[listing_id]
        promised = listing.units.reserved + listing.units.committed
        if not 0 <= listing.short <= promised:
            raise BreachError(record.position, "units", f"{listing_id} lacks {listing.short} of {promised} units")

    def _placed(self, record: Record, metadata: Metadata, event: o.OrderPlaced, __: Order, ___: Order) -> None:
        self._lines.ordered(record, metadata, event)
        self._offers.ordered(record, event)
        self._envelopes.arrive(metadata, [each.listing_id for each in event.lines])
        if sum([each.amount_minor for each in event.lines]) != event.total_minor:
            raise BreachError(record.position, "captured", f"the lines of {record.history_id} do not sum to its total")

    def _refused(self, record: Record, metadata: Metadata, event: o.OrderRefused, *_: Order) -> None:
        self.counts["refusals"] += 1
        self._envelopes.arrive(metadata, [each.listing_id for each in event.asked])
        if event.reason == "sold_out":
            self._sold_out(record, event)

    def _sold_out(self, record: Record, event: o.OrderRefused) -> None:
        """Count what was there as the shop does: holds whose deadline had come fill an oversell, then are for sale."""
        listing_id = event.facts["listing_id"]
        _, listing = self._resident.get(listing_id) or (0, self._attic.listing(marked=False))
        available = listing.units.available + max(0, units_due(listing, event.ingress_at) - listing.short)
        asked = sum(self._asked(each, listing_id) for each in event.asked)
        if asked <= available or event.facts["available"] > available:
            found = f"{asked} of {listing_id} were asked for, {available} were there"
            raise BreachError(record.position, "sold_out", found)

    def _asked(self, line: o.AskedLine, listing_id: str) -> int:
        """Return how many units of a listing a line asks for, itself or as part of a look."""
        if line.listing_id == listing_id:
            return line.quantity
        _, look = self._resident.get(line.listing_id, (0, LISTING.initial))
        return sum(part.quantity * line.quantity for part in look.offer.components if part.listing_id == listing_id)

    def _captured(self, record: Record, _: Metadata, event: o.PaymentCaptured, before: Order, order: Order) -> None:
        came_for_nothing = before.orphaned_minor and before.payments.get(event.payment_id) == "orphaned"
        if came_for_nothing or before.payment_id is not None:
            raise BreachError(record.position, "captured", f"{record.history_id} or {event.payment_id} was paid before")
        self._lines.paid(record, event, order)
        if sum([facts.captured_minor for facts in order.lines.values()]) != event.amount_minor:
            found = f"{event.amount_minor} captured for {record.history_id}, {order.due_minor} were due"
            raise BreachError(record.position, "captured", found)
        self._owing.paid(record, order)

    def _refunded(self, record: Record, _: Metadata, event: o.RefundIssued, before: Order, order: Order) -> None:
        self.counts["refunds"] += 1
        self._returns.refunded(record, event, before, order)
        self._owing.refunded(record, event, order)


def _timely(moment: str, check: _Check | None) -> _Check:
    """Hold an event against the time of its command, and against what else it must be."""
    said = attrgetter(moment)

    def checked(record: Record, metadata: Metadata, event: Any, before: Any, state: Any) -> None:
        if said(event) != metadata.ingress_at:
            found = f"{record.history_id} has {moment} {said(event)}, its command came at {metadata.ingress_at}"
            raise BreachError(record.position, "deadlines", found)
        if check is not None:
            check(record, metadata, event, before, state)

    return checked


def _unfolded(record: Record, found: str) -> BreachError:
    return BreachError(record.position, "fold", f"{record.history_id} at version {record.version}: {found}")
