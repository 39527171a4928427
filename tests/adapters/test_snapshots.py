"""Snapshots on PostgreSQL: whose they are, and who else may read them."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from adapters.installation import install
from adapters.recorders import JournalDatastore, snapshot_recorder
from adapters.snapshots_postgres import PostgresSnapshots
from application.ports import JournalUnavailableError, Snapshot

CHAPTER = Snapshot("listing-1", 10, "listing.chapter.v1", b"\x00\xff")


@pytest.fixture
async def written_url(database_url: str) -> str:
    """The superuser's URL of a database in which a snapshot was written."""
    await asyncio.to_thread(install, database_url)
    for _ in range(2):  # whoever comes second finds the table
        snapshots = PostgresSnapshots(database_url)
        await snapshots.open()
        await snapshots.write(CHAPTER)
        await snapshots.close()
    return database_url


async def test_the_library_reads_the_snapshots(written_url: str) -> None:
    """And what it writes is read in turn: one table, one meaning of its columns."""
    with JournalDatastore(written_url, schema="views") as datastore:
        recorder = snapshot_recorder(datastore)
        found = recorder.select_events("listing-1")
        assert found == [StoredEvent(CHAPTER.history_id, CHAPTER.version, CHAPTER.topic, CHAPTER.state)]
        recorder.insert_events([StoredEvent("listing-1", 20, CHAPTER.topic, b"more")])
    snapshots = PostgresSnapshots(written_url)
    await snapshots.open()
    assert [each.version for each in await snapshots.read("listing-1", CHAPTER.topic, 0, 9)] == [10, 20]
    await snapshots.close()


def test_an_auditor_reads_the_snapshots_and_does_no_more(written_url: str) -> None:
    """They are derived, yet a start believes them."""
    with psycopg.connect(written_url, autocommit=True) as connection:
        connection.execute("SET ROLE livetill_auditor")
        assert connection.execute("SELECT originator_version FROM views.snapshot").fetchall() == [(10,)]
        for statement in (b"DELETE FROM views.snapshot", b"UPDATE views.snapshot SET state = ''"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_anybody_in_charge_may_remove_them(written_url: str) -> None:
    """The program itself, too: nothing is lost."""
    with psycopg.connect(written_url, autocommit=True) as connection:
        connection.execute("SET ROLE livetill_app")
        assert connection.execute("DELETE FROM views.snapshot").rowcount == 1


async def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    """As the journal tells it, for both wait for the same server."""
    snapshots = PostgresSnapshots(f"postgresql://postgres@/postgres?host={tmp_path}", patience_seconds=0.1)
    with pytest.raises(JournalUnavailableError):
        await snapshots.open()
    for call in (snapshots.write(CHAPTER), snapshots.read("a", "t", 0, 1), snapshots.histories("t")):
        with pytest.raises(JournalUnavailableError):
            await call
    await snapshots.close()
