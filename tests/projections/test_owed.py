"""Commissions against their orders: what a payment or refund means for them has come about, or is named."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import define, evolve, field

from application import commands as c
from application.ports import Batch, Draft
from domain.commission.facts import HoldCommission, ReleaseCommissionHold
from domain.listing.events import UnitsCommitted, UnitsReserved
from domain.order.commands import CloseReturnWindow, IssueRefund
from domain.order.events import OrderPlaced
from domain.record import Metadata
from domain.stream.commands import JoinCoHost, LeaveCoHost
from domain.terms import Share
from projections.attic import Attic
from projections.breach import Breach
from projections.owed import Owed
from projections.verify import Certificate, verify
from tests.builders import AIR_TIME, accrued
from tests.projections.books import WIRE
from tests.projections.forging import Written
from tests.rehearsal import HOST, LISTING, STREAM, Rehearsal

OWN = "commission-1-1-host-1-percent"


@define
class Reacting:
    """A shop whose reactions are done by hand, or not at all."""

    shop: Rehearsal = field(factory=Rehearsal)

    async def sell(self, *, buyer: str = "buyer-1", shares: tuple[Share, ...] = ()) -> None:
        """Sell two things for 19.99 and 5.00 in one order, and see it paid."""
        await self.shop.go_live(shares=shares)
        await self.shop.offer(5)
        await self.shop.offer(5, listing_id="listing-2", price_minor=500)
        lines = (c.AskLine(LISTING, 1), c.AskLine("listing-2", 1))
        await self.shop.do(c.PlaceOrder("order-1", STREAM, buyer, lines))
        await self.shop.pay("order-1")

    async def accrue(self) -> None:
        """Do what follows from the payment."""
        await self.shop.do(c.AccrueCommissions("order-1"))

    async def refund(self, number: int, amount_minor: int) -> None:
        """Give some of the first line back."""
        await self.shop.do(c.Tell("order-1", IssueRefund(f"refund-{number}", "1", amount_minor, "goodwill")))

    async def revise(self) -> None:
        """Do what follows from a refund."""
        await self.shop.do(c.ReviseCommissions("order-1", ("1",)))

    async def deliver(self) -> None:
        """Send what was ordered, and see it arrive."""
        await self.shop.do(c.ShipOrder("order-1"))
        await self.shop.do(c.DeliverOrder("order-1"))

    async def qualify(self) -> None:
        """Do what follows from the delivery."""
        await self.shop.do(c.QualifyCommissions("order-1"))

    async def complete(self) -> None:
        """Let the return window end."""
        self.shop.clock.advance(14 * 86_400)
        await self.shop.do(c.Tell("order-1", CloseReturnWindow(self.shop.till.now())))

    async def lock(self) -> None:
        """Do what follows from the end."""
        await self.shop.do(c.LockCommissions("order-1"))

    async def head(self) -> int:
        """How far the journal goes."""
        return await self.shop.journal.head()

    async def found(self, reacted: int | None = None, **facts: Any) -> Certificate:
        """Verify; unless told the reactions claim to have come to the end."""
        reacted = await self.head() if reacted is None else reacted
        return await verify(self.shop.journal, self.shop.wire, reacted=reacted, **facts)


@pytest.fixture
async def reacting() -> AsyncIterator[Reacting]:
    """A shop that is open."""
    shop = Rehearsal()
    async with shop.open():
        yield Reacting(shop)


async def test_commissions_that_follow_their_orders_hold(reacting: Reacting) -> None:
    """Payment, refunds, and a refund before the one in front of it was reacted to."""
    await reacting.sell(shares=(Share(HOST, 5000), Share("agency-1", 5000)))
    await reacting.accrue()
    for number in range(3):
        await reacting.refund(number, 100)
    await reacting.revise()
    found = await reacting.found()
    assert found.owed == ()
    assert found.holds
    assert found.reacted == await reacting.head()


async def test_a_payment_that_nobody_was_credited_for_is_named(reacting: Reacting) -> None:
    """Both lines, for both payees: the certificate says which, on what, and since when."""
    await reacting.sell(shares=(Share(HOST, 5000), Share("agency-1", 5000)))
    found = await reacting.found()
    assert found.breach is None
    assert not found.holds
    lines = [(each.line_id, each.base_minor) for each in found.owed if isinstance(each, Owed)]
    assert lines == [("1", 1999), ("1", 1999), ("2", 500), ("2", 500)]
    assert {each.position for each in found.owed} == {await reacting.head()}


async def test_a_refund_that_left_the_commission_as_it_was_is_named(reacting: Reacting) -> None:
    """All was given back, and the host would be paid as if nothing had been."""
    await reacting.sell()
    await reacting.accrue()
    await reacting.refund(1, 1999)
    found = await reacting.found()
    position = await reacting.head()
    assert [str(each) for each in found.owed] == [
        f"commission {OWN} must stand on 0, as line 1 of order-1 does since position {position}"
    ]
    await reacting.revise()
    assert (await reacting.found()).holds


async def test_an_accrual_that_missed_a_refund_is_named(reacting: Reacting) -> None:
    """Done by hand and too late, it stands on what has gone back meanwhile."""
    await reacting.sell()
    await reacting.refund(1, 1999)
    await reacting.revise()
    await reacting.accrue()
    assert [each.commission_id for each in (await reacting.found()).owed] == [OWN]


async def test_a_delivery_and_a_completion_that_nobody_reacted_to_are_named(reacting: Reacting) -> None:
    """The host would wait for ever: the certificate says for which commissions, what they lack, and since when."""
    await reacting.sell()
    await reacting.accrue()
    await reacting.deliver()
    delivered = await reacting.head()
    second = OWN.replace("1-1", "1-2")
    assert [str(each) for each in (await reacting.found()).owed] == [
        f"commission {OWN} must become qualified, as line 1 of order-1 was delivered at position {delivered}",
        f"commission {second} must become qualified, as line 2 of order-1 was delivered at position {delivered}",
    ]
    await reacting.qualify()
    assert (await reacting.found()).holds
    await reacting.complete()
    completed = await reacting.head()
    assert (await reacting.found(completed - 1)).holds
    assert [str(each) for each in (await reacting.found()).owed] == [
        f"commission {OWN} must become locked, as line 1 of order-1 was completed at position {completed}",
        f"commission {second} must become locked, as line 2 of order-1 was completed at position {completed}",
    ]
    await reacting.lock()
    assert (await reacting.found()).holds


async def qualified_and_held(reacting: Reacting) -> None:
    """Sell, deliver and qualify, and have somebody look into what the host earns."""
    await reacting.sell()
    await reacting.accrue()
    await reacting.deliver()
    await reacting.qualify()
    await reacting.shop.do(c.Tell(OWN, HoldCommission("audit")))


async def test_a_commission_that_is_held_need_not_lock(reacting: Reacting) -> None:
    """Its order is completed while somebody looks into it; it is locked when it is let go."""
    await qualified_and_held(reacting)
    await reacting.complete()
    await reacting.lock()
    assert (await reacting.found()).holds
    await reacting.shop.do(c.Tell(OWN, ReleaseCommissionHold(reacting.shop.till.now())))
    assert (await reacting.found()).holds


async def test_a_commission_that_was_let_go_may_lock_before_its_order_is_completed(reacting: Reacting) -> None:
    """Its time has come and the order's end is still to be written down: nothing is left to do after it."""
    await qualified_and_held(reacting)
    reacting.shop.clock.advance(14 * 86_400)
    await reacting.shop.do(c.Tell(OWN, ReleaseCommissionHold(reacting.shop.till.now())))
    await reacting.complete()
    await reacting.lock()
    assert (await reacting.found()).holds


async def test_what_is_younger_than_the_bookmark_is_not_judged(reacting: Reacting) -> None:
    """A reaction may be on its way; and it takes in whatever else has happened to its line by then."""
    await reacting.sell()
    await reacting.accrue()
    await reacting.refund(1, 100)
    first = await reacting.head()
    assert (await reacting.found(first - 1)).holds
    assert not (await reacting.found(first)).holds
    await reacting.refund(2, 100)
    await reacting.revise()
    assert (await reacting.found(first)).holds


async def test_what_is_owed_for_long_is_put_away_and_named_all_the_same(
    reacting: Reacting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attic that keeps nothing at hand: the reversal finds what it was to do, and the rest is there at the end."""
    monkeypatch.setattr(Attic.__init__, "__defaults__", (0,))
    await reacting.sell()
    await reacting.accrue()
    await reacting.refund(1, 1999)
    assert [each.commission_id for each in (await reacting.found(chunk=1)).owed] == [OWN]
    await reacting.revise()
    await reacting.deliver()
    assert [each.line_id for each in (await reacting.found(chunk=1)).owed] == ["1", "2"]
    await reacting.qualify()
    await reacting.complete()
    assert [each.line_id for each in (await reacting.found(chunk=1)).owed] == ["1", "2"]
    await reacting.lock()
    assert (await reacting.found(chunk=1)).holds


async def test_a_journal_by_itself_is_not_asked(reacting: Reacting) -> None:
    """Without the bookmark nobody can tell what is late from what is lost."""
    await reacting.sell()
    assert (await reacting.found(0)).holds


async def test_a_commission_that_follows_from_nothing_is_a_breach(reacting: Reacting) -> None:
    """Somebody who has no share is credited for a line that was paid."""
    await reacting.sell()
    await reacting.accrue()
    shares = (Share("friend-1", 10_000),)
    topic, state = WIRE.encode(accrued(payee_id="friend-1", shares=shares))
    position = await reacting.head() + 1
    metadata = WIRE.encode_metadata(Metadata("test:test", "planted", "accrue_commissions", AIR_TIME))
    friends = OWN.replace(HOST, "friend-1")
    await reacting.shop.journal.append(Batch([Draft(friends, 1, topic, state, metadata, "planted")], {friends: 0}))
    assert (await reacting.found(0)).holds
    found = (await reacting.found()).breach
    assert found == Breach(position, "commission", f"{friends} follows from no payment or refund")


@pytest.mark.parametrize("buyer", [HOST, "host-2", "agency-1"])
async def test_a_sale_out_of_terms_owes_nothing_after_it_was_said(reacting: Reacting, buyer: str) -> None:
    """Whoever hosts the show or earns on it earns nothing on what they buy themselves, whatever goes back."""
    await reacting.sell(buyer=buyer, shares=(Share("agency-1", 10_000),))
    await reacting.shop.do(c.Tell(STREAM, JoinCoHost("host-2")))
    assert len((await reacting.found()).owed) == 2
    await reacting.accrue()
    await reacting.shop.do(c.Tell(STREAM, LeaveCoHost("host-2")))
    await reacting.refund(1, 100)
    await reacting.revise()
    await reacting.deliver()
    await reacting.qualify()
    assert (await reacting.found()).holds


async def test_a_sale_is_found_out_of_terms_after_it_was_delivered(reacting: Reacting) -> None:
    """The reactions are late: it is delivered and owed, and then it never was."""
    await reacting.sell(buyer=HOST)
    await reacting.deliver()
    assert len((await reacting.found()).owed) == 4
    await reacting.accrue()
    await reacting.qualify()
    for reacted in (0, 1, await reacting.head()):
        assert (await reacting.found(reacted)).holds


@pytest.mark.parametrize(("buyer", "forged"), [("buyer-1", HOST), (HOST, "buyer-1")])
async def test_whoever_is_wrongly_in_or_out_of_terms_is_found(reacting: Reacting, buyer: str, forged: str) -> None:
    """Somebody else's name on the order and its units makes a commission of none, or none of one."""
    await reacting.sell(buyer=buyer)
    await reacting.accrue()
    records = await reacting.shop.records()
    for place, record in enumerate(records):
        event = WIRE.decode(record.topic, record.state)
        if isinstance(event, OrderPlaced | UnitsReserved | UnitsCommitted):
            records[place] = evolve(record, state=WIRE.encode(evolve(event, buyer_id=forged))[1])
    found = (await verify(Written(records), WIRE, reacted=len(records))).breach
    assert found is not None
    assert (found.rule, found.position) == ("commission", next(r.position for r in records if r.history_id == OWN))


async def test_states_that_were_dropped_make_no_difference(reacting: Reacting) -> None:
    """With room for one state the same is named."""
    await reacting.sell()
    await reacting.accrue()
    await reacting.refund(1, 1999)
    assert await reacting.found(kept_states=1, chunk=1) == await reacting.found()
