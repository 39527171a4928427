"""A database with an evening's journal in it, followed to the end, for the commands that look back."""

import asyncio
from collections.abc import Iterator
from random import Random

import psycopg
import pytest

from adapters.embedded import EmbeddedPostgres
from adapters.installation import install
from adapters.journal_postgres import PostgresJournal
from adapters.tables_postgres import PostgresStore
from adapters.wire import JsonWire
from projections.bookmarks import StoreBookmarks
from projections.follow import Follower
from tests.projections.evening import Evening
from tests.rehearsal import Rehearsal


@pytest.fixture(scope="module")
def shop_url(postgres_server: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """The superuser's URL of a database whose shop had an evening; one for all tests of a module."""
    name = f"cli_{request.module.__name__.rpartition('.')[2]}"
    server_url = postgres_server.ensure()
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    url = server_url.replace("/livetill?", f"/{name}?")
    install(url)
    asyncio.run(_play(url))
    yield url
    with psycopg.connect(postgres_server.ensure(), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def _play(url: str) -> None:
    journal, store = PostgresJournal(url), PostgresStore(url)
    await journal.open()
    await store.open()
    async with Rehearsal(journal=journal).open() as shop:
        evening = Evening(shop, Random(7))
        await evening.begin()
        await evening.go_on(60)
        await shop.order("order-greedy", 99)
    head = await Follower(journal, JsonWire(), store).catch_up()
    for reactor in ("reactions", "refunds"):
        await StoreBookmarks(store).set(reactor, head)
    await store.close()
    await journal.close()
