"""The composition root: the one module that knows every room and puts the shop together.

``composed`` runs a whole server: embedded servers unless others are given, the till, the followers, the reactors, the
relay. Everything that runs beside the requests is a job with a name; one that ends unexpectedly is started again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx

from adapters.announce import LocalAnnouncer, NatsAnnouncer, Paced
from adapters.chapters import ListingChapters
from adapters.clocks import SystemClock
from adapters.embedded import EmbeddedError, EmbeddedNats, EmbeddedPostgres, EmbeddedServer, supervise
from adapters.inspection import RELAYED, Inspected, embedded_nats_url, inspect_database, inspect_nats, server_settings
from adapters.installation import InstallationError, NotAllowedError, check, install
from adapters.journal_postgres import PostgresJournal
from adapters.journal_recent import RecentJournal
from adapters.leadership import PostgresLeadership
from adapters.nats_link import NatsAddressError, require_address
from adapters.payments_sandbox import SandboxProvider
from adapters.processes import Usage, memory_gb
from adapters.relay import Relay
from adapters.snapshots_postgres import PostgresSnapshots
from adapters.tables_postgres import PostgresStore
from adapters.tables_scratch import ScratchStore
from adapters.wire import JsonWire
from api.gauges import Gauges
from api.services import Services, Settings
from application.chapters import Chapters
from application.payments import Cashier
from application.ports import JournalError, Leadership, LeadershipLostError, Limits
from application.reactions import MONEY, SHOP
from application.reactor import Reactor, Timekeeper
from application.till import Till
from domain.ids import LISTING
from domain.values import frozen
from projections.agenda import Agenda
from projections.bookmarks import StoreBookmarks, StoreParking
from projections.catalogue import NAMES, named
from projections.follow import LEAD, Follower
from projections.replay import Past
from projections.store import StoreError
from projections.tasks import ended

RESTART_SECONDS = 1.0
CACHED_HISTORIES, CACHED_ROWS = 30_000, 15_000
"""What a server keeps at hand, so that it stays below 300 MB; an order that is older is loaded when it is paid."""
LEAD_SECONDS = 2.0
"""How long somebody who leads only where nobody does waits for the lead: a leader keeps it."""
FOLLOW_SECONDS = 0.02
"""How long records may wait for others before they are followed up together."""

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[object]]
paced = partial(Paced, seconds=FOLLOW_SECONDS)

__all__ = [
    "TROUBLES", "NoJournalError", "Opened", "Usage", "composed", "database", "existing_database", "followed_up",
    "follower_on", "install_journal", "look_at_database", "look_at_nats", "memory_gb", "opened", "postgres_programs",
    "server_settings", "till_on",
]  # fmt: skip


@asynccontextmanager
async def database(settings: Settings, comes_along: EmbeddedPostgres | None = None) -> AsyncIterator[str]:
    """Have a PostgreSQL with an up-to-date journal, and return its URL; embedded unless one is given."""
    async with AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            url = await stack.enter_async_context(_embedded(comes_along or _postgres_in(settings)))
        await asyncio.to_thread(_prepare, url)
        yield url


def _postgres_in(settings: Settings) -> EmbeddedPostgres:
    return EmbeddedPostgres(settings.data_dir / "postgres")


def _prepare(url: str) -> None:
    """Install the journal where that is ours to do; what is there must be right in any case."""
    try:
        check(url)
    except InstallationError as found:
        try:
            mended = install(url)
        except NotAllowedError:
            raise found from None  # Installing is not for the servers' user: what is to be done is what was found.
        for line in mended:
            log.warning("%s", line)
        check(url)


@asynccontextmanager
async def _embedded(server: EmbeddedServer) -> AsyncIterator[str]:
    """Have a server that comes along, watched; let go of it at the end, whatever the end is.

    A thread that starts or stops a server cannot be stopped itself: whoever is interrupted meanwhile waits for it.
    """
    starting = asyncio.create_task(asyncio.to_thread(server.ensure))
    try:
        url = await asyncio.shield(starting)
        watch = asyncio.create_task(supervise(server))
        try:
            yield url
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    finally:
        await _outcome(starting)
        releasing = asyncio.create_task(asyncio.to_thread(server.release))
        if failure := await _outcome(releasing):
            raise failure


async def _outcome(work: "asyncio.Task[object]") -> BaseException | None:
    """Wait for something to end, however often we are told to stop waiting; return what it failed of."""
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({work})
    return None if work.cancelled() else work.exception()


@asynccontextmanager
async def _messages(settings: Settings) -> AsyncIterator[str | None]:
    """Have a NATS and return its URL; None when it cannot be had, for the shop sells without it."""
    if settings.nats_url is not None:
        yield settings.nats_url
        return
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(_embedded(EmbeddedNats(settings.data_dir / "nats")))
        except EmbeddedError as error:
            log.warning("The shop sells without NATS: %s", error)
            url = None
        yield url


class NoJournalError(Exception):
    """There is no journal to open; one line that says what to do."""


TROUBLES = (
    EmbeddedError, InstallationError, JournalError, LeadershipLostError, NatsAddressError, NoJournalError, StoreError,
)  # fmt: skip
"""Errors of the outside world whose message is meant for people."""


@frozen
class Opened:
    """A journal that is there, and the read models beside it."""

    url: str
    journal: PostgresJournal
    store: PostgresStore
    snapshots: PostgresSnapshots
    wire: JsonWire

    @staticmethod
    @contextlib.contextmanager
    def scratch() -> Iterator[ScratchStore]:
        """Have a store for a replay that may be longer than memory."""
        store = ScratchStore()
        try:
            yield store
        finally:
            store.close()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """Open what is there, for commands that ask and do not sell; nothing is installed or upgraded."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(existing_database(settings))
        await asyncio.to_thread(partial(check, url, comes_along=settings.database_url is None))
        journal, store, snapshots = PostgresJournal(url), PostgresStore(url), PostgresSnapshots(url)
        for each in (journal, store, snapshots):
            await each.open()
            stack.push_async_callback(each.close)
        yield Opened(url, journal, store, snapshots, JsonWire())


def till_on(parts: Opened) -> Till:
    """Return a till on a journal that is open; ``run`` it, and its chapters."""
    name, chapters = f"till-{uuid4().hex[:8]}", chapters_in(parts.snapshots)
    return Till(parts.journal, parts.wire, SystemClock(), LocalAnnouncer(), name=name, chapters=chapters)


def chapters_in(snapshots: PostgresSnapshots) -> Chapters:
    """Return the chapters of one till, for the histories that become long."""
    return Chapters(snapshots, {LISTING: ListingChapters()})


def follower_on(parts: Opened) -> Follower:
    """Return a follower for the read models of what is open."""
    return Follower(parts.journal, parts.wire, parts.store)


async def followed_up(parts: Opened, names: Sequence[str]) -> bool:
    """Take in what the named read models lack, where nobody does it already; False when somebody else leads."""
    leadership = PostgresLeadership(parts.url)
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(LEAD_SECONDS):
                await stack.enter_async_context(leadership.lead(LEAD))
        except TimeoutError:
            return False
        await Follower(parts.journal, parts.wire, parts.store, named(*names)).catch_up()
    return True


@asynccontextmanager
async def existing_database(settings: Settings) -> AsyncIterator[str]:
    """Have the PostgreSQL that was given or is in the data directory, and return its URL; none is made.

    Servers in the data directory that a killed process has left are stopped at the end.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    if not (settings.data_dir / "postgres" / "data").exists():
        raise NoJournalError(
            f"there is no journal in {settings.data_dir}: start livetill serve first, or choose another --data-dir"
        )
    async with _embedded(_postgres_in(settings)) as url:
        yield url
    await asyncio.to_thread(EmbeddedNats(settings.data_dir / "nats").sweep)


def postgres_programs(settings: Settings) -> Path:
    """Return the directory of ``psql``, ``pg_dump`` and the others that come along."""
    return _postgres_in(settings).bin("psql").parent


def install_journal(url: str) -> tuple[str, ...]:
    """Create, upgrade or complete the journal, as a user who may create roles and schemas, and check it.

    Returns what was mended, a line each.
    """
    mended = install(url)
    check(url)
    return mended


def look_at_database(url: str, *, comes_along: bool) -> Inspected:
    """Return what a doctor wants to know of a database, one of yours or the one that comes along."""
    return inspect_database(url, comes_along=comes_along)


def look_at_nats(settings: Settings, seen: Mapping[str, str], head: int) -> Inspected | None:
    """Return what a doctor wants to know of NATS; None when the one that comes along does not run.

    ``seen`` is what ``look_at_database`` saw, and ``head`` the end of the journal there: a stream may be another's, and
    where a server relays it should come nearer to that end.
    """
    relayed = seen.get("relay") == RELAYED
    url = settings.nats_url or embedded_nats_url(settings.data_dir / "nats")
    return None if url is None else inspect_nats(url, seen.get("database", ""), head if relayed else 0)


@asynccontextmanager
async def composed(settings: Settings) -> AsyncIterator[Services]:
    """Run a server's services from here until the end of the block."""
    if settings.nats_url is not None:
        require_address(settings.nats_url)
    async with AsyncExitStack() as stack:
        comes_along = _postgres_in(settings)
        url = await stack.enter_async_context(database(settings, comes_along))
        nats_url = await stack.enter_async_context(_messages(settings))
        postgres, store, wire, clock = PostgresJournal(url), PostgresStore(url), JsonWire(), SystemClock()
        snapshots = PostgresSnapshots(url)
        for each in (postgres, store, snapshots):
            await each.open()
            stack.push_async_callback(each.close)
        local = LocalAnnouncer()
        journal = RecentJournal(postgres, lambda: local.head)
        feed = journal.feed
        announcer = local if nats_url is None else NatsAnnouncer(local, nats_url)
        leadership = PostgresLeadership(url)
        limits = Limits(cached_histories=CACHED_HISTORIES)
        name, chapters = f"till-{uuid4().hex[:8]}", chapters_in(snapshots)
        till = Till(journal, wire, clock, announcer, name=name, limits=limits, chapters=chapters)
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=10))
        provider = SandboxProvider(settings.webhook_secret, clock, _caller(client, settings))
        stack.push_async_callback(provider.close)
        cashier = Cashier(till, provider)
        follower = Follower(feed, wire, store, cached_rows=CACHED_ROWS)
        agenda = Agenda(store, follower.wait_for)
        parking = StoreParking(store)
        bookmarks = StoreBookmarks(store)

        def reactor(name: str, table: Mapping[type, Callable[..., list[object]]]) -> Reactor:
            return Reactor(
                name, table, feed, wire, till, cashier, agenda, bookmarks, parking, paced(announcer), leadership
            )  # fmt: skip

        reactions, refunds = reactor("reactions", SHOP), reactor("refunds", MONEY)
        relay = None
        if nats_url is not None:
            relay = Relay(feed, wire, nats_url, paced(announcer), database=await postgres.database())

        def connected() -> bool:
            return isinstance(announcer, NatsAnnouncer) and announcer.link.connected

        gauges = Gauges(journal, follower, till, (reactions, refunds), relay, connected, comes_along.lost)
        jobs: dict[str, Job] = {
            "till": till.run,
            "chapters": chapters.run,
            "follower": lambda: follower.run(paced(announcer), leadership),
            "reactions": reactions.run,
            "refunds": refunds.run,
            "timekeeper": Timekeeper(till, agenda, leadership).run,
            "gauges": gauges.run,
        }
        if relay is not None:
            jobs["relay"] = lambda: _led(leadership, "relay", relay.run)
        if isinstance(announcer, NatsAnnouncer):
            jobs["announcer"] = announcer.run
        await stack.enter_async_context(_running(jobs))
        past = Past(journal, wire)

        async def wait_for(position: int, seconds: float) -> bool:
            return await follower.wait_for(position, NAMES, seconds)

        yield Services(
            settings=settings,
            journal=journal,
            feed=feed,
            wire=wire,
            till=till,
            cashier=cashier,
            tables=store,
            tables_at=past.as_of,
            wait_for=wait_for,
            announcer=announcer,
            parking=parking,
            gauges=gauges.read,
            ready=gauges.problems,
        )


async def _led(leadership: Leadership, name: str, job: Job) -> None:
    """Do a job while this process has the lead of it; a second one would only get in its way."""
    while True:
        try:
            async with leadership.lead(name):
                await job()
        except LeadershipLostError as error:
            log.warning("%s stopped, standing again: %s", name, error)


def _caller(client: httpx.AsyncClient, settings: Settings) -> Callable[[bytes, Mapping[str, str]], Awaitable[int]]:
    """Return how the sandbox delivers its callbacks: over HTTP, to our own door."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    url = f"http://{host}:{settings.port}/v1/webhooks/payments"

    async def call(body: bytes, headers: Mapping[str, str]) -> int:
        try:
            return (await client.post(url, content=body, headers=dict(headers))).status_code
        except httpx.HTTPError as error:
            raise OSError(str(error)) from error

    return call


@asynccontextmanager
async def _running(jobs: Mapping[str, Job]) -> AsyncIterator[None]:
    """Run jobs beside the block; the till is stopped last, so that what the others asked of it is answered."""
    tasks = {name: asyncio.create_task(_kept_running(name, job), name=name) for name, job in jobs.items()}
    try:
        yield
    finally:
        for name in sorted(tasks, key=lambda name: name == "till"):
            await ended(tasks[name])


async def _kept_running(name: str, job: Job) -> None:
    while True:
        try:
            await job()
        except Exception:
            log.exception("The job %s failed and is started again", name)
        await asyncio.sleep(RESTART_SECONDS)
