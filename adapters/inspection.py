"""What a doctor wants to know of the servers: facts, and findings that say what to do."""

import socket
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from adapters.embedded_nats import EmbeddedNats
from adapters.installation import InstallationError, check, one_line
from domain.values import frozen

_SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "data_checksums")
_CLOCK_SECONDS = 2.0
_NATS_PORT = 4222


@frozen
class Inspected:
    """What was seen, and what is wrong with it."""

    facts: dict[str, str]
    findings: tuple[str, ...] = ()


def inspect_database(url: str) -> Inspected:
    """Look at a PostgreSQL and the journal in it."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(_SETTINGS)])
            found: dict[str, str] = dict(cursor.fetchall())
            clock = connection.execute(
                "SELECT extract(epoch FROM clock_timestamp() - %s)", [datetime.now(UTC)]
            ).fetchone()
    except psycopg.Error as error:
        return Inspected(
            {}, (f"The database cannot be reached, check its address and that it runs: {one_line(error)}",)
        )
    facts = {name: str(found[name]) for name in _SETTINGS if name in found}
    return Inspected(facts, (*_clock_findings(float(clock[0]) if clock else 0.0), *_journal_findings(url)))


def _clock_findings(seconds: float) -> list[str]:
    if abs(seconds) <= _CLOCK_SECONDS:
        return []
    return [f"The database's clock is {seconds:+.1f} s from this machine's: let both follow the same time server"]


def _journal_findings(url: str) -> list[str]:
    try:
        check(url)
    except InstallationError as error:
        return str(error).splitlines()
    return []


def inspect_nats(url: str) -> Inspected:
    """Say hello to a NATS."""
    place = urlsplit(url if "//" in url else f"//{url}")
    try:
        with socket.create_connection((place.hostname or "127.0.0.1", place.port or _NATS_PORT), 2) as connection:
            greeting = connection.makefile("rb").readline()
    except (OSError, ValueError) as error:
        return Inspected({}, (f"NATS cannot be reached, check its address and that it runs: {error}",))
    if not greeting.startswith(b"INFO "):
        return Inspected({}, ("What answers at the NATS address is no NATS: check --nats-url",))
    return Inspected({"address": f"{place.hostname}:{place.port or _NATS_PORT}"})


def embedded_nats_url(directory: Path) -> str | None:
    """Return where the NATS of a data directory runs; None when it does not."""
    server = EmbeddedNats(directory)
    return server.url() if directory.is_dir() and server.running() else None
