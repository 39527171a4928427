"""The certificate: an honest journal passes, and whatever is wrong with another is found where it is."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from attrs import define, evolve

from application import commands
from domain.commission import facts as c
from domain.listing import events as li
from domain.listing.commands import AdjustStock
from domain.order import events as o
from domain.order.commands import IssueRefund
from domain.record import Record
from domain.terms import Share
from projections.breach import RULES
from projections.follow import Follower
from projections.live_stock import LIVE_STOCK
from projections.memory import MemoryStore
from projections.store import Write
from projections.verify import Certificate, verify
from tests.projections.evening import Evening
from tests.projections.forging import WIRE, Forge, Written, add, envelope, first, read, replace, rewrite
from tests.rehearsal import LISTING, STREAM, Rehearsal


async def evening(seed: int, steps: int = 150) -> Rehearsal:
    """A shop after a random evening, in which some order more than there is."""
    shop = Rehearsal()
    async with shop.open():
        doings = Evening(shop, Random(seed))
        await doings.begin()
        for step in range(steps // 10):
            await doings.go_on(10)
            await shop.order(f"order-greedy-{step}", 90)
    return shop


async def short_show() -> Rehearsal:
    """A shop in which one order is paid and partly refunded, one waits for its payment, and one found nothing left."""
    shop = Rehearsal()
    async with shop.open():
        doings = Evening(shop, Random(0))
        await shop.go_live()
        await shop.offer(3)
        await shop.order("order-1", 2)
        await shop.pay("order-1")
        await shop.order("order-2", 1)
        await shop.order("order-3", 1, buyer="buyer-3")
        await shop.do(refund())
        await doings._react()
    return shop


def refund() -> Any:
    """Part of order 1 goes back."""
    return commands.Tell("order-1", IssueRefund("refund-1", "1", 1000, "goodwill"))


async def certificate(records: Sequence[Record]) -> Certificate:
    """Verify some records."""
    return await verify(Written(list(records)), WIRE)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_an_evening_brings_everything_holds(seed: int) -> None:
    """The rules are true of all that the shop does, and the followed read models are what a replay gives."""
    shop = await evening(seed)
    store = MemoryStore()
    head = await Follower(shop.journal, WIRE, store).catch_up()
    found = await verify(shop.journal, WIRE, store, reacted=head)
    assert found.breach is None
    assert found.holds
    assert found.position == found.counts["records"] == head
    assert len(found.compared) == 7
    assert all(each.same for each in found.compared)
    assert found.counts["refusals"] > 0


async def test_states_that_were_dropped_are_folded_anew() -> None:
    """Memory is bounded: with room for one state only, the certificate is the same."""
    records = await (await evening(1)).records()
    roomy = await verify(Written(records), WIRE, chunk=7)
    narrow = await verify(Written(records), WIRE, chunk=7, kept_states=1)
    assert narrow == roomy
    assert narrow.holds


async def test_an_empty_journal_holds() -> None:
    """There is nothing to be wrong."""
    assert (await certificate([])).holds


async def test_what_comes_free_fills_an_oversell_before_anybody_may_buy_it() -> None:
    """Two units are held beyond their time, one of them is missing: who asks for both is rightly turned away."""
    shop = Rehearsal()
    async with shop.open():
        await shop.go_live()
        await shop.offer(2, hold_seconds=60)
        await shop.order("order-1", 2)
        await shop.do(commands.Tell(LISTING, AdjustStock(-1, "count", "count-1", shop.till.now(), force=True)))
        shop.clock.advance(61)
        refused = (await shop.order("order-2", 2, buyer="buyer-2")).refusal
    assert refused is not None
    assert refused.facts == {"listing_id": LISTING, "available": 1}
    assert (await certificate(await shop.records())).breach is None


async def test_a_read_model_behind_the_journal_is_compared_where_it_stands() -> None:
    """A follower that lags is no breach."""
    shop = await evening(2)
    store = MemoryStore()
    records = await shop.records()
    await Follower(Written(records[:60]), WIRE, store).catch_up()
    found = await verify(shop.journal, WIRE, store)
    assert found.holds
    assert {each.live.position for each in found.compared} == {60}


@define
class Growing(Written):
    """A journal that grows after its head was read."""

    known: int = 1

    async def head(self) -> int:
        """The position at which it ended when it was asked."""
        return self.known


async def test_a_read_model_within_a_command_is_no_breach() -> None:
    """A follower's full batch may end between two records of one command, beyond where the journal ended at first."""
    records = await (await short_show()).records()
    within = first(records, o.OrderPlaced)
    store = MemoryStore()
    await Follower(Written(records[:within]), WIRE, store).catch_up()
    found = await verify(Growing(records, known=within - 1), WIRE, store)
    assert found.holds
    assert found.position == within + 1
    cut_off = await verify(Growing(records[:within], known=within - 1), WIRE, store)
    assert cut_off.breach is not None
    assert (cut_off.breach.rule, cut_off.breach.position) == ("command", within)


async def test_a_changed_row_of_a_read_model_is_found() -> None:
    """One unit more in a table is seen, and the read model is named."""
    shop = await short_show()
    store = MemoryStore()
    await Follower(shop.journal, WIRE, store).catch_up()
    row = LIVE_STOCK.copy((await store.load(LIVE_STOCK, [(LISTING,)]))[LISTING,])
    row.available += 1
    mark = (await store.marks())["live_stock"]
    await store.commit(Write({"live_stock": (mark, mark.position)}, {LIVE_STOCK: [row]}))
    found = await verify(shop.journal, WIRE, store)
    assert found.breach is None
    assert found.differing == ("live_stock",)
    assert not found.holds


# What somebody with a pen could do: each takes the honest records and returns the position of the first breach.


def _gap(records: list[Record]) -> int:
    del records[4]
    return 5


def _swapped(records: list[Record]) -> int:
    records[3], records[4] = records[4], records[3]
    return 4


def _back_in_time(records: list[Record]) -> int:
    records[6] = evolve(records[6], recorded_at=records[5].recorded_at - timedelta(seconds=1))
    return 7


def _version_skipped(records: list[Record]) -> int:
    place = first(records, o.PaymentCaptured)
    records[place] = evolve(records[place], version=3)
    return place + 1


def _unreadable(records: list[Record]) -> int:
    records[5] = evolve(records[5], state=b"{")
    return 6


def _unknown_topic(records: list[Record]) -> int:
    records[5] = evolve(records[5], topic="voucher.voucher_issued.v1")
    return 6


def _of_another_aggregate(records: list[Record]) -> int:
    place = first(records, o.OrderPlaced)
    records[place] = evolve(records[place], topic="listing.price_set.v1", state=b'{"price_minor":1}')
    return place + 1


def _unreadable_envelope(records: list[Record]) -> int:
    records[0] = evolve(records[0], metadata=b"[]")
    return 1


def _never_reserved(records: list[Record]) -> int:
    return rewrite(records, first(records, li.UnitsCommitted), reservation_id="order-9:1")


def _half_a_command(records: list[Record]) -> int:
    place = first(records, o.OrderPlaced)
    metadata = WIRE.decode_metadata(records[place].metadata)
    begin = next(number for number, each in enumerate(records) if each.metadata == records[place].metadata)
    envelope(records, begin, records=metadata.records + 1)
    return begin + metadata.records + 1


def _end_cut_off(records: list[Record]) -> int:
    envelope(records, len(records) - 1, records=2)
    return len(records)


def _another_command(records: list[Record]) -> int:
    place = first(records, o.OrderRefused)
    records[place] = evolve(records[place], command_id="key-of-somebody-else")
    return place + 1


def _command_twice(records: list[Record]) -> int:
    place = first(records, o.OrderRefused)
    known = records[0].command_id
    envelope(records, place, command_id=known)
    records[place] = evolve(records[place], command_id=known)
    return place + 1


def _reacts_to_the_future(records: list[Record]) -> int:
    return envelope(records, first(records, o.OrderRefused), causation=10_000)


def _jumped_the_queue(records: list[Record]) -> int:
    return envelope(records, first(records, o.OrderRefused), arrival=1)


def _oversold(records: list[Record]) -> int:
    return rewrite(records, first(records, li.UnitsReserved), quantity=50)


def _stock_out_of_nowhere(records: list[Record]) -> int:
    place = first(records, li.StockAllotted)
    rewrite(records, place, quantity=2)
    return next(r.position for r in records if isinstance(read(r), li.UnitsReserved) and read(r).order_id == "order-2")


def _covers_nothing(records: list[Record]) -> int:
    return replace(records, first(records, li.ListingSoldOut), li.OversellCovered(0))


def _short_of_more_than_was_promised(records: list[Record]) -> int:
    return replace(records, first(records, li.ListingSoldOut), li.OversellDeclared(4, (), "count-1")) + 1


def _ordered_and_not_reserved(records: list[Record]) -> int:
    place = first(records, o.OrderPlaced)
    line = evolve(read(records[place]).lines[0], quantity=5)
    return rewrite(records, place, lines=(line,))


def _reserved_for_another(records: list[Record]) -> int:
    rewrite(records, first(records, li.UnitsReserved), order_id="order-9")
    return first(records, o.OrderPlaced) + 1


def _reserved_at_another_price(records: list[Record]) -> int:
    rewrite(records, first(records, li.UnitsReserved), amount_minor=1)
    return first(records, o.OrderPlaced) + 1


def _reserved_and_not_ordered(records: list[Record]) -> int:
    place = first(records, o.OrderPlaced)
    placed = read(records[place])
    asked = (o.AskedLine(LISTING, 2),)
    refused = o.OrderRefused(STREAM, placed.buyer_id, asked, "window_closed", {}, 1, placed.placed_at)
    return replace(records, place, refused)


def _sold_less_than_was_paid(records: list[Record]) -> int:
    rewrite(records, first(records, li.UnitsCommitted), quantity=1)
    return first(records, o.PaymentCaptured) + 1


def _sold_and_not_paid(records: list[Record]) -> int:
    return replace(records, first(records, o.PaymentCaptured), o.PaymentFailed("pay-1", "declined"))


def _sold_in_another_currency(records: list[Record]) -> int:
    return rewrite(records, first(records, o.OrderPlaced), currency="KWD")


def _turned_away_for_nothing(records: list[Record]) -> int:
    place = first(records, o.OrderRefused)
    rewrite(records, first(records, li.StockAllotted), quantity=4)
    return place + 1


def _said_more_was_left(records: list[Record]) -> int:
    place = first(records, o.OrderRefused)
    return rewrite(records, place, facts={"listing_id": LISTING, "available": 1})


def _captured_too_much(records: list[Record]) -> int:
    return rewrite(records, first(records, o.PaymentCaptured), amount_minor=5000)


def _refunded_too_much(records: list[Record]) -> int:
    part = o.Allocation("1", LISTING, 99_999)
    return rewrite(records, first(records, o.RefundIssued), amount_minor=99_999, allocations=(part,))


def _refund_that_does_not_add_up(records: list[Record]) -> int:
    return rewrite(records, first(records, o.RefundIssued), amount_minor=999)


def _refund_of_nothing(records: list[Record]) -> int:
    return rewrite(records, first(records, o.RefundIssued), allocations=())


def _wrong_commission(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionAccrued), commission_minor=401)


def _wrong_share(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionAccrued), amount_minor=399)


def _reversed_too_little(records: list[Record]) -> int:
    return rewrite(records, first(records, c.CommissionReversed), amount_minor=1)


def _expired_while_it_was_held(records: list[Record]) -> int:
    return add(records, len(records), "order-2", o.OrderExpired(records[-1].recorded_at))


FORGERIES: Mapping[str, Sequence[Forge]] = {
    "dense": [_gap, _swapped],
    "time": [_back_in_time],
    "version": [_version_skipped],
    "readable": [_unreadable, _unknown_topic, _of_another_aggregate, _unreadable_envelope],
    "fold": [_never_reserved],
    "command": [_half_a_command, _end_cut_off, _another_command, _command_twice],
    "causation": [_reacts_to_the_future],
    "arrival": [_jumped_the_queue],
    "units": [_oversold, _stock_out_of_nowhere, _covers_nothing, _short_of_more_than_was_promised],
    "lines": [
        *(_ordered_and_not_reserved, _reserved_for_another, _reserved_at_another_price, _reserved_and_not_ordered),
        *(_sold_less_than_was_paid, _sold_and_not_paid),
    ],
    "offer": [_sold_in_another_currency],
    "sold_out": [_turned_away_for_nothing, _said_more_was_left],
    "captured": [_captured_too_much],
    "deadlines": [_expired_while_it_was_held],
    "refunds": [_refunded_too_much, _refund_that_does_not_add_up, _refund_of_nothing],
    "commission": [_wrong_commission, _wrong_share, _reversed_too_little],
}


@pytest.mark.parametrize(
    ("rule", "forge"),
    [pytest.param(rule, forge, id=forge.__name__.strip("_")) for rule, many in FORGERIES.items() for forge in many],
)
async def test_a_forgery_is_found_where_it_is(rule: str, forge: Forge) -> None:
    """Each rule finds its breach, and the certificate names the rule and the first position."""
    records = await (await short_show()).records()
    assert (await certificate(records)).holds
    position = forge(records)
    found = await certificate(records)
    assert found.breach is not None
    assert (found.breach.rule, found.breach.position) == (rule, position), found.breach.found
    assert not found.holds


async def test_a_walk_that_breaks_off_says_how_much_it_looked_at() -> None:
    """What lies before the breach was verified and is counted, though it was read together with what lies behind."""
    records = await (await short_show()).records()
    place = first(records, o.PaymentCaptured)
    whole = [each.command_id for each in records[: _captured_too_much(records)] if each.command_id is not None]
    counts = (await certificate(records)).counts
    assert (counts["records"], counts["commands"]) == (place + 1, len(whole))


async def test_shares_that_are_missing_are_found() -> None:
    """A commission split in three of which two were booked does not sum."""
    thirds = (Share("agency-1", 3334), Share("host-1", 3333), Share("stylist-1", 3333))
    shop = Rehearsal()
    async with shop.open():
        await shop.go_live(shares=thirds)
        await shop.offer(1)
        await shop.order("order-1")
        await shop.pay("order-1")
        await Evening(shop, Random(0))._react()
    records = await shop.records()
    assert (await certificate(records)).holds
    envelope(records, len(records) - 3, records=2)
    found = await certificate(records[:-1])
    assert found.breach is not None
    assert (found.breach.rule, found.breach.position) == ("commission", len(records) - 1)


async def test_every_rule_is_broken_by_some_forgery() -> None:
    """No rule is listed that nothing was ever found by."""
    assert set(FORGERIES) == set(RULES)
