"""An order: what the buyer asked for, and where the buyer's money is."""

from datetime import timedelta

import pytest

from domain.listing.units import Disposition
from domain.money import MAX_MINOR
from domain.order import ORDER
from domain.order import commands as oc
from domain.order import events as o
from domain.order.rules import RefundExceedsCaptured, ReturnExceedsDelivered, ReturnWindowIsClosed
from domain.order.state import Status
from domain.refusal import Invalid, NotAllowedNow, NotFound
from tests.builders import (
    at,
    cancel_line,
    capture_payment,
    days,
    delivered_order,
    issue_refund,
    line,
    order_placed,
    orphan_payment,
    paid_order,
    payment_captured,
    place_order,
    refund_issued,
    refuse_order,
    request_return,
    shipped_order,
)
from tests.scenario import given

UNTIL = at(660)
ODD = 1000
"""Three units for 1000: it does not divide."""


def three_for_1000(number: int = 1) -> o.Line:
    """Return a line of three units whose price does not divide by three."""
    return line(number, quantity=3, unit_price_minor=333, amount_minor=ODD)


def allocated(*parts: tuple[int, int]) -> tuple[o.Allocation, ...]:
    """Return a refund's parts by line number."""
    return tuple(o.Allocation(str(number), f"listing-{number}", amount) for number, amount in parts)


# placing and refusing


def test_placing_sums_the_lines() -> None:
    """The total is the sum of the lines, so there is nothing to disagree about later."""
    lines = (line(1, quantity=2), three_for_1000(2))
    given(ORDER).when(place_order(lines=lines)).then(order_placed(*lines, total_minor=4998)).leaves(
        {"status": Status.PLACED, "due_minor": 4998}
    )


def test_an_order_is_placed_once() -> None:
    """The same order again is the same order; so is one that was refused."""
    given(ORDER, order_placed()).when(place_order()).changes_nothing()
    refused = given(ORDER).when(refuse_order()).events
    given(ORDER, *refused).when(place_order()).changes_nothing()
    given(ORDER, *refused).when(refuse_order()).changes_nothing()


def test_an_order_that_was_refused_is_on_record() -> None:
    """Who asked for what, when, as which arrival, and why not: the demand that went unserved."""
    given(ORDER).when(refuse_order()).then(
        o.OrderRefused(
            "stream-1", "buyer-1", (o.AskedLine("listing-1", 1),), "sold_out",
            {"listing_id": "listing-1", "available": 0}, 1001, at(60),
        )
    ).leaves({"status": Status.REFUSED, "refusal.reason": "sold_out"})  # fmt: skip


def test_nothing_but_questions_can_be_asked_of_a_refused_order() -> None:
    """It has no goods and no money; what is asked in vain can be noted."""
    refused = given(ORDER).when(refuse_order()).events
    given(ORDER, *refused).when(oc.CancelOrder(at(90))).refused(NotAllowedNow, action="cancel_order", status="refused")
    note = oc.RefuseRequest("cancel_order", "not_allowed_now", {})
    given(ORDER, *refused).when(note).then(o.RequestRefused("cancel_order", "not_allowed_now", {}))


def test_an_order_needs_lines_and_a_payable_total() -> None:
    """Nothing is no order, and no total is beyond what every reader can hold."""
    given(ORDER).when(place_order(lines=())).refused(Invalid, field="lines")
    dear = (line(1, amount_minor=MAX_MINOR), line(2, amount_minor=1))
    given(ORDER).when(place_order(lines=dear)).refused(Invalid, field="lines")


def test_an_order_names_each_line_once() -> None:
    """Two lines of one name would be one line with the price of two."""
    given(ORDER).when(place_order(lines=(line(1), line(1)))).refused(Invalid, field="lines")


def test_nothing_can_be_told_to_an_unknown_order() -> None:
    """A callback that comes before the order is parked by who got it; the order does not know."""
    given(ORDER).when(capture_payment()).refused(NotFound, what="order")


# paying


def test_a_payment_makes_it_paid() -> None:
    """Captured is the total, line by line."""
    given(ORDER, order_placed(line(1), line(2))).when(capture_payment(amount_minor=3998)).then(
        payment_captured(amount_minor=3998)
    ).leaves({"status": Status.PAID, "captured_minor": 3998}).gives(
        lambda order: [facts.captured_minor for facts in order.in_order()], [1999, 1999]
    )


def test_the_same_payment_counts_once() -> None:
    """Providers call twice, and a decline that comes after the capture of the same payment is old news."""
    given(ORDER, *paid_order()).when(capture_payment()).changes_nothing()
    given(ORDER, *paid_order()).when(oc.FailPayment("pay-1", "card_declined")).changes_nothing()


@pytest.mark.parametrize("amount_minor", [1998, 2000, 0])
def test_only_what_is_due_pays(amount_minor: int) -> None:
    """Captured = total: less, more or nothing is not this order's payment, in time or late."""
    paying = capture_payment(amount_minor=amount_minor)
    given(ORDER, order_placed()).when(paying).refused(Invalid, field="amount_minor")
    late = capture_payment(amount_minor=amount_minor, late=True)
    given(ORDER, order_placed(), o.OrderExpired(UNTIL)).when(late).refused(Invalid, field="amount_minor")


def test_an_order_of_nothing_is_paid_with_nothing() -> None:
    """A giveaway goes the same way, with an amount of zero."""
    free = order_placed(line(1, unit_price_minor=0, amount_minor=0))
    given(ORDER, free).when(capture_payment(amount_minor=0)).leaves({"status": Status.PAID, "captured_minor": 0})


def test_a_declined_payment_may_be_followed_by_another() -> None:
    """The hold goes on; each decline is told once."""
    declined = o.PaymentFailed("pay-0", "card_declined")
    given(ORDER, order_placed()).when(oc.FailPayment("pay-0", "card_declined")).then(declined)
    given(ORDER, order_placed(), declined).when(oc.FailPayment("pay-0", "card_declined")).changes_nothing()
    given(ORDER, order_placed(), declined).when(capture_payment()).then(payment_captured())


def test_a_payment_that_was_declined_first_and_captured_then_counts() -> None:
    """Callbacks come out of order: the money decides."""
    declined = o.PaymentFailed("pay-1", "card_declined")
    given(ORDER, order_placed(), declined).when(capture_payment()).then(payment_captured()).leaves(
        {"status": Status.PAID}
    )


def test_a_second_payment_is_not_captured() -> None:
    """It is refused here, so that it is booked as an orphan and given back."""
    given(ORDER, *paid_order()).when(capture_payment(payment_id="pay-2")).refused(NotAllowedNow, status="paid")


def test_a_late_payment_whose_units_were_there_makes_an_expired_order_paid() -> None:
    """The units were reacquired in the same append."""
    expired: list[o.Event] = [order_placed(), o.OrderExpired(UNTIL)]
    given(ORDER, *expired).when(capture_payment(late=True, now=at(700))).then(
        payment_captured(late=True, captured_at=at(700))
    ).leaves({"status": Status.PAID})
    given(ORDER, *expired).when(capture_payment(now=at(700))).refused(NotAllowedNow, status="expired")


def test_a_payment_for_a_cancelled_order_is_no_payment() -> None:
    """Called off is called off, however late the money comes."""
    cancelled: list[o.Event] = [order_placed(), o.OrderCancelled(at(90))]
    given(ORDER, *cancelled).when(capture_payment(late=True)).refused(NotAllowedNow, status="cancelled")


def test_money_that_cannot_be_served_goes_back_in_full() -> None:
    """It is never kept silently: the orphan and its refund are one append, and the order expires by it."""
    refund = refund_issued(refund_id="orphan-pay-1", amount_minor=1999, reason="hold_expired", allocations=())
    given(ORDER, order_placed()).when(orphan_payment()).then(
        o.OrderExpired(at(700)), o.PaymentOrphaned("pay-1", 1999, "hold_expired"), refund
    ).leaves({"status": Status.EXPIRED, "captured_minor": 0, "refunded_minor": 0, "orphaned_minor": 1999})


def test_an_orphan_is_given_back_once() -> None:
    """The same payment again, however it is told, changes nothing."""
    orphaned: list[o.Event] = [order_placed(), *given(ORDER, order_placed()).when(orphan_payment()).events]
    given(ORDER, *orphaned).when(orphan_payment()).changes_nothing()
    given(ORDER, *orphaned).when(capture_payment(late=True)).changes_nothing()


def test_a_double_payment_leaves_the_order_as_it_is() -> None:
    """The second one goes back; the first one still pays for the goods."""
    given(ORDER, *paid_order()).when(orphan_payment(payment_id="pay-2", reason="already_paid")).then(
        o.PaymentOrphaned("pay-2", 1999, "already_paid"),
        refund_issued(
            refund_id="orphan-pay-2", payment_id="pay-2", amount_minor=1999, reason="already_paid", allocations=()
        ),
    ).leaves({"status": Status.PAID, "captured_minor": 1999, "refunded_minor": 0})


# expiring


def test_an_order_expires_at_its_deadline_and_not_before() -> None:
    """The recorded deadline decides; a timer that comes early or late does no harm."""
    given(ORDER, order_placed()).when(oc.ExpireOrder(UNTIL - timedelta(milliseconds=1))).changes_nothing()
    given(ORDER, order_placed()).when(oc.ExpireOrder(UNTIL)).then(o.OrderExpired(UNTIL))
    given(ORDER, *paid_order()).when(oc.ExpireOrder(UNTIL)).changes_nothing()
    given(ORDER, order_placed(), o.OrderExpired(UNTIL)).when(oc.ExpireOrder(at(700))).changes_nothing()


def test_a_declined_order_expires_too() -> None:
    """A declined payment does not stop the clock."""
    declined: list[o.Event] = [order_placed(), o.PaymentFailed("pay-0", "card_declined")]
    given(ORDER, *declined).when(oc.ExpireOrder(UNTIL)).then(o.OrderExpired(UNTIL))


# cancelling


def test_calling_off_before_paying_moves_no_money() -> None:
    """There is none; and it is called off once."""
    given(ORDER, order_placed()).when(oc.CancelOrder(at(90))).then(o.OrderCancelled(at(90)))
    given(ORDER, order_placed(), o.OrderCancelled(at(90))).when(oc.CancelOrder(at(95))).changes_nothing()


def test_calling_off_after_paying_gives_everything_back() -> None:
    """Each line gets back what was captured for it and not yet refunded."""
    paid: list[o.Event] = [*paid_order(line(1), line(2)), refund_issued()]
    given(ORDER, *paid).when(oc.CancelOrder(at(180))).then(
        o.OrderCancelled(at(180)),
        refund_issued(
            refund_id="cancel", amount_minor=2998, reason="cancelled", allocations=allocated((1, 999), (2, 1999))
        ),
    ).leaves({"status": Status.CANCELLED, "refunded_minor": 3998})


def test_nothing_is_ordered_any_more_of_a_cancelled_order() -> None:
    """Called off as a whole, or line by line to the end: every unit of every line is cancelled, and nothing is due."""
    placed: list[o.Event] = [order_placed(line(1, quantity=2), line(2)), o.LineCancelled("cancel-1", "1", 1)]
    given(ORDER, *placed).when(oc.CancelOrder(at(90))).gives(
        lambda order: [(facts.cancelled, facts.kept) for facts in order.in_order()], [(2, 0), (1, 0)]
    ).leaves({"due_minor": 0})


def test_a_request_for_payment_waits_for_its_answer() -> None:
    """A decline is an answer; who asks again waits again."""
    asked: list[o.Event] = [order_placed(), o.PaymentRequested("key-1", 1999, at(60))]
    declined = given(ORDER, *asked).when(oc.FailPayment("pay-1", "no_funds")).leaves({"awaits_answer": False})
    given(ORDER, *asked, *declined.events).when(oc.RequestPayment("key-2", at(70))).leaves({"awaits_answer": True})


def test_cancel_or_ship_whichever_is_first() -> None:
    """The other one is refused: a parcel on its way is a return, a cancelled order is not sent."""
    given(ORDER, *shipped_order()).when(oc.CancelOrder(days(1))).refused(NotAllowedNow, status="shipped")
    given(ORDER, *shipped_order()).when(cancel_line()).refused(NotAllowedNow, action="cancel_line")
    cancelled: list[o.Event] = [*paid_order(), o.OrderCancelled(at(180))]
    given(ORDER, *cancelled).when(oc.ShipOrder(days(1))).refused(NotAllowedNow, action="ship_order")


def test_units_taken_out_before_paying_lower_what_is_due() -> None:
    """Two of three for 1000 cost 666, and exactly that pays."""
    fewer: list[o.Event] = [order_placed(three_for_1000()), o.LineCancelled("cancel-1", "1", 1)]
    given(ORDER, order_placed(three_for_1000())).when(cancel_line()).then(o.LineCancelled("cancel-1", "1", 1))
    given(ORDER, *fewer).when(capture_payment(amount_minor=ODD)).refused(Invalid, field="amount_minor")
    paid = given(ORDER, *fewer).when(capture_payment(amount_minor=666)).leaves({"captured_minor": 666})
    paid.gives(lambda order: order.lines["1"].captured_minor, 666)


def test_units_taken_out_after_paying_are_refunded_without_losing_a_cent() -> None:
    """Of 1000 for three: 334, then 333, then 333. One by one ends where all at once does."""
    history = paid_order(three_for_1000(1), line(2))
    amounts = []
    for number in (1, 2, 3):
        events = given(ORDER, *history).when(cancel_line(cancellation_id=f"cancel-{number}")).events
        amounts += [event.amount_minor for event in events if isinstance(event, o.RefundIssued)]
        history += events
    assert amounts == [334, 333, 333]


def test_the_last_unit_taken_out_calls_the_order_off() -> None:
    """An order of nothing is cancelled, and all that is left goes back."""
    one_left: list[o.Event] = [*paid_order(line(1, quantity=2)), o.LineCancelled("cancel-1", "1", 1)]
    given(ORDER, *one_left).when(cancel_line(cancellation_id="cancel-2")).then(
        o.LineCancelled("cancel-2", "1", 1),
        o.OrderCancelled(at(180)),
        refund_issued(refund_id="cancel", amount_minor=3998, reason="cancelled", allocations=allocated((1, 3998))),
    )


def test_a_cancellation_counts_once_and_within_the_line() -> None:
    """The same again changes nothing, even when the goods are on their way; more than was ordered is refused."""
    cancelled: list[o.Event] = [*paid_order(line(1, quantity=2)), o.LineCancelled("cancel-1", "1", 1)]
    given(ORDER, *cancelled).when(cancel_line()).changes_nothing()
    given(ORDER, *cancelled, o.OrderShipped(days(1))).when(cancel_line()).changes_nothing()
    given(ORDER, *cancelled).when(cancel_line(cancellation_id="cancel-2", quantity=2)).refused(Invalid)
    given(ORDER, *cancelled).when(cancel_line(cancellation_id="cancel-2", quantity=0)).refused(Invalid)
    given(ORDER, *cancelled).when(cancel_line(cancellation_id="cancel-2", line_id="9")).refused(NotFound, what="line")


def test_cancelled_units_get_back_no_more_than_is_left() -> None:
    """A line that was refunded already has less to give."""
    generous: list[o.Event] = [*paid_order(line(1), line(2)), refund_issued(allocations=allocated((1, 1000)))]
    given(ORDER, *generous).when(cancel_line()).then(
        o.LineCancelled("cancel-1", "1", 1),
        refund_issued(
            refund_id="cancel-cancel-1", amount_minor=999, reason="cancelled", allocations=allocated((1, 999))
        ),
    )


# sending


def test_goods_are_sent_and_arrive_once() -> None:
    """Paid, then shipped, then delivered, with the end of the return window written down."""
    given(ORDER, *paid_order()).when(oc.ShipOrder(days(1))).then(o.OrderShipped(days(1)))
    given(ORDER, *shipped_order()).when(oc.ShipOrder(days(2))).changes_nothing()
    given(ORDER, *shipped_order()).when(oc.DeliverOrder(14, days(3))).then(o.OrderDelivered(days(3), days(17)))
    given(ORDER, *delivered_order()).when(oc.DeliverOrder(14, days(4))).changes_nothing()


def test_only_paid_goods_are_sent_and_only_sent_goods_arrive() -> None:
    """Nothing is skipped."""
    given(ORDER, order_placed()).when(oc.ShipOrder(days(1))).refused(NotAllowedNow, status="placed")
    given(ORDER, *paid_order()).when(oc.DeliverOrder(14, days(1))).refused(NotAllowedNow, status="paid")


def test_an_order_completes_when_nothing_can_come_back() -> None:
    """At the end of the return window and not a moment earlier."""
    early, end = days(17) - timedelta(seconds=1), days(17)
    given(ORDER, *delivered_order()).when(oc.CloseReturnWindow(early)).changes_nothing()
    given(ORDER, *delivered_order()).when(oc.CloseReturnWindow(end)).then(
        o.ReturnWindowClosed(end), o.OrderCompleted()
    ).leaves({"status": Status.COMPLETED})
    completed: list[o.Event] = [*delivered_order(), o.ReturnWindowClosed(end), o.OrderCompleted()]
    given(ORDER, *completed).when(oc.CloseReturnWindow(days(18))).changes_nothing()


# what comes back


def test_goods_may_come_back_within_the_window() -> None:
    """The last instant before its end is in time, its end is too late, and so is a completed order."""
    last = days(17) - timedelta(seconds=1)
    given(ORDER, *delivered_order()).when(request_return(now=last)).then(o.ReturnRequested("return-1", "1", 1))
    given(ORDER, *delivered_order()).when(request_return(now=days(17))).refused(ReturnWindowIsClosed)
    completed: list[o.Event] = [*delivered_order(), o.ReturnWindowClosed(days(17)), o.OrderCompleted()]
    given(ORDER, *completed).when(request_return(now=days(16))).refused(ReturnWindowIsClosed)


def test_goods_on_their_way_may_be_announced_back() -> None:
    """A refused parcel comes back before it arrived."""
    given(ORDER, *shipped_order()).when(request_return(now=days(2))).then(o.ReturnRequested("return-1", "1", 1))
    given(ORDER, *paid_order()).when(request_return()).refused(NotAllowedNow, action="request_return")


def test_no_more_comes_back_than_went_out() -> None:
    """What is announced already and what was cancelled does not count twice."""
    two = delivered_order(line(1, quantity=2))
    given(ORDER, *two).when(request_return(quantity=3)).refused(ReturnExceedsDelivered, returnable=2)
    given(ORDER, *two, o.ReturnRequested("return-0", "1", 1)).when(request_return(quantity=2)).refused(
        ReturnExceedsDelivered, returnable=1
    )
    cancelled: list[o.Event] = [
        *paid_order(line(1, quantity=2)),
        o.LineCancelled("cancel-1", "1", 1),
        o.OrderShipped(days(1)),
        o.OrderDelivered(days(3), days(17)),
    ]
    given(ORDER, *cancelled).when(request_return(quantity=2)).refused(ReturnExceedsDelivered, returnable=1)
    given(ORDER, *two).when(request_return(quantity=0)).refused(Invalid, field="quantity")
    given(ORDER, *two).when(request_return(line_id="9")).refused(NotFound, what="line")


def test_a_return_is_announced_once_and_received_once() -> None:
    """Its name tells; it may arrive after the order is completed, for it was announced in time."""
    announced: list[o.Event] = [*delivered_order(), o.ReturnRequested("return-1", "1", 1)]
    receive = oc.ReceiveReturn("return-1", Disposition.RESTOCK)
    received = o.ReturnReceived("return-1", "1", 1, Disposition.RESTOCK)
    given(ORDER, *announced).when(request_return()).changes_nothing()
    given(ORDER, *announced).when(receive).then(received)
    given(ORDER, *announced, received).when(receive).changes_nothing()
    completed: list[o.Event] = [*announced, o.ReturnWindowClosed(days(17)), o.OrderCompleted()]
    given(ORDER, *completed).when(receive).then(received)
    given(ORDER, *completed).when(request_return()).changes_nothing()
    given(ORDER, *delivered_order()).when(receive).refused(NotFound, what="return")


# refunds


def test_a_refund_without_a_line_is_shared_by_what_each_can_bear() -> None:
    """100 over lines of 1999 and 1000: 67 and 33, to the cent."""
    paid = paid_order(line(1), three_for_1000(2))
    given(ORDER, *paid).when(issue_refund(amount_minor=100)).then(
        refund_issued(amount_minor=100, allocations=allocated((1, 67), (2, 33)))
    ).leaves({"status": Status.PARTIALLY_REFUNDED, "refunded_minor": 100})


def test_a_refund_for_a_line_is_bounded_by_the_line() -> None:
    """Overall there is more, but not on this line."""
    paid = paid_order(line(1), line(2))
    given(ORDER, *paid).when(issue_refund(line_id="1", amount_minor=2000)).refused(
        RefundExceedsCaptured, refundable_minor=1999
    )
    given(ORDER, *paid).when(issue_refund(line_id="1", amount_minor=1999)).then(
        refund_issued(amount_minor=1999, allocations=allocated((1, 1999)))
    )
    given(ORDER, *paid).when(issue_refund(line_id="9")).refused(NotFound, what="line")


def test_two_refunds_that_fit_one_by_one_do_not_both_pass() -> None:
    """The second is decided on what the first left, to the last cent."""
    once: list[o.Event] = [*paid_order(), refund_issued()]
    given(ORDER, *once).when(issue_refund(refund_id="refund-2")).refused(RefundExceedsCaptured, refundable_minor=999)
    rest = given(ORDER, *once).when(issue_refund(refund_id="refund-2", amount_minor=999))
    rest.leaves({"status": Status.REFUNDED, "refunded_minor": 1999})
    given(ORDER, *once, *rest.events).when(issue_refund(refund_id="refund-3", amount_minor=1)).refused(
        RefundExceedsCaptured, refundable_minor=0
    )


def test_a_refund_counts_once() -> None:
    """The same refund again is the same refund, even when nothing is left."""
    given(ORDER, *paid_order(), refund_issued()).when(issue_refund()).changes_nothing()


def test_unpaid_money_cannot_be_given_back() -> None:
    """Nothing was captured; and a refund of nothing or less is none."""
    given(ORDER, order_placed()).when(issue_refund()).refused(RefundExceedsCaptured, refundable_minor=0)
    for amount_minor in (0, -1):
        given(ORDER, *paid_order()).when(issue_refund(amount_minor=amount_minor)).refused(Invalid, field="amount_minor")


def test_partial_refunds_over_673_lines_end_at_the_last_cent() -> None:
    """Whatever is given back in whatever steps, no line pays more than it brought and none keeps a cent at the end."""
    lines = [
        line(n, quantity=1 + n % 3, unit_price_minor=7 * n % 997, amount_minor=13 * n % 1999) for n in range(1, 674)
    ]
    state = ORDER.fold(paid_order(*lines))
    total_minor, number = state.captured_minor, 0
    while (left := total_minor - state.refunded_minor) > 0:
        number += 1
        refund = issue_refund(refund_id=f"refund-{number}", amount_minor=min(left, 33_331))
        (event,) = ORDER.decide(state, refund)
        assert isinstance(event, o.RefundIssued)
        assert sum(part.amount_minor for part in event.allocations) == refund.amount_minor
        state = ORDER.evolve(state, event)
        assert all(facts.refundable_minor >= 0 for facts in state.lines.values())
    assert state.status is Status.REFUNDED
    assert all(facts.refundable_minor == 0 for facts in state.lines.values())
    assert number > 10


def test_lines_keep_the_order_they_were_placed_in() -> None:
    """The tenth comes after the ninth, so that equal remainders always fall to the same line."""
    order = ORDER.fold([order_placed(*(line(n) for n in range(1, 13)))])
    assert [facts.line.line_id for facts in order.in_order()] == [str(n) for n in range(1, 13)]
    assert order.listing_ids == tuple(f"listing-{n}" for n in range(1, 13))


def test_a_refused_request_is_noted_for_whoever_asks_again() -> None:
    """It changes nothing else."""
    note = oc.RefuseRequest("cancel_order", "not_allowed_now", {"status": "shipped"})
    given(ORDER, *shipped_order()).when(note).then(
        o.RequestRefused("cancel_order", "not_allowed_now", {"status": "shipped"})
    ).leaves({"status": Status.SHIPPED})
