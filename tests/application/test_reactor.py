"""The reactor: what follows from what happened is done, whoever does it and whatever fails on the way."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from application import commands as c
from application.payments import Cashier
from application.ports import Payment, ProviderError
from application.reactions import MONEY, SHOP
from application.reactor import Reactor, Timekeeper
from domain.commission.facts import CommissionLocked
from domain.listing.commands import CreateListing
from domain.listing.events import WindowClosed
from domain.order.commands import CloseReturnWindow
from domain.stream.commands import CancelStream, ScheduleStream
from domain.stream.events import EndReason
from domain.terms import Terms
from projections.agenda import Agenda, LaggingError
from projections.follow import Follower
from projections.memory import MemoryStore
from tests.rehearsal import BRAND, HOST, LISTING, STREAM, Rehearsal


def reactor(shop: Rehearsal) -> Reactor:
    """Return a reactor that is told what to react to."""
    nobody: Any = None  # agenda, bookmarks, parking and leadership are for what is not done here
    return Reactor(
        "reactions", SHOP, shop.journal, shop.wire, shop.till, shop.cashier, nobody, nobody, nobody, shop.announcer,
        nobody,
    )  # fmt: skip


async def test_a_reaction_is_never_judged_by_an_earlier_time_than_what_it_follows_from() -> None:
    """A commission is locked also when the clock of the server that reacts is behind that of the one that completed."""
    async with Rehearsal().open() as ahead:
        await ahead.go_live(hold_days=1)
        await ahead.offer(5)
        await ahead.order("order-1")
        await ahead.pay("order-1")
        await ahead.do(c.ShipOrder("order-1"))
        await ahead.do(c.DeliverOrder("order-1"))
        async with Rehearsal(ahead.journal, name="till-2").open() as behind:
            ahead.clock.advance(86_400)
            behind.clock.advance(86_399)
            await ahead.do(c.Tell("order-1", CloseReturnWindow(ahead.till.now())))
            await reactor(behind).catch_up(await behind.records())
        assert any(isinstance(event, CommissionLocked) for event in await ahead.events())


class UnsteadyProvider:
    """A provider that does not answer the first call, and takes its time with the others."""

    def __init__(self) -> None:
        self.calls = 0
        self.refunds: dict[str, int] = {}

    async def charge(self, *, key: str, order_id: str, token: str, amount_minor: int, currency: str) -> Payment:
        """Nothing is charged here."""
        raise AssertionError(key, order_id, token, amount_minor, currency)

    async def refund(self, *, key: str, payment_id: str, amount_minor: int) -> None:
        """Give money back, once a key."""
        del payment_id
        self.calls += 1
        if self.calls == 1:
            raise ProviderError("the provider did not answer in time")
        for _ in range(10):
            await asyncio.sleep(0)
        self.refunds[key] = amount_minor


async def test_money_goes_back_as_soon_as_the_provider_answers() -> None:
    """A provider that is away for a moment is asked again; meanwhile the others get their money, and none is parked."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        for order_id in ("order-1", "order-2"):
            await shop.order(order_id)
            await shop.pay(order_id)
            await shop.do(c.CancelOrder(order_id))
        provider = UnsteadyProvider()
        refunds = reactor(shop)
        refunds.table, refunds.cashier = MONEY, Cashier(shop.till, provider)
        records = await shop.records()
        with pytest.raises(ProviderError):
            await refunds.catch_up(records)
        assert provider.refunds == {"order-2/cancel": 1999}
        await refunds.catch_up(records)
        assert provider.refunds == {"order-1/cancel": 1999, "order-2/cancel": 1999}
        assert refunds.parked == 0


class LateAgenda:
    """Read models that are behind at first."""

    def __init__(self) -> None:
        self.asked = 0

    async def due(self, now: datetime, limit: int) -> Sequence[tuple[str, str, int]]:
        """Nothing is due here."""
        raise AssertionError(now, limit)

    async def next_due(self) -> datetime | None:
        """Nothing is due here."""
        raise AssertionError

    async def listings_of(self, stream_id: str, position: int) -> Sequence[str]:
        """Have the listings from the second time on."""
        self.asked += 1
        if self.asked == 1:
            raise LaggingError(f"live_stock does not have position {position} of {stream_id} yet")
        return [LISTING]


async def test_read_models_that_are_behind_are_waited_for() -> None:
    """The windows of a show that has ended are closed as soon as it is known which there are."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.do(c.EndStream(STREAM, EndReason.HOST))
        reactions = reactor(shop)
        reactions.agenda = LateAgenda()
        records = await shop.records()
        with pytest.raises(LaggingError):
            await reactions.catch_up(records)
        await reactions.catch_up(records)
        assert reactions.parked == 0
        assert any(isinstance(event, WindowClosed) for event in await shop.events(LISTING))


async def test_windows_that_were_planned_never_open_in_a_show_that_was_called_off() -> None:
    """They are closed when the show is, so that no countdown runs to a sale that will not be."""
    async with Rehearsal().open() as shop:
        now = shop.till.now()
        show = ScheduleStream("A show", HOST, BRAND, now, "EUR", Terms(1000, 14), now)
        await shop.do(c.Tell(STREAM, show, new=True))
        product = CreateListing(STREAM, "sku-1", "A product", "EUR", 1999, 5, 300)
        await shop.do(c.CreateListing(LISTING, product, c.Period(now + timedelta(minutes=5), None, 60)))
        await shop.do(c.Tell(STREAM, CancelStream()))
        store = MemoryStore()
        follower, reactions = Follower(shop.journal, shop.wire, store), reactor(shop)
        reactions.agenda = Agenda(store, follower.wait_for)
        await follower.catch_up()
        await reactions.catch_up(await shop.records())
        await follower.catch_up()
        shop.clock.advance(300)
        nobody: Any = None
        assert await Timekeeper(shop.till, reactions.agenda, nobody).tick() == 0
        assert (await shop.events(LISTING))[-1] == WindowClosed(1, now, "stream_ended")
        assert (await shop.state(LISTING)).status(shop.till.now()) == "closed"


class Bookmark:
    """Remembers every position it was told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    async def get(self, name: str) -> int:
        """Begin at the beginning."""
        return len(name) * 0

    async def set(self, name: str, position: int) -> None:
        """Note a position."""
        del name
        self.told.append(position)


async def test_the_bookmark_moves_at_once_only_past_what_was_done() -> None:
    """What nothing follows from is noted now and then: a show that sells would otherwise commit for every batch."""
    async with Rehearsal().open() as shop:
        await shop.go_live()
        await shop.offer(5)
        await shop.order("order-1")
        reactions, bookmark = reactor(shop), Bookmark()
        reactions.bookmarks = bookmark
        await reactions._step()
        first = reactions.position
        assert bookmark.told == [first]
        await shop.order("order-2")
        await reactions._step()
        assert reactions.position > first
        assert bookmark.told == [first]
        await shop.pay("order-1")
        await reactions._step()
        assert bookmark.told == [first, reactions.position]


async def test_what_stays_unnoted_is_noted_when_nothing_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reactor that has nothing to do is not behind for longer than a moment."""
    monkeypatch.setattr("application.reactor.NOTE_SECONDS", 0.05)
    async with Rehearsal().open() as shop:
        await shop.go_live()
        reactions, bookmark = reactor(shop), Bookmark()
        reactions.bookmarks = bookmark
        await reactions._step()
        await shop.offer(5)
        await reactions._step()
        await reactions._step()
        await reactions._step()
        assert bookmark.told[-1] == await shop.journal.head()
