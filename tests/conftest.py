"""Real servers for the tests: one PostgreSQL and one NATS a test process, and a fresh database a test.

Their directories are not pytest's: every session of pytest closes its common directory to other users, and a
PostgreSQL that root starts runs as another user.
"""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from adapters.embedded import EmbeddedNats, EmbeddedPostgres

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL, with the settings that livetill runs it with."""
    with tempfile.TemporaryDirectory(prefix="livetill-") as directory:
        server = EmbeddedPostgres(Path(directory))
        server.ensure()
        yield server
        server.release()


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The superuser's URL of an empty database, dropped afterwards whoever is still connected."""
    name = f"test_{next(_numbers)}"
    server_url = postgres_server.ensure()
    _administer(server_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield server_url.replace("/livetill?", f"/{name}?")
    _administer(postgres_server.ensure(), sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(server_url: str, statement: sql.Composed) -> None:
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(statement)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[EmbeddedNats]:
    """A running NATS with JetStream; a test that stops or wipes it calls ``ensure()`` afterwards."""
    with tempfile.TemporaryDirectory(prefix="livetill-") as directory:
        server = EmbeddedNats(Path(directory))
        server.ensure()
        yield server
        server.release()


@pytest.fixture
def nats_url(nats_server: EmbeddedNats) -> str:
    """Where the running NATS is."""
    return nats_server.ensure()
