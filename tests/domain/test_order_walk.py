"""Random lives of an order: whatever callbacks, buyers and clerks do, every cent is accounted for."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.listing.units import Disposition
from domain.order import ORDER
from domain.order import commands as oc
from domain.order import events as o
from domain.order.state import Order, Stage, Status
from tests.builders import at as instant
from tests.builders import line, place_order, refuse_order
from tests.domain.subject import Subject, depths

numbers = st.integers(1, 4)
payments = st.sampled_from(["pay-1", "pay-2", "pay-3"])
priced = st.tuples(st.integers(1, 5), st.integers(0, 10_000))
"""A line's quantity and price; most prices do not divide by the quantity."""


class OrderWalk(RuleBasedStateMachine):
    """An order, a clock that only goes forward, and everybody who may tell it something."""

    def __init__(self) -> None:
        super().__init__()
        self.order: Subject[Order, oc.Command, o.Event] = Subject(ORDER)
        self.seconds = 60
        self.names = 0

    @property
    def state(self) -> Order:
        """The order as it is now."""
        return self.order.state

    @initialize(asked=st.lists(priced, min_size=1, max_size=4), refused=st.sampled_from([False] * 9 + [True]))
    def place(self, asked: list[tuple[int, int]], refused: bool) -> None:
        """Most orders are placed."""
        lines = tuple(
            line(n, quantity=quantity, amount_minor=amount, unit_price_minor=amount // quantity)
            for n, (quantity, amount) in enumerate(asked, start=1)
        )
        self.order.tell(refuse_order() if refused else place_order(lines=lines), named=True)

    @rule(passed=st.sampled_from([1, 60, 300, 700, 86_400, 864_000]))
    def time_passes(self, passed: int) -> None:
        """Nothing else happens."""
        self.seconds += passed

    # money

    @rule(payment_id=payments, late=st.booleans(), off_by=st.sampled_from([0, 0, 0, 0, -1, 1]))
    def capture(self, payment_id: str, late: bool, off_by: int) -> None:
        """Only what is due pays."""
        due_minor = self.state.due_minor
        captured = oc.CapturePayment(payment_id, due_minor + off_by, late, instant(self.seconds))
        if self.order.tell(captured, named=True):
            assert not off_by
            assert self.state.stage is Stage.PAID
            assert sum(facts.captured_minor for facts in self.state.lines.values()) == due_minor

    @precondition(lambda self: self.seconds > 600)
    @rule(payment_id=payments, amount_minor=st.integers(1, 5000), expired=st.booleans())
    def orphan(self, payment_id: str, amount_minor: int, expired: bool) -> None:
        """Money that cannot be served."""
        reason = "hold_expired" if expired else "already_paid"
        self.order.tell(oc.OrphanPayment(payment_id, amount_minor, reason, instant(self.seconds)), named=True)

    @rule(payment_id=payments)
    def decline(self, payment_id: str) -> None:
        """A provider says no, perhaps after it said yes."""
        self.order.tell(oc.FailPayment(payment_id, "card_declined"), named=True)

    @precondition(lambda self: self.state.captured_minor > 0)
    @rule(number=st.none() | numbers, amount_minor=st.integers(1, 4000))
    def refund(self, number: int | None, amount_minor: int) -> None:
        """For a line or over all, within what was captured or refused."""
        before = self.state
        line_id = None if number is None else str(number)
        events = self.order.tell(oc.IssueRefund(self._name("refund"), line_id, amount_minor, "goodwill"), named=True)
        for event in events:
            assert isinstance(event, o.RefundIssued)
            assert event.amount_minor == amount_minor == sum(each.amount_minor for each in event.allocations)
            assert amount_minor <= before.captured_minor - before.refunded_minor

    # goods

    @precondition(lambda self: self.seconds > 600)
    @rule()
    def expire(self) -> None:
        """A timer, early or late."""
        self.order.tell(oc.ExpireOrder(instant(self.seconds)))

    @precondition(lambda self: len(self.order.history) > 6)
    @rule()
    def cancel(self) -> None:
        """The whole order."""
        self.order.tell(oc.CancelOrder(instant(self.seconds)))

    @rule(number=numbers, quantity=st.integers(1, 3))
    def cancel_line(self, number: int, quantity: int) -> None:
        """Some units of it."""
        name = self._name("cancel")
        self.order.tell(oc.CancelLine(name, str(number), quantity, instant(self.seconds)), named=True)

    @rule(hold_days=st.integers(0, 30))
    def go_on(self, hold_days: int) -> None:
        """What comes next in the life of an order nobody meddles with."""
        now = instant(self.seconds)
        match self.state.stage:
            case Stage.PLACED | Stage.PAYMENT_FAILED:
                self.order.tell(oc.CapturePayment("pay-1", self.state.due_minor, late=False, now=now), named=True)
            case Stage.PAID:
                self.order.tell(oc.ShipOrder(now))
            case _:
                self.order.tell(oc.DeliverOrder(hold_days, now))

    @rule()
    def ship(self) -> None:
        """It leaves."""
        self.order.tell(oc.ShipOrder(instant(self.seconds)))

    @rule(number=numbers, quantity=st.integers(1, 3))
    def announce_return(self, number: int, quantity: int) -> None:
        """Some of it comes back."""
        name = self._name("return")
        self.order.tell(oc.RequestReturn(name, str(number), quantity, instant(self.seconds)), named=True)

    @precondition(lambda self: len(self.state.returns) > 0)
    @rule(pick=st.integers(0, 9), disposition=st.sampled_from(Disposition))
    def receive_return(self, pick: int, disposition: Disposition) -> None:
        """It is here."""
        names = sorted(self.state.returns)
        self.order.tell(oc.ReceiveReturn(names[pick % len(names)], disposition), named=True)

    @rule()
    def close_return_window(self) -> None:
        """A timer, early or late."""
        self.order.tell(oc.CloseReturnWindow(instant(self.seconds)))

    @precondition(lambda self: len(self.order.history) % 7 == 1)
    @rule()
    def ask_in_vain(self) -> None:
        """A refusal is noted each time: only its envelope tells a repetition from a second question."""
        self.order.tell(oc.RefuseRequest("cancel_order", "not_allowed_now", {"status": "shipped"}), twice=False)

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}-{self.names}"

    # what is always true

    @rule()
    def nothing_with_an_id_is_done_twice(self) -> None:
        """However much later it is repeated."""
        self.order.repeat_all()

    @invariant()
    def the_state_is_the_fold_of_the_history(self) -> None:
        """Loading from the beginning gives what was kept in memory."""
        self.order.holds()

    @invariant()
    def refunds_never_exceed_what_was_captured(self) -> None:
        """Per line and overall, and the lines sum to the whole."""
        for facts in self.state.lines.values():
            assert 0 <= facts.refunded_minor <= facts.captured_minor <= facts.line.amount_minor
        assert self.state.captured_minor == sum(facts.captured_minor for facts in self.state.lines.values())
        assert self.state.refunded_minor == sum(facts.refunded_minor for facts in self.state.lines.values())

    @invariant()
    def no_money_is_kept_silently(self) -> None:
        """Recounted from the events: an orphan's refund is the orphan, and each payment came once."""
        orphaned = {each.payment_id: each.amount_minor for each in self.order.of(o.PaymentOrphaned)}
        refunds = self.order.of(o.RefundIssued)
        assert orphaned == {each.payment_id: each.amount_minor for each in refunds if not each.allocations}
        assert self.state.orphaned_minor == sum(orphaned.values())
        came = Counter(each.payment_id for each in self.order.of(o.PaymentCaptured, o.PaymentOrphaned))
        assert not came or max(came.values()) == 1
        assert len({each.refund_id for each in refunds}) == len(refunds)

    @invariant()
    def units_are_taken_out_and_come_back_within_the_line(self) -> None:
        """Nothing is cancelled, announced or received twice."""
        for facts in self.state.lines.values():
            assert 0 <= facts.cancelled <= facts.line.quantity
            assert 0 <= facts.returned <= facts.announced <= facts.kept

    @invariant()
    def units_that_were_taken_out_cost_nothing(self) -> None:
        """Everything paid for them was given back; a cancelled order keeps nothing at all."""
        for facts in self.state.lines.values():
            assert facts.kept or not facts.refundable_minor
            assert facts.captured_minor - facts.refunded_minor <= max(facts.due_minor, facts.captured_minor)
        if self.state.stage is Stage.CANCELLED:
            assert self.state.captured_minor == self.state.refunded_minor

    @invariant()
    def the_status_follows_the_facts(self) -> None:
        """Money given back is said before how far the goods have come."""
        if self.state.status is Status.REFUNDED:
            assert self.state.refunded_minor == self.state.captured_minor > 0
        if self.state.status is Status.PARTIALLY_REFUNDED:
            assert 0 < self.state.refunded_minor < self.state.captured_minor


@depths
def test_every_cent_is_accounted_for_whatever_happens(depth: settings) -> None:
    """Refunds within captures per line, orphans given back, nothing done twice, in random lives."""
    run_state_machine_as_test(OrderWalk, settings=depth)
