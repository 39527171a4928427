"""Forgeries of an order's whole life: its price, its units, its money, its commission. Each is found where it is."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from attrs import evolve

from application import commands
from domain.commission import facts as c
from domain.listing import events as li
from domain.listing.units import Disposition
from domain.order import commands as oc
from domain.order import events as o
from domain.record import Record
from domain.stream.commands import AgreeTerms
from domain.stream.events import EndReason, StreamEnded
from domain.terms import Share, Terms
from projections.verify import verify
from tests.builders import at, days
from tests.projections.evening import Evening
from tests.projections.forging import WIRE, Forge, Written, add, first, leave_out, read, rewrite
from tests.rehearsal import LISTING, STREAM, Rehearsal

OWN = "commission-1-1-host-1-percent"
"""What the host earns with order 1."""


async def long_show() -> list[Record]:
    """Five orders of two units and what became of them.

    The first is refunded in part, delivered, completed, its commission locked, and refunded once more. The second is
    cancelled when it is paid, the third comes back in part, the fourth is cancelled and then paid, and of the fifth one
    unit is given up when it is paid.
    """
    shop = Rehearsal()
    doings = Evening(shop, Random(0))
    async with shop.open():
        await shop.go_live()
        await shop.offer(20)
        raised = AgreeTerms(Terms(1500, 14), shop.till.now() + timedelta(seconds=1))
        await shop.do(commands.Tell(STREAM, raised))
        for number in range(1, 6):
            await shop.order(f"order-{number}", 2, buyer=f"buyer-{number}")
        for number in (1, 2, 3, 5):
            await shop.pay(f"order-{number}")
        await doings._react()
        await shop.do(commands.CancelLine("order-5", "less", "1", 1))
        await shop.do(commands.CancelOrder("order-2"))
        await shop.do(commands.CancelOrder("order-4"))
        await shop.do(commands.CapturePayment("order-4", "pay-order-4", 3998))
        await shop.do(commands.Tell("order-1", oc.IssueRefund("refund-1", "1", 1000, "goodwill")))
        for number in (1, 3):
            await shop.do(commands.ShipOrder(f"order-{number}"))
            await shop.do(commands.DeliverOrder(f"order-{number}"))
        await shop.do(commands.Tell("order-3", oc.RequestReturn("return-1", "1", 1, shop.till.now())))
        await shop.do(commands.ReceiveReturn("order-3", "return-1", Disposition.RESTOCK))
        await doings._react()
        shop.clock.advance(15 * 86_400)
        await shop.do(commands.Tell("order-1", oc.CloseReturnWindow(shop.till.now())))
        await doings._react()
        await shop.do(commands.Tell("order-1", oc.IssueRefund("refund-2", "1", 500, "goodwill")))
        await doings._react()
    return await shop.records()


# A history and its rules


def _ordered_once_more(records: list[Record]) -> int:
    return add(records, len(records), "order-1", read(records[first(records, o.OrderPlaced, "order-1")]))


def _reversed_and_never_accrued(records: list[Record]) -> int:
    reversed_ = read(records[first(records, c.CommissionReversed, OWN)])
    return add(records, len(records), OWN.replace("1-1", "9-1"), reversed_)


def _sold_out_of_something(records: list[Record]) -> int:
    asked = (o.AskedLine(LISTING, 99),)
    refused = o.OrderRefused(STREAM, "buyer-9", asked, "sold_out", {}, 1, records[-1].recorded_at)
    return add(records, len(records), "order-9", refused)


# An order and what was on offer


def _sold_at_a_friends_price(records: list[Record], **changes: Any) -> int:
    reserved = first(records, li.UnitsReserved, order_id="order-5")
    priced = {name: value for name, value in changes.items() if name == "discount_id"}
    rewrite(records, reserved, unit_price_minor=1, amount_minor=2, **priced)
    placed = first(records, o.OrderPlaced, "order-5")
    line = evolve(read(records[placed]).lines[0], unit_price_minor=1, amount_minor=2, **changes)
    return rewrite(records, placed, lines=(line,), total_minor=2)


def _sold_at_a_discount_that_nobody_gave(records: list[Record]) -> int:
    return _sold_at_a_friends_price(records, discount_id="for-friends")


def _sold_as_if_it_had_been_dearer(records: list[Record]) -> int:
    reserved = first(records, li.UnitsReserved, order_id="order-5")
    placed = first(records, o.OrderPlaced, "order-5")
    rewrite(records, placed, lines=(evolve(read(records[placed]).lines[0], list_price_minor=9_999),))
    return rewrite(records, reserved, list_price_minor=9_999)


def _sold_as_part_of_a_look_that_is_none(records: list[Record]) -> int:
    return _sold_at_a_friends_price(records, look_id=LISTING)


def _sold_by_somebody_who_was_not_on_air(records: list[Record]) -> int:
    rewrite(records, first(records, li.UnitsReserved, order_id="order-5"), host_id="host-9")
    return rewrite(records, first(records, o.OrderPlaced, "order-5"), host_id="host-9")


def _sold_by_the_terms_of_tomorrow(records: list[Record]) -> int:
    return rewrite(records, first(records, o.OrderPlaced, "order-1"), terms_version=2)


def _sold_more_than_one_buyer_may_have(records: list[Record]) -> int:
    return add(records, first(records, li.UnitsReserved, order_id="order-5"), LISTING, li.PurchaseLimitSet(1)) + 1


def _sold_when_the_window_was_closed(records: list[Record]) -> int:
    place = first(records, li.UnitsReserved, order_id="order-5")
    add(records, place, LISTING, li.WindowClosed(1, records[place].recorded_at, "host"))
    return first(records, o.OrderPlaced, "order-5") + 1


def _offered_in_another_currency(records: list[Record]) -> int:
    rewrite(records, first(records, li.ListingCreated), currency="USD")
    return first(records, o.OrderPlaced) + 1


def _credited_to_another_show(records: list[Record]) -> int:
    return rewrite(records, first(records, li.UnitsCommitted), stream_id="stream-9")


def _sold_in_a_show_that_is_over(records: list[Record]) -> int:
    place = first(records, li.UnitsReserved, order_id="order-1")
    add(records, place, STREAM, StreamEnded(EndReason.HOST, records[place].recorded_at))
    return first(records, o.OrderPlaced, "order-1") + 1


def _sold_in_another_show(records: list[Record]) -> int:
    return rewrite(records, first(records, o.OrderPlaced, "order-1"), stream_id="stream-9")


# Units and their order


def _reserved_for_another_buyer(records: list[Record]) -> int:
    rewrite(records, first(records, li.UnitsReserved, order_id="order-1"), buyer_id="buyer-9")
    return first(records, o.OrderPlaced, "order-1") + 1


def _told_of_another_list_price(records: list[Record]) -> int:
    placed = first(records, o.OrderPlaced, "order-5")
    return rewrite(records, placed, lines=(evolve(read(records[placed]).lines[0], list_price_minor=9_999),))


def _sold_in_another_hosts_name(records: list[Record]) -> int:
    rewrite(records, first(records, li.UnitsCommitted, order_id="order-1"), host_id="host-9")
    return first(records, o.PaymentCaptured, "order-1") + 1


def _sent_and_still_there(records: list[Record]) -> int:
    leave_out(records, first(records, li.UnitsShipped, reservation_id="order-1:1"))
    return first(records, o.OrderShipped, "order-1") + 1


def _sent_without_an_order(records: list[Record]) -> int:
    return add(records, len(records), LISTING, li.UnitsShipped("order-5:1", 1))


def _cancelled_and_not_taken_back(records: list[Record]) -> int:
    leave_out(records, first(records, li.UnitsReturned, order_id="order-2"))
    return first(records, o.RefundIssued, "order-2") + 1


def _given_up_and_not_taken_back(records: list[Record]) -> int:
    leave_out(records, first(records, li.UnitsReturned, order_id="order-5"))
    return first(records, o.RefundIssued, "order-5") + 1


def _taken_back_unasked(records: list[Record]) -> int:
    returned = read(records[first(records, li.UnitsReturned, order_id="order-5")])
    return add(records, len(records), LISTING, evolve(returned, return_id="unasked"))


def _came_back_and_was_lost(records: list[Record]) -> int:
    leave_out(records, first(records, li.UnitsReturned, order_id="order-3"))
    return first(records, o.ReturnReceived, "order-3") + 1


def _more_came_back_than_the_order_knows(records: list[Record]) -> int:
    return rewrite(records, first(records, li.UnitsReturned, order_id="order-3"), quantity=2)


def _more_came_back_than_was_sold(records: list[Record]) -> int:
    rewrite(records, first(records, o.ReturnReceived, "order-3"), quantity=3)
    return rewrite(records, first(records, li.UnitsReturned, order_id="order-3"), quantity=3)


def _came_back_from_a_sale_of_another_host(records: list[Record]) -> int:
    return rewrite(records, first(records, li.UnitsReturned, order_id="order-3"), host_id="host-9")


# Money and its way back


def _refunded_to_a_friend(records: list[Record]) -> int:
    return rewrite(records, first(records, o.RefundIssued, "order-1"), payment_id="pay-friend")


def _refunded_in_another_currency(records: list[Record]) -> int:
    return rewrite(records, first(records, o.RefundIssued, "order-1"), currency="KWD")


def _refunded_at_the_cost_of_another_host(records: list[Record]) -> int:
    return rewrite(records, first(records, o.RefundIssued, "order-1"), host_id="host-9")


def _refunded_by_a_name_that_is_taken(records: list[Record]) -> int:
    return rewrite(records, first(records, o.RefundIssued, refund_id="refund-2"), refund_id="refund-1")


def _refunded_less_than_nothing(records: list[Record]) -> int:
    part = o.Allocation("1", LISTING, -1000)
    return rewrite(records, first(records, o.RefundIssued, "order-1"), amount_minor=-1000, allocations=(part,))


def _given_back_twice(records: list[Record]) -> int:
    refund = read(records[first(records, o.RefundIssued, "order-4")])
    return add(records, len(records), "order-4", evolve(refund, refund_id="again"))


def _came_for_nothing_and_kept(records: list[Record]) -> int:
    leave_out(records, first(records, o.RefundIssued, "order-4"))
    return first(records, o.PaymentOrphaned, "order-4") + 1


def _came_for_something_and_called_orphaned(records: list[Record]) -> int:
    return add(records, len(records), "order-1", o.PaymentOrphaned("pay-order-1", 3998, "order_completed"))


def _cancelled_and_kept(records: list[Record]) -> int:
    leave_out(records, first(records, o.RefundIssued, "order-2"))
    return first(records, li.UnitsReturned, order_id="order-2") + 1


def _given_up_and_kept(records: list[Record]) -> int:
    leave_out(records, first(records, o.RefundIssued, "order-5"))
    return first(records, li.UnitsReturned, order_id="order-5") + 1


def _cancelled_and_kept_in_part(records: list[Record]) -> int:
    part = o.Allocation("1", LISTING, 1000)
    rewrite(records, first(records, o.RefundIssued, "order-2"), amount_minor=1000, allocations=(part,))
    return first(records, li.UnitsReturned, order_id="order-2") + 1


def _paid_with_what_went_back(records: list[Record]) -> int:
    captured = read(records[first(records, o.PaymentCaptured, "order-1")])
    return add(
        records,
        len(records),
        "order-4",
        evolve(captured, payment_id="pay-order-4", captured_at=records[-1].recorded_at),
    )


def _paid_twice(records: list[Record]) -> int:
    captured = read(records[first(records, o.PaymentCaptured, "order-1")])
    return add(
        records, len(records), "order-1", evolve(captured, payment_id="pay-again", captured_at=records[-1].recorded_at)
    )


# A commission and its terms


def _earned_by_somebody_without_a_share(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionAccrued, OWN), shares=(Share("friend-1", 10_000),))


def _earned_by_a_friend_in_the_hosts_name(records: list[Record]) -> int:
    friends = (Share("friend-1", 10_000),)
    return rewrite(records, first(records, c.CommissionAccrued, OWN), payee_id="friend-1", shares=friends)


def _earned_at_another_rate(records: list[Record]) -> int:
    accrued = first(records, c.CommissionAccrued, OWN)
    return rewrite(records, accrued, rate_bps=5000, commission_minor=1999, amount_minor=1999)


def _earned_at_the_rate_of_tomorrow(records: list[Record]) -> int:
    accrued = first(records, c.CommissionAccrued, OWN)
    return rewrite(records, accrued, terms_version=2, rate_bps=1500, commission_minor=600, amount_minor=600)


def _earned_by_terms_that_nobody_agreed(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionAccrued, OWN), terms_version=0, rate_bps=1500)


def _earned_in_another_currency(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionAccrued, OWN), currency="KWD")


def _locked_before_it_was_delivered(records: list[Record]) -> int:
    return add(records, first(records, c.CommissionAccrued, OWN) + 1, OWN, _locked(records))


def _locked_before_its_time(records: list[Record]) -> int:
    return add(records, first(records, c.CommissionQualified, OWN) + 1, OWN, _locked(records))


def _locked_twice(records: list[Record]) -> int:
    return add(records, first(records, c.CommissionLocked, OWN) + 1, OWN, _locked(records))


def _delivered_once_more_to_be_locked_again(records: list[Record]) -> int:
    qualified = read(records[first(records, c.CommissionQualified, OWN)])
    return add(records, len(records), OWN, qualified)


def _locked(records: list[Record]) -> Any:
    return read(records[first(records, c.CommissionLocked, OWN)])


def _locked_for_a_friend(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionLocked, OWN), payee_id="friend-1")


def _locked_in_another_currency(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionLocked, OWN), currency="KWD")


def _taken_back_from_a_rival(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionReversed, OWN), payee_id="rival-1")


def _taken_back_from_what_is_pending_no_more(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionReversed, OWN, fund=c.Fund.PAYABLE), fund=c.Fund.PENDING)


def _taken_back_below_nothing(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionReversed, OWN), remaining_base_minor=-1)


def _locked_by_a_deadline_of_its_own(records: list[Record]) -> int:
    place = first(records, c.CommissionQualified, OWN)
    return rewrite(records, place, locks_at=records[place].recorded_at)


def _qualified_without_a_delivery(records: list[Record]) -> int:
    accrued = first(records, c.CommissionAccrued, "commission-5-1-host-1-percent")
    qualified = read(records[first(records, c.CommissionQualified, OWN)])
    return add(records, len(records), records[accrued].history_id, qualified)


# What lasts until an instant that was said before

RELEASED = li.UnitsReleased("order-5:1", 2, "expired")


def _given_to_others_before_its_time(records: list[Record], **changes: Any) -> int:
    return add(records, first(records, o.OrderPlaced, "order-5") + 1, LISTING, evolve(RELEASED, **changes))


def _given_to_others_as_if_it_was_called_off(records: list[Record]) -> int:
    return _given_to_others_before_its_time(records, reason="cancelled")


def _given_to_others_in_part(records: list[Record]) -> int:
    return _given_to_others_before_its_time(records, quantity=1)


def _expired_before_its_time(records: list[Record]) -> int:
    place = first(records, o.OrderPlaced, "order-5")
    return add(records, place + 1, "order-5", o.OrderExpired(records[place].recorded_at))


def _expired_before_its_time_with_another_on_its_lips(records: list[Record]) -> int:
    place = first(records, o.OrderPlaced, "order-5")
    return add(records, place + 1, "order-5", o.OrderExpired(read(records[place]).hold_expires_at))


def _moved_to_another_time(kind: type, **changes: Any) -> Forge:
    def forge(records: list[Record]) -> int:
        return rewrite(records, first(records, kind), **changes)

    forge.__name__ = f"_{kind.__name__}_moved_to_another_time"
    return forge


def _expired_though_it_was_paid(records: list[Record]) -> int:
    return add(records, len(records), "order-5", o.OrderExpired(records[-1].recorded_at))


def _called_off_and_still_held_in_part(records: list[Record]) -> int:
    return rewrite(records, first(records, li.UnitsReleased, reservation_id="order-4:1"), quantity=1)


def _back_in_a_day_or_never(records: list[Record]) -> int:
    place = first(records, o.OrderDelivered, "order-1")
    ends_at = read(records[place]).delivered_at + timedelta(days=1)
    rewrite(records, first(records, c.CommissionQualified, OWN), locks_at=ends_at)
    return rewrite(records, place, return_window_ends_at=ends_at)


def _delivered_a_fortnight_before(records: list[Record]) -> int:
    place = first(records, o.OrderDelivered, "order-1")
    delivered = read(records[place])
    ends_at = delivered.delivered_at
    rewrite(records, first(records, c.CommissionQualified, OWN), locks_at=ends_at)
    return rewrite(records, place, delivered_at=ends_at - timedelta(days=14), return_window_ends_at=ends_at)


FORGERIES: Mapping[str, Sequence[Forge]] = {
    "fold": [
        *(_ordered_once_more, _reversed_and_never_accrued, _sold_out_of_something),
    ],
    "offer": [
        *(
            _sold_at_a_friends_price,
            _sold_at_a_discount_that_nobody_gave,
            _sold_as_if_it_had_been_dearer,
            _sold_as_part_of_a_look_that_is_none,
        ),
        *(_sold_by_somebody_who_was_not_on_air, _sold_by_the_terms_of_tomorrow, _sold_in_a_show_that_is_over),
        *(_sold_in_another_show, _sold_more_than_one_buyer_may_have, _sold_when_the_window_was_closed),
        *(_offered_in_another_currency,),
    ],
    "lines": [
        *(
            _reserved_for_another_buyer,
            _told_of_another_list_price,
            _sold_in_another_hosts_name,
            _sent_and_still_there,
            _sent_without_an_order,
        ),
        *(_cancelled_and_not_taken_back, _given_up_and_not_taken_back, _taken_back_unasked, _came_back_and_was_lost),
        *(_more_came_back_than_the_order_knows, _more_came_back_than_was_sold),
        *(_came_back_from_a_sale_of_another_host, _called_off_and_still_held_in_part),
    ],
    "captured": [_paid_with_what_went_back, _paid_twice],
    "refunds": [
        *(_refunded_to_a_friend, _refunded_in_another_currency, _refunded_at_the_cost_of_another_host),
        *(_refunded_by_a_name_that_is_taken, _refunded_less_than_nothing, _given_back_twice),
        *(_came_for_nothing_and_kept, _came_for_something_and_called_orphaned, _cancelled_and_kept),
        *(_given_up_and_kept, _cancelled_and_kept_in_part),
    ],
    "commission": [
        *(_earned_by_somebody_without_a_share, _earned_by_a_friend_in_the_hosts_name, _earned_at_another_rate),
        *(_earned_at_the_rate_of_tomorrow, _earned_by_terms_that_nobody_agreed, _earned_in_another_currency),
        *(_locked_before_it_was_delivered, _locked_before_its_time, _locked_twice),
        *(_delivered_once_more_to_be_locked_again, _locked_for_a_friend, _locked_in_another_currency),
        *(_taken_back_from_a_rival, _taken_back_from_what_is_pending_no_more, _taken_back_below_nothing),
        *(_locked_by_a_deadline_of_its_own, _qualified_without_a_delivery),
    ],
    "deadlines": [
        *(_given_to_others_before_its_time, _given_to_others_as_if_it_was_called_off, _given_to_others_in_part),
        *(_expired_before_its_time, _expired_before_its_time_with_another_on_its_lips, _expired_though_it_was_paid),
        *(_back_in_a_day_or_never, _delivered_a_fortnight_before),
        _moved_to_another_time(o.PaymentCaptured, captured_at=at(1)),
        _moved_to_another_time(o.OrderCancelled, cancelled_at=at(1)),
        _moved_to_another_time(o.OrderShipped, shipped_at=at(1)),
        _moved_to_another_time(o.ReturnWindowClosed, closed_at=at(1)),
        _moved_to_another_time(o.ReturnWindowClosed, closed_at=days(99)),
    ],
}


@pytest.mark.parametrize(
    ("rule", "forge"),
    [pytest.param(rule, forge, id=forge.__name__.strip("_")) for rule, many in FORGERIES.items() for forge in many],
)
async def test_a_forgery_is_found_where_it_is(rule: str, forge: Forge) -> None:
    """The story cannot be true from the position on that the certificate names."""
    records = await long_show()
    assert (await verify(Written(list(records)), WIRE, reacted=len(records))).holds
    position = forge(records)
    found = (await verify(Written(records), WIRE, reacted=len(records))).breach
    assert found is not None
    assert (found.rule, found.position) == (rule, position), found.found
