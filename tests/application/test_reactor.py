"""The reactor: what follows from what happened is done, whoever does it and whatever fails on the way."""

from typing import Any

from application import commands as c
from application.reactions import SHOP
from application.reactor import Reactor
from domain.commission.facts import CommissionLocked
from domain.order.commands import CloseReturnWindow
from tests.rehearsal import Rehearsal


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
