"""The till rings up ahead while a batch is in flight: nobody notices, whatever becomes of the one in flight."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from adapters.journal_memory import MemoryJournal
from application import commands as c
from application import till as till_module
from application.ports import (
    Appended,
    Batch,
    Conflict,
    JournalRejectedError,
    JournalUnavailableError,
    Limits,
    OutcomeUnknownError,
)
from application.tickets import Verdict
from domain.listing.commands import AllotStock
from domain.order.events import OrderPlaced, OrderRefused
from domain.record import Record
from tests.rehearsal import LISTING, Rehearsal

ONE_BY_ONE = Limits(batch=1, outage_seconds=0)


class HeldJournal(MemoryJournal):
    """A journal whose next appends are held up on their way, and end as the test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.batches: list[Batch] = []
        self.gate = asyncio.Event()
        self.away = False
        self.poison = b""

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Do what is next in ``faults``, or append."""
        self.batches.append(batch)
        fault = self.faults.pop(0) if self.faults else ""
        if fault.startswith("held"):
            await self.gate.wait()
        poisoned = self.poison and any(self.poison in draft.state for draft in batch.drafts)
        if fault.endswith("rejected") or poisoned:
            raise JournalRejectedError("the database refuses this data")
        if fault.endswith("unavailable"):
            raise JournalUnavailableError("the database is away")
        if fault.endswith("lost before"):
            raise OutcomeUnknownError("the connection was lost")
        result = await super().append(batch)
        if fault.endswith("lost after"):
            raise OutcomeUnknownError("the connection was lost")
        return result

    async def load(self, tails: Mapping[str, int], limit: int | None = None) -> Sequence[Record]:
        """Read, unless the database is away."""
        if self.away:
            raise JournalUnavailableError("the database is away")
        return await super().load(tails, limit)


async def opened(shop: Rehearsal, units: int) -> HeldJournal:
    """Open a show with one listing, and return the journal behind."""
    await shop.go_live()
    await shop.offer(units)
    assert isinstance(shop.journal, HeldJournal)
    shop.journal.batches.clear()
    return shop.journal


def ordering(shop: Rehearsal, *order_ids: str) -> list[asyncio.Task[Verdict]]:
    """Let each order be placed by a caller of its own, in this order."""
    return [asyncio.create_task(shop.order(each)) for each in order_ids]


async def until_rung_up_ahead(shop: Rehearsal, queued: int = 0) -> None:
    """Wait until one batch is held on its way, and another was rung up over it."""
    assert isinstance(shop.journal, HeldJournal)
    while not shop.journal.batches or shop.till.queued > queued:
        await asyncio.sleep(0)


async def story(shop: Rehearsal) -> list[tuple[str, str]]:
    """What the journal says of orders, in its order."""
    told = {record.history_id: record for record in await shop.records() if record.history_id.startswith("order-")}
    events = {each: shop.wire.decode(record.topic, record.state) for each, record in told.items()}
    return [(each, "refused" if isinstance(event, OrderRefused) else "placed") for each, event in events.items()]


async def test_the_next_batch_is_judged_on_what_the_one_in_flight_leaves() -> None:
    """Who comes second for the last unit is refused at once, but told only when the first one's order is durable."""
    async with Rehearsal(HeldJournal(), limits=ONE_BY_ONE).open() as shop:
        journal = await opened(shop, 1)
        journal.faults = ["held", "held"]
        first, second = ordering(shop, "order-1", "order-2")
        await until_rung_up_ahead(shop)
        assert len(journal.batches) == 1  # one append at a time
        assert not first.done()
        assert not second.done()
        journal.gate.set()
        assert (await first).refusal is None
        refused = await second
        assert refused.refusal is not None
        assert refused.refusal.name == "sold_out"
        assert refused.position > (await first).position
        assert [len(batch.drafts) for batch in journal.batches] == [3, 1]  # sold out is said with the first
        assert await story(shop) == [("order-1", "placed"), ("order-2", "refused")]
        assert shop.till.counts.conflicts == 0


async def test_nobody_is_answered_before_their_own_append() -> None:
    """That the batch before stands is not enough."""
    async with Rehearsal(HeldJournal(), limits=ONE_BY_ONE).open() as shop:
        journal = await opened(shop, 2)
        journal.faults = ["", "held"]
        first, second = ordering(shop, "order-1", "order-2")
        assert (await first).refusal is None
        while len(journal.batches) < 2:
            await asyncio.sleep(0)
        assert not second.done()
        assert await story(shop) == [("order-1", "placed")]
        journal.gate.set()
        assert (await second).refusal is None


async def test_what_was_rung_up_over_a_conflict_is_forgotten() -> None:
    """Another till sells a unit while ours is in flight: ours is rung up again, and so is the next, who goes empty."""
    async with (
        Rehearsal(HeldJournal(), limits=ONE_BY_ONE).open() as shop,
        Rehearsal(shop.journal, shop.clock, name="till-2").open() as other,
    ):
        journal = await opened(shop, 2)
        journal.faults = ["held"]
        first, second = ordering(shop, "order-1", "order-2")
        await until_rung_up_ahead(shop)
        assert (await other.order("order-elsewhere")).refusal is None
        journal.gate.set()
        assert (await first).refusal is None
        refused = await second
        assert refused.refusal is not None
        assert refused.refusal.name == "sold_out"
        assert await story(shop) == [("order-elsewhere", "placed"), ("order-1", "placed"), ("order-2", "refused")]
        assert shop.till.counts.conflicts == 1


@pytest.mark.parametrize("fault", ["held lost after", "held lost before"])
async def test_what_was_rung_up_over_a_lost_reply_waits_for_the_truth(fault: str, monkeypatch: Any) -> None:
    """Whether the append in flight stood or not, each is served once, in the order in which they came."""
    monkeypatch.setattr(till_module, "RETRY_SECONDS", 0)
    async with Rehearsal(HeldJournal(), limits=Limits(batch=1, outage_seconds=5)).open() as shop:
        journal = await opened(shop, 1)
        journal.faults = [fault]
        first, second, third = ordering(shop, "order-1", "order-2", "order-3")
        await until_rung_up_ahead(shop, queued=1)
        journal.gate.set()
        assert (await first).refusal is None
        assert (await second).refusal is not None
        assert (await third).refusal is not None
        assert await story(shop) == [("order-1", "placed"), ("order-2", "refused"), ("order-3", "refused")]
        assert shop.till.counts.unknown == 1


async def test_what_was_rung_up_over_rejected_data_is_forgotten() -> None:
    """The database refuses the order that took the last unit: the unit goes to the next, who was refused before."""
    async with Rehearsal(HeldJournal(), limits=ONE_BY_ONE).open() as shop:
        journal = await opened(shop, 1)
        journal.faults = ["held rejected"]
        first, second = ordering(shop, "order-1", "order-2")
        await until_rung_up_ahead(shop)
        journal.gate.set()
        with pytest.raises(JournalRejectedError):
            await first
        assert (await second).refusal is None
        assert await story(shop) == [("order-2", "placed")]


async def test_those_rung_up_over_an_outage_are_told_of_it() -> None:
    """They have waited for the same database; what they were to get is still there when it is back."""
    async with Rehearsal(HeldJournal(), limits=ONE_BY_ONE).open() as shop:
        journal = await opened(shop, 1)
        journal.faults = ["held unavailable"]
        first, second = ordering(shop, "order-1", "order-2")
        await until_rung_up_ahead(shop)
        journal.gate.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(result) for result in results] == [JournalUnavailableError] * 2
        assert (await shop.order("order-3")).refusal is None
        assert await story(shop) == [("order-3", "placed")]


async def test_what_cannot_be_rung_up_ahead_is_rung_up_when_it_is_the_first() -> None:
    """A history that cannot be loaded while another batch is in flight costs nobody anything."""
    async with Rehearsal(HeldJournal()).open() as before:
        await opened(before, 5)
        await before.offer(5, listing_id="listing-2")
    async with Rehearsal(before.journal, before.clock, limits=ONE_BY_ONE, name="till-2").open() as shop:
        journal = before.journal
        assert isinstance(journal, HeldJournal)
        journal.faults = ["held"]
        journal.batches.clear()
        first = asyncio.create_task(shop.order("order-1"))
        second = asyncio.create_task(shop.order("order-2", listing_id="listing-2"))
        while not journal.batches:
            await asyncio.sleep(0)
            journal.away = bool(journal.batches)
        for _ in range(10):
            await asyncio.sleep(0)
        journal.away = False
        journal.gate.set()
        assert (await first).refusal is None
        assert (await second).refusal is None
        assert await story(shop) == [("order-1", "placed"), ("order-2", "placed")]


async def test_a_till_that_closes_leaves_no_append_behind() -> None:
    """Those in flight and those rung up ahead are told that there will be no answer; nothing goes on in secret."""
    async with Rehearsal(HeldJournal(), limits=ONE_BY_ONE).open() as shop:
        journal = await opened(shop, 5)
        journal.faults = ["held"]
        waiting = ordering(shop, "order-1", "order-2", "order-3")
        await until_rung_up_ahead(shop, queued=1)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [JournalUnavailableError] * 3
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert await story(shop) == []


async def test_who_was_rung_up_ahead_in_vain_keeps_their_place() -> None:
    """A whole batch goes back to the head of the queue, in the order in which its buyers came."""
    async with Rehearsal(HeldJournal(), limits=Limits(batch=2, outage_seconds=0)).open() as shop:
        journal = await opened(shop, 3)
        journal.faults = ["held rejected"]
        journal.poison = b"order-1"
        waiting = ordering(shop, *(f"order-{number}" for number in range(1, 7)))
        await until_rung_up_ahead(shop, queued=2)
        journal.gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], JournalRejectedError)
        assert await story(shop) == [
            ("order-2", "placed"), ("order-3", "placed"), ("order-4", "placed"),
            ("order-5", "refused"), ("order-6", "refused"),
        ]  # fmt: skip


async def test_a_history_is_one_version_to_a_batch_whatever_is_loaded_meanwhile() -> None:
    """Somebody looks at a listing that another till has moved, in the middle of a batch, which is judged on one."""
    many = till_module.AT_A_TIME * 2
    async with (
        Rehearsal(HeldJournal()).open() as shop,
        Rehearsal(shop.journal, shop.clock, name="till-2").open() as other,
    ):
        await opened(shop, 1)
        await shop.order("order-first")
        await other.do(c.Tell(LISTING, AllotStock(3, "more")))
        before = shop.till.counts.batches
        waiting = ordering(shop, *(f"order-{number}" for number in range(many)))
        await asyncio.sleep(0)
        while shop.till.queued:
            await asyncio.sleep(0)
        await shop.till.look(LISTING)
        verdicts = await asyncio.gather(*waiting)
        assert [verdict.refusal is None for verdict in verdicts] == [True] * 3 + [False] * (many - 3)
        assert (shop.till.counts.conflicts, shop.till.counts.batches - before) == (1, 1)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_to_appends_everybody_gets_the_answer_that_the_journal_gives(
    seed: int, monkeypatch: Any
) -> None:
    """Two tills, failures of every kind: what each buyer is told is what stands, and nothing is sold twice."""
    monkeypatch.setattr(till_module, "RETRY_SECONDS", 0)
    limits = Limits(batch=3, outage_seconds=60)
    async with (
        Rehearsal(HeldJournal(), limits=limits).open() as shop,
        Rehearsal(shop.journal, shop.clock, name="till-2", limits=limits).open() as other,
    ):
        journal = await opened(shop, 20)
        journal.faults = random.Random(seed).choices(["", "", "lost after", "lost before", "unavailable"], k=60)
        tills = (shop, shop, shop, other)
        waiting = [tills[number % 4].order(f"order-{number}", buyer=f"buyer-{number}") for number in range(40)]
        verdicts = await asyncio.gather(*waiting)
        told = {
            f"order-{number}": "placed" if verdict.refusal is None else "refused"
            for number, verdict in enumerate(verdicts)
        }
        assert dict(await story(shop)) == told
        events = await shop.events()
        assert sum(isinstance(event, OrderPlaced) for event in events) == 20
        assert sum(isinstance(event, OrderRefused) for event in events) == 20
        units = (await shop.state(LISTING)).units
        assert (units.available, units.reserved) == (0, 20)
