"""A whole shop in memory, made of the real parts: for tests of everything that happens above one aggregate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import Factory, define

from adapters.announce import LocalAnnouncer
from adapters.clocks import ManualClock
from adapters.journal_memory import MemoryJournal
from adapters.payments_sandbox import SandboxProvider
from adapters.wire import JsonWire
from application import commands as c
from application.chapters import Chapters
from application.payments import Cashier
from application.ports import Journal, Limits
from application.tickets import Ticket, Verdict
from application.till import Till
from domain.listing.commands import CreateListing
from domain.listing.offer import Component
from domain.record import Record
from domain.stream.commands import ScheduleStream
from domain.terms import Share, Terms

STREAM, LISTING, HOST, BRAND = "stream-1", "listing-1", "host-1", "brand-1"
SECRET = "whsec_bGl2ZXRpbGwtdGVzdHMtb25seS1zZWNyZXQ="


@define
class Rehearsal:
    """A till over a journal, a clock that stands still, and short words for what tests ask."""

    journal: Journal = Factory(MemoryJournal)
    clock: ManualClock = Factory(ManualClock)
    limits: Limits = Factory(lambda: Limits(outage_seconds=0.5))
    name: str = "till-1"
    wire: JsonWire = Factory(JsonWire)
    announcer: LocalAnnouncer = Factory(LocalAnnouncer)
    chapters: Chapters = Factory(Chapters)
    till: Till = Factory(
        lambda self: Till(
            self.journal, self.wire, self.clock, self.announcer, name=self.name, limits=self.limits,
            chapters=self.chapters,
        ),
        takes_self=True,
    )  # fmt: skip
    callbacks: list[tuple[bytes, Any]] = Factory(list)
    asked: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Rehearsal"]:
        """Run the till for as long as the block lasts."""
        running = asyncio.gather(self.till.run(), self.chapters.run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @property
    def cashier(self) -> Cashier:
        """A cashier with the sandbox behind; callbacks are collected."""

        async def collect(body: bytes, headers: Any) -> int:
            self.callbacks.append((body, headers))
            return 200

        return Cashier(self.till, SandboxProvider(SECRET, self.clock, collect, late_seconds=0))

    def ticket(self, command: Any, key: str = "", *, body: str = "", **facts: Any) -> Ticket:
        """Write a ticket; with a key it may be asked again."""
        self.asked += 1
        return Ticket(
            command=command,
            actor="test:test",
            command_id=key or f"{self.name}-command-{self.asked}",
            ingress_at=self.till.now(),
            keyed=bool(key),
            fingerprint=body,
            **facts,
        )

    async def ask(self, command: Any, key: str = "", *, body: str = "", **facts: Any) -> Verdict:
        """Ring a command up."""
        return await self.till.ring_up(self.ticket(command, key, body=body, **facts))

    async def do(self, command: Any, key: str = "") -> Verdict:
        """Ring up a command that must not be refused."""
        verdict = await self.ask(command, key)
        assert verdict.refusal is None, repr(verdict.refusal)
        return verdict

    async def go_live(self, *, rate_bps: int = 1000, hold_days: int = 14, shares: tuple[Share, ...] = ()) -> None:
        """Announce a show and start it."""
        now = self.till.now()
        terms = Terms(rate_bps, hold_days, shares)
        show = ScheduleStream("A show", HOST, BRAND, now, "EUR", terms, now)
        await self.do(c.Tell(STREAM, show, new=True))
        await self.do(c.StartStream(STREAM))

    async def offer(
        self,
        allotment: int,
        *,
        listing_id: str = LISTING,
        price_minor: int = 1999,
        hold_seconds: int = 300,
        **facts: Any,
    ) -> None:
        """Offer a product whose window is open from now on."""
        components = tuple(Component(*each) for each in facts.pop("components", ()))
        created = CreateListing(
            STREAM, f"sku-{listing_id}", "A product", "EUR", price_minor, allotment, hold_seconds,
            facts.pop("purchase_limit", None), components,
        )  # fmt: skip
        await self.do(c.CreateListing(listing_id, created, c.Period(self.till.now(), facts.pop("closes_at", None))))

    async def order(
        self, order_id: str, quantity: int = 1, *, buyer: str = "buyer-1", listing_id: str = LISTING, key: str = ""
    ) -> Verdict:
        """Order one listing; refused or not, it is written down."""
        line = c.AskLine(listing_id, quantity)
        return await self.ask(c.PlaceOrder(order_id, STREAM, buyer, (line,)), key or f"key-{order_id}")

    async def pay(self, order_id: str, payment_id: str = "") -> Verdict:
        """Book a payment of what is due."""
        due_minor = (await self.till.look(order_id)).state.due_minor
        return await self.ask(c.CapturePayment(order_id, payment_id or f"pay-{order_id}", due_minor))

    async def state(self, history_id: str) -> Any:
        """Return a history's state in the journal."""
        return (await self.till.look(history_id)).state

    async def records(self) -> list[Record]:
        """Return the whole journal."""
        return [record async for chunk in self.journal.scan() for record in chunk]

    async def events(self, history_id: str = "") -> list[Any]:
        """Return all events, or those of one history."""
        return [
            self.wire.decode(record.topic, record.state)
            for record in await self.records()
            if history_id in ("", record.history_id)
        ]
