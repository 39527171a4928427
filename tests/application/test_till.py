"""The till: batches, verdicts, and what it does when the journal fails it."""

import asyncio
from typing import Any

import pytest

from adapters.journal_memory import MemoryJournal
from adapters.wire import JsonWire
from application import commands as c
from application.ports import (
    Appended,
    Batch,
    Conflict,
    JournalDamagedError,
    JournalRejectedError,
    JournalUnavailableError,
    Limits,
    OutcomeUnknownError,
)
from application.tickets import OverloadedError
from domain.listing.commands import ScheduleDiscount
from domain.listing.events import UnitsReserved
from domain.order.commands import IssueRefund
from domain.order.events import OrderPlaced, OrderRefused
from domain.record import UnreadableError
from domain.refusal import NotAllowedNow
from domain.stream.commands import PublishTeaser
from domain.stream.events import EndReason
from tests.rehearsal import LISTING, STREAM, Rehearsal


class FailingJournal(MemoryJournal):
    """A journal whose next appends go wrong in the ways listed, one a call."""

    def __init__(self, *faults: str) -> None:
        super().__init__()
        self.faults = list(faults)
        self.armed = False
        self.poison = b""

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Fail as told, or append."""
        fault = self.faults.pop(0) if self.armed and self.faults else ""
        if self.poison and any(self.poison in draft.state for draft in batch.drafts):
            raise JournalRejectedError("the database refuses this data")
        if fault == "unavailable":
            raise JournalUnavailableError("the database is away")
        if fault == "damaged":
            raise JournalDamagedError("a position is taken")
        if fault == "lost before":
            raise OutcomeUnknownError("the connection was lost")
        result = await super().append(batch)
        if fault == "lost after":
            raise OutcomeUnknownError("the connection was lost")
        return result


class OlderWire(JsonWire):
    """A wire that cannot read the first reservation, as if a later version had written it."""

    def decode(self, topic: str, state: bytes) -> Any:
        """Refuse that one record."""
        event = super().decode(topic, state)
        if isinstance(event, UnitsReserved) and event.order_id == "order-1":
            raise UnreadableError("a later version wrote this")
        return event


async def placed(shop: Rehearsal) -> int:
    """Count the orders in the journal."""
    return sum(isinstance(event, OrderPlaced) for event in await shop.events())


async def test_the_last_units_go_to_those_who_came_first() -> None:
    """Of many who buy in the same moment, exactly the first are served, and everybody else is on record in order."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(100)
        verdicts = await asyncio.gather(*(shop.order(f"order-{n}", buyer=f"buyer-{n}") for n in range(250)))
        assert [verdict.refusal is None for verdict in verdicts] == [True] * 100 + [False] * 150
        refused = [event for event in await shop.events() if isinstance(event, OrderRefused)]
        assert [event.buyer_id for event in refused] == [f"buyer-{n}" for n in range(100, 250)]
        assert {event.reason for event in refused} == {"sold_out"}
        arrivals = [event.arrival for event in refused]
        assert arrivals == sorted(arrivals)
        assert (await shop.state(LISTING)).units.available == 0


async def test_arrivals_during_an_append_share_the_next() -> None:
    """A thousand commands that arrive together take a handful of appends."""
    async with Rehearsal(limits=Limits(batch=500)).open() as shop:
        await shop.go_live()
        await shop.offer(1000)
        before = shop.till.counts.batches
        await asyncio.gather(*(shop.order(f"order-{n}") for n in range(1000)))
        assert shop.till.counts.batches - before <= 3


async def test_a_repeated_key_gets_its_first_answer() -> None:
    """Whoever asks again with the same key is told what was said first, and nothing is written."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        first = await shop.order("order-1", key="k")
        length = len(await shop.records())
        again = await shop.order("order-2", key="k")
        assert (again.replayed, again.position) == (True, first.position)
        assert (again.events, again.state) == (first.events, first.state)
        assert len(await shop.records()) == length


async def test_a_repeated_refusal_is_the_first_refusal() -> None:
    """A buyer who was too late stays too late under the same key, also when units have come back since."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(1)
        await shop.order("order-1")
        first = await shop.order("order-2", key="k")
        await shop.do(c.CancelOrder("order-1"))
        again = await shop.order("order-3", key="k")
        assert again.replayed
        assert again.refusal is not None
        assert first.refusal is not None
        assert (again.refusal.name, again.refusal.facts) == (first.refusal.name, first.refusal.facts)


async def test_two_with_one_key_at_once_are_one() -> None:
    """The same key twice in one moment is one order; both are told of it."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        one, two = await asyncio.gather(shop.order("order-1", key="k"), shop.order("order-2", key="k"))
        assert one.events == two.events
        assert (one.replayed, two.replayed) == (False, True)
        assert await placed(shop) == 1


async def test_a_key_used_for_something_else_is_a_conflict() -> None:
    """A key stands for one request; with another body it is refused and nothing is written."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        line = (c.AskLine(LISTING, 1),)
        await shop.ask(c.PlaceOrder("order-1", STREAM, "b", line), "k", body="one")
        other = await shop.ask(c.PlaceOrder("order-2", STREAM, "b", line), "k", body="two")
        assert other.refusal is not None
        assert other.refusal.name == "idempotency_conflict"
        assert await placed(shop) == 1


async def test_keys_outlive_the_till() -> None:
    """A till that knows nothing of an earlier one's answers finds them in the journal, by the append itself."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        first = await shop.order("order-1", key="k")
        async with Rehearsal(journal=shop.journal, clock=shop.clock, name="till-2").open() as later:
            again = await later.order("order-2", key="k")
            assert (again.replayed, again.events, again.state) == (True, first.events, first.state)
            assert await placed(later) == 1


async def test_a_key_whose_work_is_done_gets_its_first_answer_from_another_till() -> None:
    """Also a command that has nothing left to do, and would write nothing, is known by its key after a restart."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.order("order-1")
        await shop.pay("order-1")
        refunding = c.Tell("order-1", IssueRefund("refund-1", None, 500, "goodwill"))
        first = await shop.ask(refunding, "k", body="one")
        async with Rehearsal(journal=shop.journal, clock=shop.clock, name="till-2").open() as later:
            again = await later.ask(refunding, "k", body="one")
            assert (again.replayed, again.events, again.state) == (True, first.events, first.state)
        async with Rehearsal(journal=shop.journal, clock=shop.clock, name="till-3").open() as later:
            other = await later.ask(refunding, "k", body="two")
            assert other.refusal is not None
            assert other.refusal.name == "idempotency_conflict"


async def test_two_tills_on_one_listing_never_oversell_and_both_go_on() -> None:
    """Where two tills meet on one listing, each serves buyers, and together they sell exactly what is there."""
    async with (
        Rehearsal(name="till-1", limits=Limits(batch=8)).open() as one,
        Rehearsal(journal=one.journal, clock=one.clock, name="till-2", limits=Limits(batch=8)).open() as two,
    ):
        await one.go_live()
        await one.offer(100)
        verdicts = await asyncio.gather(
            *(shop.order(f"order-{shop.name}-{n}") for n in range(100) for shop in (one, two))
        )
        served = [verdict for verdict in verdicts if verdict.refusal is None]
        assert len(served) == 100
        assert {till_of(verdict) for verdict in served} == {"till-1", "till-2"}
        assert (await one.state(LISTING)).units.available == 0
        assert one.till.counts.conflicts + two.till.counts.conflicts > 0


def till_of(verdict: Any) -> str:
    """Tell which till an order came through, by its id."""
    order_id = verdict.events[-1][0]
    return str(order_id).removeprefix("order-").rpartition("-")[0]


async def test_a_refusal_rests_on_what_is_so_now() -> None:
    """A till that remembers an empty shop does not refuse what another till has opened since, even unrecorded."""
    async with (
        Rehearsal(name="till-1").open() as one,
        Rehearsal(journal=one.journal, clock=one.clock, name="till-2").open() as two,
    ):
        unknown = await two.ask(c.Tell(STREAM, PublishTeaser("soon")))
        assert unknown.refusal is not None
        await one.go_live()
        assert (await two.ask(c.Tell(STREAM, PublishTeaser("soon")))).refusal is None


async def test_no_window_opens_in_a_show_that_another_till_has_ended() -> None:
    """What is opened rests on the show as well: a till that remembers it live finds out in the append."""
    async with (
        Rehearsal(name="till-1").open() as one,
        Rehearsal(journal=one.journal, clock=one.clock, name="till-2").open() as two,
    ):
        await one.go_live()
        await one.offer(1)
        await two.do(c.CloseWindow(LISTING))
        await two.do(c.OpenWindow(LISTING))
        await two.do(c.CloseWindow(LISTING))
        await one.do(c.EndStream(STREAM, EndReason.HOST))
        length = await one.journal.head()
        refusal = (await two.ask(c.OpenWindow(LISTING))).refusal
        assert isinstance(refusal, NotAllowedNow)
        assert (refusal.status, await one.journal.head()) == ("ended", length)


async def test_sold_out_is_judged_on_the_listing_of_now() -> None:
    """Units that another till has put back are sold, not refused from memory."""
    async with (
        Rehearsal(name="till-1").open() as one,
        Rehearsal(journal=one.journal, clock=one.clock, name="till-2").open() as two,
    ):
        await one.go_live()
        await one.offer(1)
        await one.order("order-1")
        assert (await two.order("order-2")).refusal is not None
        await one.do(c.CancelOrder("order-1"))
        assert (await two.order("order-3")).refusal is None


@pytest.mark.parametrize("fault", ["lost after", "lost before", "unavailable"])
async def test_a_failed_append_happens_once_in_effect(fault: str) -> None:
    """Whether the append stood or not, the buyer is answered once and the journal holds the order once."""
    journal = FailingJournal(fault)
    async with Rehearsal(journal=journal, limits=Limits(outage_seconds=5)).open() as shop:
        await shop.go_live()
        await shop.offer(5)
        journal.armed = True
        verdict = await shop.order("order-1")
        assert verdict.refusal is None
        assert await placed(shop) == 1
        assert (await shop.state(LISTING)).units.reserved == 1


async def test_an_outage_ends_in_an_error_and_leaves_nothing() -> None:
    """When the database stays away the caller is told so, and the till sells again when it is back."""
    journal = FailingJournal(*["unavailable"] * 100)
    async with Rehearsal(journal=journal).open() as shop:
        await shop.go_live()
        await shop.offer(5)
        journal.armed = True
        with pytest.raises(JournalUnavailableError):
            await shop.order("order-1")
        journal.faults.clear()
        assert (await shop.order("order-2")).refusal is None
        assert await placed(shop) == 1


async def test_an_outage_is_waited_out_once_and_not_once_a_batch() -> None:
    """Those far back in the queue are told as soon as those in front, however many batches there are."""
    journal = FailingJournal(*["unavailable"] * 1_000)
    limits = Limits(batch=1, outage_seconds=0.3)
    async with Rehearsal(journal=journal, limits=limits).open() as shop:
        await shop.go_live()
        await shop.offer(50)
        journal.armed = True
        async with asyncio.timeout(2):
            results = await asyncio.gather(*(shop.order(f"order-{n}") for n in range(50)), return_exceptions=True)
        assert {type(result) for result in results} == {JournalUnavailableError}
        journal.faults.clear()
        assert (await shop.order("order-50")).refusal is None
        assert await placed(shop) == 1


async def test_data_that_the_database_refuses_fails_alone() -> None:
    """One poison command in a batch costs nobody else their order."""
    journal = FailingJournal()
    async with Rehearsal(journal=journal).open() as shop:
        await shop.go_live()
        await shop.offer(50)
        journal.poison = b"buyer-13"
        orders = (shop.order(f"order-{n}", buyer=f"buyer-{n}") for n in range(10, 30))
        results = await asyncio.gather(*orders, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        assert [type(error) for error in failed] == [JournalRejectedError]
        assert await placed(shop) == 19


async def test_a_damaged_journal_is_told_at_once() -> None:
    """Nothing is tried again, for waiting mends nothing; once it is mended the next order goes through."""
    journal = FailingJournal("damaged")
    async with Rehearsal(journal=journal).open() as shop:
        await shop.go_live()
        await shop.offer(5)
        journal.armed = True
        with pytest.raises(JournalDamagedError):
            await shop.order("order-1")
        assert (await shop.order("order-2")).refusal is None
        assert shop.till.counts.outages == 0


async def test_a_fault_of_ours_fails_alone() -> None:
    """A command that breaks while it is decided is told so; its batch goes through."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        broken_command = c.Tell(LISTING, ScheduleDiscount(None))  # type: ignore[arg-type]
        broken, fine = await asyncio.gather(shop.ask(broken_command), shop.order("order-1"), return_exceptions=True)
        assert isinstance(broken, Exception)
        assert not isinstance(fine, BaseException)
        assert fine.refusal is None


async def test_a_history_that_cannot_be_read_fails_only_those_who_need_it() -> None:
    """What follows the unreadable record is not laid on a state that misses it; the rest of the batch goes through."""
    async with Rehearsal().open() as before:
        await before.go_live()
        await before.offer(5)
        await before.offer(5, listing_id="listing-2")
        await before.order("order-1")
        before.clock.advance(301)  # the next order releases the hold that cannot be read
        await before.order("order-2")
    async with Rehearsal(before.journal, before.clock, name="till-2", wire=OlderWire()).open() as shop:
        orders = (shop.order("order-3"), shop.order("order-4", listing_id="listing-2"))
        unreadable, fine = await asyncio.gather(*orders, return_exceptions=True)
        assert isinstance(unreadable, UnreadableError)
        assert not isinstance(fine, BaseException)
        assert fine.refusal is None


async def test_a_full_queue_sheds_load_with_an_answer() -> None:
    """Beyond its bound the till says when to come again, and serves those it has taken in."""
    async with Rehearsal(limits=Limits(queue=10)).open() as shop:
        await shop.go_live()
        await shop.offer(100)
        results = await asyncio.gather(*(shop.order(f"order-{n}") for n in range(30)), return_exceptions=True)
        shed = [result for result in results if isinstance(result, OverloadedError)]
        assert len(shed) == 20
        assert await placed(shop) == 10


async def test_an_edit_of_something_that_moved_is_stale() -> None:
    """Who edits what they saw is refused when it is no longer so."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        stale = await shop.ask(c.Tell(STREAM, PublishTeaser("soon")), if_match=(1,))
        assert stale.refusal is not None
        assert (stale.refusal.name, stale.refusal.facts) == ("stale_version", {"seen": 1, "now": 3})
        assert (await shop.ask(c.Tell(STREAM, PublishTeaser("soon")), if_match=(3,))).refusal is None


async def test_a_closed_till_leaves_nobody_waiting() -> None:
    """Whoever waits for an answer when the till closes is told that there will be none."""
    journal = FailingJournal(*["unavailable"] * 1000)
    async with Rehearsal(journal=journal, limits=Limits(outage_seconds=60)).open() as shop:
        await shop.go_live()
        journal.armed = True
        waiting = asyncio.create_task(shop.ask(c.Tell(STREAM, PublishTeaser("soon"))))
        while not shop.till.counts.outages:
            await asyncio.sleep(0)
    with pytest.raises(JournalUnavailableError):
        await waiting


async def test_a_journal_that_was_set_back_is_believed() -> None:
    """After a restore to an earlier point the till goes by the journal; it does not insist on what it remembers."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(1)
        before = await shop.journal.head()
        await shop.order("order-1")
        assert isinstance(shop.journal, MemoryJournal)
        shop.journal.table.durable = before
        shop.journal.table.roll_back()
        async with asyncio.timeout(5):
            assert (await shop.order("order-2")).refusal is None


async def test_whoever_comes_after_the_till_has_closed_is_told_so() -> None:
    """A till that is closed takes nothing in that it would never answer."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
    with pytest.raises(JournalUnavailableError):
        await shop.ask(c.Tell(STREAM, PublishTeaser("soon")))
