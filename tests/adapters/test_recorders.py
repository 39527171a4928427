"""The eventsourcing library's own test cases, on our recorders."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    OperationalError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresAggregateRecorder, PostgresTrackingRecorder
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    TrackingRecorderTestCase,
)

from adapters.installation import install
from adapters.journal_memory import MemoryJournal
from adapters.journal_postgres import PostgresJournal
from adapters.recorders import (
    JournalDatastore,
    LivetillApplicationRecorder,
    MemoryApplicationRecorder,
    snapshot_recorder,
    tracking_recorder,
)
from application.ports import Appended, Batch, Draft


class _TextIds:
    """Histories are named by text."""

    def new_originator_id(self) -> UUID | str:
        return f"order-{uuid4()}"


class _OnPostgres:
    """A datastore over a fresh, installed database."""

    schema: str
    datastore: JournalDatastore

    @pytest.fixture(autouse=True)
    def _install(self, database_url: str) -> Iterator[None]:
        install(database_url)
        with JournalDatastore(database_url, schema=self.schema) as self.datastore:
            yield


class TestApplicationRecorder(_TextIds, _OnPostgres, ApplicationRecorderTestCase[Any]):
    """Whatever the library expects of an application recorder, ours does on the journal's table."""

    schema = "journal"

    def create_recorder(self) -> ApplicationRecorder:
        """Return the recorder under test."""
        return LivetillApplicationRecorder(self.datastore)

    def test_insert_subscribe(self) -> None:
        """A subscription yields what was and what will be recorded, without NOTIFY."""
        self.optional_test_insert_subscribe()


class TestNonInterleaving(_TextIds, _OnPostgres, NonInterleavingNotificationIDsBaseCase):
    """The positions of one batch are never mixed with those of another."""

    schema = "journal"

    def create_recorder(self) -> ApplicationRecorder:
        """Return the recorder under test."""
        return LivetillApplicationRecorder(self.datastore)


class TestTrackingRecorder(_OnPostgres, TrackingRecorderTestCase):
    """The library's positions are kept beside the read models."""

    schema = "views"

    def create_recorder(self) -> PostgresTrackingRecorder:
        """Return the recorder under test."""
        return tracking_recorder(self.datastore)


class TestSnapshotRecorder(_TextIds, _OnPostgres, AggregateRecorderTestCase):
    """The library's snapshots have a table of their own, which can be thrown away."""

    schema = "views"

    def create_recorder(self) -> PostgresAggregateRecorder:
        """Return the recorder under test."""
        return snapshot_recorder(self.datastore)


class TestMemoryApplicationRecorder(_TextIds, ApplicationRecorderTestCase[Any]):
    """The same cases hold in memory."""

    def create_recorder(self) -> ApplicationRecorder:
        """Return the recorder under test."""
        return MemoryApplicationRecorder()

    def test_insert_subscribe(self) -> None:
        """A subscription in memory is told at once."""
        self.optional_test_insert_subscribe()


class TestMemoryNonInterleaving(_TextIds, NonInterleavingNotificationIDsBaseCase):
    """Batches stay together in memory."""

    def create_recorder(self) -> ApplicationRecorder:
        """Return the recorder under test."""
        return MemoryApplicationRecorder()


async def test_the_library_and_the_till_write_one_journal(database_url: str) -> None:
    """Positions go on where the other left off, and each reads what the other wrote."""
    install(database_url)
    journal = PostgresJournal(database_url)
    await journal.open()
    with JournalDatastore(database_url, schema="journal") as datastore:
        recorder = LivetillApplicationRecorder(datastore)
        assert recorder.insert_events([StoredEvent("a", 1, "t.v1", b"{}")]) == [1]
        outcome = await journal.append(Batch([Draft("a", 2, "t.v1", b"[]", b"{}", "c")], {"a": 1}))
        assert isinstance(outcome, Appended)
        assert outcome.first_position == 2
        assert [event.state for event in recorder.select_events("a")] == [b"{}", b"[]"]
        assert [record.position for record in await journal.load({"a": 0})] == [1, 2]
        for version in (2, 4, 0):
            with pytest.raises(IntegrityError):
                recorder.insert_events([StoredEvent("a", version, "t.v1", b"{}")])
    await journal.close()


async def test_the_library_waits_for_no_turn_in_memory() -> None:
    """An insertion between a turn's load and its append would break what the turn promises: it is refused."""
    journal = MemoryJournal()
    recorder = MemoryApplicationRecorder(journal)
    async with journal.turn() as held:
        await held.append(Batch([Draft("a", 1, "t.v1", b"{}", b"{}")], {"a": 0}))
        with pytest.raises(OperationalError, match="turn is open"):
            recorder.insert_events([StoredEvent("b", 1, "t.v1", b"{}")])
    assert [event.id for event in recorder.select_notifications(start=None, limit=10)] == [1]
    for version in (1, 3, 0):
        with pytest.raises(IntegrityError):
            recorder.insert_events([StoredEvent("a", version, "t.v1", b"{}")])
