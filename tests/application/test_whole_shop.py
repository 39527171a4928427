"""Whatever is asked of the shop, in whatever order and however often, its promises hold at every step."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from application import commands as c
from application.reactions import SHOP
from application.reactor import Reactor, Timekeeper
from application.tickets import Verdict
from domain.commission.facts import CommissionAccrued, CommissionAdjusted, CommissionReversed
from domain.listing.commands import AdjustStock, SetPrice
from domain.listing.state import Listing
from domain.listing.units import Disposition
from domain.money import percent
from domain.order.commands import CloseReturnWindow, FailPayment, IssueRefund, RequestReturn
from domain.order.events import OrderRefused
from domain.order.state import Order, Stage
from domain.stream.events import EndReason
from domain.terms import Share
from projections.agenda import Agenda
from projections.follow import Follower
from projections.memory import MemoryStore
from projections.verify import verify
from tests.rehearsal import STREAM, Rehearsal

PLAIN, LIMITED, LOOK = "listing-plain", "listing-limited", "listing-look"
RATE_BPS = 1235
SHARES = (Share("host-1", 5000), Share("agency-1", 3333), Share("agency-2", 1667))
BUYERS = ("buyer-1", "buyer-2", "host-1")


class WholeShop(RuleBasedStateMachine):
    """Random buyers, payments, clocks and hosts against the real shop over the journal in memory."""

    orders = Bundle("orders")
    returns = Bundle("returns")

    @initialize()
    def open(self) -> None:
        """Open a show with a plain listing, a limited one, and a look made of both."""
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.serial = 0
        self.shop = Rehearsal()
        self.runner.run(self._open())

    async def _open(self) -> None:
        shop = self.shop
        await self.stack.enter_async_context(shop.open())
        await shop.go_live(rate_bps=RATE_BPS, shares=SHARES, hold_days=2)
        await shop.offer(12, listing_id=PLAIN, price_minor=999, hold_seconds=100)
        await shop.offer(7, listing_id=LIMITED, price_minor=1, hold_seconds=60, purchase_limit=3)
        await shop.offer(0, listing_id=LOOK, price_minor=1000, components=((PLAIN, 1), (LIMITED, 2)))
        store = MemoryStore()
        self.follower = Follower(shop.journal, shop.wire, store)
        self.agenda = Agenda(store, self.follower.wait_for)
        nobody: Any = None  # bookmarks, parking and leadership are for `run`, which is not used here
        self.reactor = Reactor(
            "reactions", SHOP, shop.journal, shop.wire, shop.till, shop.cashier, self.agenda,
            nobody, nobody, shop.announcer, nobody,
        )  # fmt: skip
        self.timekeeper = Timekeeper(shop.till, self.agenda, nobody)
        self.reacted = 0

    def teardown(self) -> None:
        """Close the shop; whatever was done, its journal holds."""
        if hasattr(self, "runner"):
            assert self.run(verify(self.shop.journal, self.shop.wire, reacted=self.reacted)).holds
            self.runner.run(self.stack.aclose())
            self.runner.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something on the machine's own event loop."""
        return self.runner.run(work)

    def ask(self, command: Any) -> Any:
        """Ask for something twice with one key: the second time changes nothing and is answered alike."""
        self.serial += 1
        key = f"key-{self.serial}"
        first = self.run(self.shop.ask(command, key))
        length = self.run(self.shop.journal.head())
        second = self.run(self.shop.ask(command, key))
        assert self.run(self.shop.journal.head()) == length
        assert _said(second) == _said(first)
        return first

    @rule(
        target=orders,
        buyer=st.sampled_from(BUYERS),
        wanted=st.lists(st.tuples(st.sampled_from((PLAIN, LIMITED, LOOK)), st.integers(1, 4)), min_size=1, max_size=3),
    )
    def place(self, buyer: str, wanted: list[tuple[str, int]]) -> Any:
        """Order some of this and some of that; a refusal leaves an order too, a refused one."""
        self.serial += 1
        order_id = f"order-{self.serial}"
        lines = tuple(c.AskLine(listing_id, quantity) for listing_id, quantity in wanted)
        verdict = self.ask(c.PlaceOrder(order_id, STREAM, buyer, lines))
        recorded = verdict.refusal is None or any(isinstance(event, OrderRefused) for _, event in verdict.events)
        return order_id if recorded else multiple()

    @rule(order_id=orders, payment=st.integers(1, 2), wrong=st.sampled_from((0, 0, 0, 1)))
    def pay(self, order_id: str, payment: int, wrong: int) -> None:
        """Money comes for an order: in time or late, once or again, right or not."""
        order: Order = self.run(self.shop.state(order_id))
        due_minor = sum(facts.due_minor for facts in order.lines.values())
        if order.stage is not Stage.REFUSED and due_minor:
            self.ask(c.CapturePayment(order_id, f"pay-{order_id}-{payment}", due_minor + wrong))

    @rule(order_id=orders)
    def decline(self, order_id: str) -> None:
        """A payment fails."""
        self.ask(c.Tell(order_id, FailPayment(f"declined-{order_id}", "insufficient_funds")))

    @rule(order_id=orders)
    def cancel(self, order_id: str) -> None:
        """The buyer calls it off."""
        self.ask(c.CancelOrder(order_id))

    @rule(order_id=orders, line=st.integers(1, 3), quantity=st.integers(1, 3))
    def cancel_line(self, order_id: str, line: int, quantity: int) -> None:
        """The buyer wants less."""
        self.serial += 1
        self.ask(c.CancelLine(order_id, f"cancellation-{self.serial}", str(line), quantity))

    @rule(order_id=orders, delivered=st.booleans())
    def ship(self, order_id: str, delivered: bool) -> None:
        """The brand sends it, and perhaps it arrives."""
        self.ask(c.ShipOrder(order_id))
        if delivered:
            self.ask(c.DeliverOrder(order_id))

    @rule(target=returns, order_id=orders, line=st.integers(1, 3), quantity=st.integers(1, 3))
    def request_return(self, order_id: str, line: int, quantity: int) -> Any:
        """The buyer sends some back."""
        self.serial += 1
        return_id = f"return-{self.serial}"
        told = RequestReturn(return_id, str(line), quantity, self.shop.till.now())
        verdict = self.ask(c.Tell(order_id, told))
        return (order_id, return_id) if verdict.refusal is None else multiple()

    @rule(returned=consumes(returns), disposition=st.sampled_from(Disposition))
    def receive_return(self, returned: tuple[str, str], disposition: Disposition) -> None:
        """The goods come in, sound or not."""
        self.ask(c.ReceiveReturn(*returned, disposition))

    @rule(order_id=orders, line=st.sampled_from((None, "1", "2")), amount_minor=st.integers(1, 1500))
    def refund(self, order_id: str, line: str | None, amount_minor: int) -> None:
        """Somebody gives money back."""
        self.serial += 1
        self.ask(c.Tell(order_id, IssueRefund(f"refund-{self.serial}", line, amount_minor, "goodwill")))

    @rule(listing_id=st.sampled_from((PLAIN, LIMITED)), price_minor=st.integers(0, 1200))
    def price(self, listing_id: str, price_minor: int) -> None:
        """The host tries another price."""
        self.ask(c.Tell(listing_id, SetPrice(price_minor, self.shop.till.now())))

    @rule(listing_id=st.sampled_from((PLAIN, LIMITED)), delta=st.integers(-4, 4), force=st.booleans())
    def adjust(self, listing_id: str, delta: int, force: bool) -> None:
        """Somebody counted again."""
        self.serial += 1
        self.ask(c.Tell(listing_id, AdjustStock(delta, "count", f"count-{self.serial}", self.shop.till.now(), force)))

    @rule(listing_id=st.sampled_from((PLAIN, LIMITED, LOOK)), opened=st.booleans())
    def window(self, listing_id: str, opened: bool) -> None:
        """The host opens or closes."""
        self.ask(c.OpenWindow(listing_id) if opened else c.CloseWindow(listing_id))

    @rule(ended=st.booleans())
    def show(self, ended: bool) -> None:
        """The show ends, or comes back."""
        self.ask(c.EndStream(STREAM, EndReason.HOST) if ended else c.StartStream(STREAM, restart=True))

    @rule(seconds=st.sampled_from((1, 30, 60, 100, 86_400)))
    def wait(self, seconds: int) -> None:
        """Time passes, and what is due is done."""
        self.shop.clock.advance(seconds)
        self.run(self.follower.catch_up())
        self.run(self.timekeeper.tick())

    @rule()
    def react(self) -> None:
        """The reactions catch up, twice, as after a crash before the bookmark moved."""
        self.run(self.follower.catch_up())
        records = self.run(self.shop.records())[self.reacted :]
        self.run(self.reactor.catch_up(records))
        length = self.run(self.shop.journal.head())
        self.run(self.reactor.catch_up(records))
        assert self.run(self.shop.journal.head()) == length
        self.reacted += len(records)

    @rule(order_id=orders)
    def complete(self, order_id: str) -> None:
        """The time for returns is over, perhaps."""
        self.ask(c.Tell(order_id, CloseReturnWindow(self.shop.till.now())))

    # promises

    def _states(self, kind: str) -> dict[str, Any]:
        ids = {record.history_id for record in self.run(self.shop.records())}
        return {each: self.run(self.shop.state(each)) for each in ids if each.startswith(f"{kind}-")}

    @invariant()
    def units_are_conserved(self) -> None:
        """Every unit is in one bucket, and the buckets say what holds and sales say."""
        if not hasattr(self, "shop"):
            return
        for listing in self._states("listing").values():
            assert listing.units.conserved
            _agrees_with_its_book(listing)

    @invariant()
    def orders_agree_with_their_listings(self) -> None:
        """What an order holds or has bought is held or sold by its listings, unit for unit."""
        if not hasattr(self, "shop"):
            return
        sold: Counter[str] = Counter()
        for order in self._states("order").values():
            if order.captured_minor or order.stage in (Stage.PAID, Stage.SHIPPED, Stage.DELIVERED, Stage.COMPLETED):
                for facts in order.lines.values():
                    sold[facts.line.listing_id] += facts.kept - facts.returned
        for listing_id, listing in self._states("listing").items():
            assert sold[listing_id] == listing.units.committed + listing.units.shipped

    @invariant()
    def money_is_never_given_back_twice(self) -> None:
        """Refunds stay within what was captured, line by line and overall; orphaned money goes back in full."""
        if not hasattr(self, "shop"):
            return
        for order in self._states("order").values():
            lines = order.lines.values()
            assert all(0 <= facts.refunded_minor <= facts.captured_minor for facts in lines)
            assert order.captured_minor == sum(facts.captured_minor for facts in lines)
            assert order.refunded_minor == sum(facts.refunded_minor for facts in lines)
            assert (
                sum(each.amount_minor for each in order.refunds.values()) == order.refunded_minor + order.orphaned_minor
            )

    @invariant()
    def commissions_are_right_to_the_cent(self) -> None:
        """When the reactions have caught up, payees share exactly what is due on what each line still brings."""
        if not hasattr(self, "shop") or self.reacted < self.run(self.shop.journal.head()):
            return
        standing: Counter[tuple[str, str]] = Counter()
        lines: dict[str, tuple[str, str]] = {}
        for record in self.run(self.shop.records()):
            match self.shop.wire.decode(record.topic, record.state):
                case CommissionAccrued() as event:
                    lines[record.history_id] = (event.order_id, event.line_id)
                    standing[lines[record.history_id]] += event.amount_minor
                case CommissionReversed(amount_minor=amount):
                    standing[lines[record.history_id]] -= amount
                case CommissionAdjusted(amount_minor=amount):
                    standing[lines[record.history_id]] += amount
        for order_id, order in self._states("order").items():
            for line_id, facts in order.lines.items():
                earns = order.buyer_id != order.host_id
                due = percent(facts.captured_minor - facts.refunded_minor, RATE_BPS) if earns else 0
                assert standing[order_id, line_id] == due


def _said(verdict: Verdict) -> tuple[str, dict[str, Any]]:
    return ("", {}) if verdict.refusal is None else (verdict.refusal.name, verdict.refusal.facts)


def _agrees_with_its_book(listing: Listing) -> None:
    book, units = listing.book, listing.units
    held = sum(hold.quantity for hold in book.holds.values())
    sold = sum(sale.quantity for sale in book.sales.values())
    assert held == units.reserved
    assert sold == units.committed + units.shipped
    assert sum(book.bought.values()) == held + sold


TestWholeShop = WholeShop.TestCase
TestWholeShop.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
