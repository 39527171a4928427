"""A shop with its door open: the real application over the real parts in memory, asked as clients ask it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from attrs import Factory, define, field

from adapters.announce import LocalAnnouncer
from adapters.clocks import ManualClock
from adapters.journal_memory import MemoryJournal
from adapters.leadership import MemoryLeadership
from adapters.payments_sandbox import SandboxProvider
from adapters.wire import JsonWire
from api.app import create_app
from api.auth import issue
from api.services import Services, Settings
from application import commands as c
from application.payments import Cashier
from application.ports import Journal, Limits
from application.tickets import Ticket
from application.till import Till
from domain.record import Record
from projections.bookmarks import StoreParking
from projections.catalogue import NAMES
from projections.follow import Follower
from projections.memory import MemoryStore
from projections.replay import Past

SECRET = "the secret of tests is long enough!"
WEBHOOK_SECRET = "whsec_bGl2ZXRpbGwtdGVzdHMtb25seS1zZWNyZXQ="
HOST, BRAND, BUYER = "host-1", "brand-1", "buyer-1"
PROBLEM = "application/problem+json"


@define
class Shopfront:
    """The shop and a client at its door."""

    services: Services
    clock: ManualClock
    journal: MemoryJournal
    store: MemoryStore
    follower: Follower
    provider: SandboxProvider
    http: httpx.AsyncClient
    problems: dict[str, str]
    callbacks: list[tuple[bytes, Mapping[str, str]]]
    keys: int = 0

    def token(self, who: str) -> dict[str, str]:
        """Return the header of a principal, written ``role`` or ``role:subject``; none for nobody."""
        if not who:
            return {}
        role, _, subject = who.partition(":")
        token = issue(role, subject or {"host": HOST, "brand": BRAND, "buyer": BUYER}.get(role, role), 3600, SECRET)
        return {"Authorization": f"Bearer {token}"}

    async def post(
        self, path: str, body: Any = None, *, who: str = "admin", key: str | None = "", **headers: str
    ) -> httpx.Response:
        """POST a body as JSON; bytes are sent as they are. A new key each time, unless one or None is given."""
        self.keys += 1
        sent = {"content-type": "application/json", **self.token(who)}
        if key is not None:
            sent["Idempotency-Key"] = key or f"key-{self.keys}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else httpx.Request("POST", "/", json=body).content
        return await self.http.post(path, content=b"" if body is None else content, headers=sent)

    async def get(self, path: str, *, who: str = "admin", **headers: str) -> httpx.Response:
        """GET a path."""
        sent = self.token(who) | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(path, headers=sent)

    async def must(self, path: str, body: Any = None, *, who: str = "admin", **more: Any) -> Any:
        """POST something that must be accepted and return what was answered."""
        response = await self.post(path, body, who=who, **more)
        assert response.is_success, response.text
        return response.json()

    async def head(self) -> int:
        """Return the last position."""
        return await self.journal.head()

    async def records(self) -> list[Record]:
        """Return the whole journal."""
        return list(await self.journal.read(0, 100_000))

    async def schedule(self, **changes: Any) -> str:
        """Announce a show and return its id."""
        show = {
            "title": "Spring looks", "host_id": HOST, "brand_id": BRAND, "scheduled_at": "2030-01-01T20:00:00Z",
            "currency": "EUR", "terms": {"rate_bps": 1000, "hold_days": 14}, **changes,
        }  # fmt: skip
        stream_id: str = (await self.must("/v1/streams", show))["stream_id"]
        return stream_id

    async def go_live(self, **changes: Any) -> str:
        """Announce a show and start it."""
        stream_id = await self.schedule(**changes)
        await self.must(f"/v1/streams/{stream_id}/start")
        return stream_id

    async def offer(self, stream_id: str, allotment: int = 10, **changes: Any) -> str:
        """Offer a product that is on sale from now on."""
        listing = {
            "sku": "SCARF-RED", "title": "Red scarf", "price": eur(1999), "allotment": allotment,
            "opens_at": self.clock.now().isoformat(), **changes,
        }  # fmt: skip
        listing_id: str = (await self.must(f"/v1/streams/{stream_id}/listings", listing))["listing_id"]
        return listing_id

    async def open(self, allotment: int = 10, **changes: Any) -> tuple[str, str]:
        """Go live with one product on sale."""
        stream_id = await self.go_live()
        return stream_id, await self.offer(stream_id, allotment, **changes)

    async def order(
        self, stream_id: str, listing_id: str, quantity: int = 1, *, who: str = "buyer", key: str = "", **line: Any
    ) -> httpx.Response:
        """Order one product."""
        lines = [{"listing_id": listing_id, "quantity": quantity, **line}]
        return await self.post("/v1/orders", {"stream_id": stream_id, "lines": lines}, who=who, key=key)

    async def place(self, stream_id: str, listing_id: str, quantity: int = 1, **more: Any) -> str:
        """Order one product, which must be there, and return the order's id."""
        response = await self.order(stream_id, listing_id, quantity, **more)
        assert response.status_code == 201, response.text
        order_id: str = response.json()["order_id"]
        return order_id

    async def pay(self, order_id: str, means: str = "tok_ok", *, who: str = "buyer", key: str = "") -> httpx.Response:
        """Pay an order."""
        return await self.post(f"/v1/orders/{order_id}/payments", {"payment_token": means}, who=who, key=key)

    async def paid(self, stream_id: str, listing_id: str, quantity: int = 1) -> str:
        """Order and pay."""
        order_id = await self.place(stream_id, listing_id, quantity)
        assert (await self.pay(order_id)).status_code == 200
        return order_id

    async def delivered(self, stream_id: str, listing_id: str, quantity: int = 1) -> str:
        """Order, pay, ship and deliver."""
        order_id = await self.paid(stream_id, listing_id, quantity)
        await self.must(f"/v1/orders/{order_id}/ship", who="brand")
        await self.must(f"/v1/orders/{order_id}/deliver", who="brand")
        return order_id

    async def react(self, order_id: str) -> None:
        """Book what a paid order earns, as the reactor does."""
        now = self.services.till.now()
        ticket = Ticket(c.AccrueCommissions(order_id), "reaction:test", f"accrue-{order_id}", now)
        assert (await self.services.till.ring_up(ticket)).refusal is None

    def signed(self, kind: str, **facts: Any) -> tuple[bytes, dict[str, str]]:
        """Return a provider's callback as of the real time, by which signatures are judged."""
        return self.provider.signed(kind, facts, datetime.now(UTC))


def eur(amount_minor: int) -> dict[str, Any]:
    """Return an amount as clients write it."""
    return {"amount_minor": amount_minor, "currency": "EUR"}


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Check that an answer is a problem of a kind, and return its members."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    members: dict[str, Any] = response.json()
    assert members["type"] == f"urn:livetill:problem:{name}"
    assert members["status"] == status
    assert members["title"]
    assert members["detail"]
    return members


@define
class Build:
    """What a shop is made of, for tests that put another part in."""

    clock: ManualClock = Factory(ManualClock)
    journal: MemoryJournal = field(default=Factory(lambda self: MemoryJournal(self.clock), takes_self=True))
    limits: Limits = Factory(lambda: Limits(outage_seconds=0.2))
    provider: Any = None
    follows: bool = True


@asynccontextmanager
async def opened(build: Build | None = None) -> AsyncIterator[Shopfront]:
    """Open a shop in memory for as long as the block lasts."""
    made = build or Build()
    wire, announcer, store = JsonWire(), LocalAnnouncer(), MemoryStore()
    journal: Journal = made.journal
    callbacks: list[tuple[bytes, Mapping[str, str]]] = []

    async def collect(body: bytes, headers: Mapping[str, str]) -> int:
        callbacks.append((body, headers))
        return 200

    till = Till(journal, wire, made.clock, announcer, limits=made.limits)
    provider = SandboxProvider(WEBHOOK_SECRET, made.clock, collect, late_seconds=0)
    follower = Follower(journal, wire, store)
    past, problems = Past(journal, wire), dict[str, str]()

    async def wait_for(position: int, seconds: float) -> bool:
        return await follower.wait_for(position, NAMES, seconds if made.follows else 0.01)

    async def ready() -> Mapping[str, str]:
        return problems

    services = Services(
        settings=Settings(jwt_secret=SECRET, webhook_secret=WEBHOOK_SECRET),
        journal=journal,
        feed=journal,
        wire=wire,
        till=till,
        cashier=Cashier(till, made.provider or provider),
        tables=store,
        tables_at=past.as_of,
        wait_for=wait_for,
        announcer=announcer,
        parking=StoreParking(store),
        gauges=lambda: {'projection_lag_records{projection="orders"}': 0.0, "journal_position": 7.0},
        ready=ready,
    )
    jobs = [asyncio.create_task(till.run())]
    if made.follows:
        jobs.append(asyncio.create_task(follower.run(announcer, MemoryLeadership())))
    app: Any = create_app(services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            yield Shopfront(
                services, made.clock, made.journal, store, follower, provider, http, problems, callbacks
            )  # fmt: skip
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await provider.close()


@pytest.fixture
async def shop() -> AsyncIterator[Shopfront]:
    """An open shop in memory."""
    async with opened() as front:
        yield front
