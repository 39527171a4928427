"""What a doctor wants to know of the servers: facts, and findings that say what to do."""

import asyncio
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats.errors
import psycopg
from nats.aio.client import Client

from adapters.embedded_nats import EmbeddedNats
from adapters.installation import InstallationError, check, unreachable
from adapters.journal_postgres import DATABASE
from adapters.leadership import LED
from adapters.nats_link import NatsAddressError, require_address
from adapters.relay import fed_by, position_of
from domain.values import frozen

_SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "data_checksums")
_CLOCK_SECONDS = 1.0
"""How far the till's clock, which judges holds and windows, may be from the one that stamps the records."""
RELAYED = "a server relays its records"
_NATS_PORT = 4222
_PATIENCE_SECONDS = 3.0
"""How long a relay that is behind may take to come nearer."""
_LOOK_SECONDS = 0.2


@frozen
class Inspected:
    """What was seen, and what is wrong with it."""

    facts: dict[str, str]
    findings: tuple[str, ...] = ()


def inspect_database(url: str, *, comes_along: bool = False) -> Inspected:
    """Look at a PostgreSQL and the journal in it."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            facts = _settings(connection)
            ahead = _seconds_ahead(connection)
            [database] = connection.execute(DATABASE).fetchone() or [""]
            [relayed] = connection.execute(LED, ("relay",)).fetchone() or [False]
    except psycopg.Error as error:
        return Inspected({}, (unreachable(url, error),))
    facts["database"] = str(database)
    facts["clock"] = f"{ahead:+.3f} s from this machine's"
    facts["relay"] = RELAYED if relayed else "no server relays its records"
    return Inspected(facts, (*_clock_findings(ahead), *_journal_findings(url, comes_along=comes_along)))


def server_settings(url: str) -> dict[str, str]:
    """Return what says how durable a PostgreSQL is, and which one it is."""
    with psycopg.connect(url, autocommit=True) as connection:
        return _settings(connection)


def _settings(connection: psycopg.Connection[Any]) -> dict[str, str]:
    cursor = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(_SETTINGS)])
    found = dict(cursor.fetchall())
    return {name: str(found[name]) for name in _SETTINGS if name in found}


def _seconds_ahead(connection: psycopg.Connection[Any]) -> float:
    """Return how far the database's clock is ahead of ours, which is read before and after; its own time is between."""
    before = datetime.now(UTC)
    [told] = connection.execute("SELECT clock_timestamp()").fetchone() or [before]
    after = datetime.now(UTC)
    return float((told - before - (after - before) / 2).total_seconds())


def _clock_findings(seconds: float) -> list[str]:
    if abs(seconds) <= _CLOCK_SECONDS:
        return []
    problem = "and holds and windows are judged by this machine's"
    return [f"The database's clock is {seconds:+.1f} s from this machine's, {problem}: let both follow a time server"]


def _journal_findings(url: str, *, comes_along: bool) -> list[str]:
    try:
        check(url, comes_along=comes_along)
    except InstallationError as error:
        return str(error).splitlines()
    return []


@frozen
class _Fed:
    """Who feeds a stream, how many records it is behind, and whether it comes nearer."""

    feeder: str
    behind: int
    moving: bool


def inspect_nats(url: str, database: str = "", head: int = 0) -> Inspected:
    """Say hello to a NATS, and ask whose journal its stream holds and up to where.

    ``database`` is ours, if it is known; ``head`` is where a relay of ours should be, 0 if there is none.
    """
    try:
        require_address(url)
    except NatsAddressError as error:
        return Inspected({}, (str(error),))
    place = urlsplit(url if "//" in url else f"//{url}")
    try:
        with socket.create_connection((place.hostname or "127.0.0.1", place.port or _NATS_PORT), 2) as connection:
            greeting = connection.makefile("rb").readline()
    except (OSError, ValueError) as error:
        return Inspected({}, (f"NATS cannot be reached, check its address and that it runs: {error}",))
    if not greeting.startswith(b"INFO "):
        return Inspected({}, ("What answers at the NATS address is no NATS: check --nats-url",))
    facts = {"address": f"{place.hostname}:{place.port or _NATS_PORT}"}
    try:
        fed = asyncio.run(_fed(url, head))
    except (nats.errors.Error, OSError) as error:
        return Inspected(facts, (f"NATS does not let livetill in, check --nats-url: {error or type(error).__name__}",))
    facts["stream"] = f"fed from database {fed.feeder}" if fed.feeder else "nobody feeds it at the moment"
    if fed.feeder and database and fed.feeder != database:
        return Inspected(facts, ("Another shop feeds the stream on this NATS: give each shop a NATS of its own",))
    behind = f"{fed.behind} behind the journal"
    facts["stream"] += f", {behind}" if fed.behind else ""
    stuck = f"The stream on NATS is {behind} and does not move: the server's log says why"
    return Inspected(facts, (stuck,) if fed.behind and not fed.moving else ())


async def _fed(url: str, head: int) -> _Fed:
    async def note(error: Exception) -> None:
        """What the client meets on its way is in what it raises."""

    client = Client()
    try:
        await client.connect(url, allow_reconnect=False, max_reconnect_attempts=1, connect_timeout=2, error_cb=note)
        feeder = await fed_by(client)
        before = now = await position_of(client)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while now == before < head and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            now = await position_of(client)
        return _Fed(feeder, max(0, head - now), now != before)
    finally:
        await client.close()


def embedded_nats_url(directory: Path) -> str | None:
    """Return where the NATS of a data directory runs; None when it does not."""
    server = EmbeddedNats(directory)
    return server.url() if directory.is_dir() and server.running() else None
