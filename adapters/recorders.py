"""Citizens of the ``eventsourcing`` library over the same journal.

Applications, tools and tests written for the library read and write the records that the till writes. The library is
synchronous and works in threads: keep it off the event loop. Three of its habits are not taken over:

- ``insert_events`` is not repeated by itself: after a lost reply the repetition would report a conflict with its own,
  successful first try. An ``OperationalError`` leaves the outcome open; read before trying again.
- Nothing is sent by NOTIFY, which takes a lock of the whole server until after the commit: subscriptions poll.
- No table lock and no sequence: ``journal.append`` gives out positions, so they stay dense and in commit order.
"""

from collections.abc import Sequence
from threading import Event, Thread
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    OperationalError,
    StoredEvent,
    Subscription,
)
from eventsourcing.popo import POPOApplicationRecorder
from eventsourcing.postgres import (
    PostgresAggregateRecorder,
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresTrackingRecorder,
)
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from adapters.journal_memory import MemoryJournal
from adapters.postgres_arrays import BigintArray, ByteaArray, TextArray, register
from adapters.postgres_sessions import HANGING_SECONDS, session_conninfo
from application.ports import Draft
from domain.record import Record

POLL_SECONDS = 0.1
"""How often a subscription looks for new records."""
_NO_METADATA = b"{}"
_INSERT = """
    SELECT first_position FROM journal.append(
        %b::text[], %b::bigint[], %b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[], %b::text[])"""


class JournalDatastore(PostgresDatastore):
    """The library's connection pool, acting as ``livetill_app``; close it when done."""

    def __init__(self, url: str, *, schema: str, pool_size: int = 2, max_overflow: int = 10) -> None:
        known = conninfo_to_dict(url)
        super().__init__(
            dbname=str(known.get("dbname", "")),
            host=str(known.get("host", "")),
            port=str(known.get("port", "")),
            user=str(known.get("user", "")),
            password=str(known.get("password", "")),
            schema=schema,
            originator_id_type="text",
            pool_size=pool_size,
            max_overflow=max_overflow,
            connect_timeout=HANGING_SECONDS,
            idle_in_transaction_session_timeout=HANGING_SECONDS,
        )
        # The library has no place for all that a URL may say, nor for options of the session.
        self.pool.conninfo = session_conninfo(url)
        self.pool.kwargs = {"row_factory": dict_row}


class LivetillApplicationRecorder(PostgresApplicationRecorder):
    """The library's recorder on the journal's table, through the view ``journal.stored_events``.

    The versions of a history run on without holes, from 1 as the library's aggregates write them, or from 0.
    """

    def create_table(self) -> None:
        """The table is created by ``adapters.installation``."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append events in one round trip and return their positions.

        ``metadata``: the envelope of all of them, as JSON; an empty one if not given.
        ``IntegrityError`` when a version is not the next of its history; then nothing is written.
        """
        if not stored_events:
            return None
        with self.datastore.get_connection() as connection:
            register(connection)
            first = _insert(connection, stored_events, kwargs.get("metadata", _NO_METADATA))
        return list(range(first, first + len(stored_events)))

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Follow the journal after a position, for ever."""
        return PollingSubscription(recorder=self, gt=gt, topics=topics)


class PollingSubscription(ListenNotifySubscription[ApplicationRecorder]):
    """A subscription that looks by itself, and so cannot miss what nobody told it."""

    def __init__(self, recorder: ApplicationRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        self._has_ended = Event()
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._poll_thread = Thread(target=self._poll)
        self._poll_thread.start()

    def stop(self) -> None:
        """Stop the iteration and the polling."""
        super().stop()
        self._has_ended.set()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._poll_thread.join()

    def _poll(self) -> None:
        while not self._has_ended.wait(POLL_SECONDS):
            self._has_been_notified.set()


class MemoryApplicationRecorder(POPOApplicationRecorder):
    """The library's recorder in memory, over the records of a ``MemoryJournal``.

    Not while a turn is open on the journal: ``OperationalError``, nothing is written.
    """

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        super().__init__()
        self._table = (journal or MemoryJournal()).table

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the events of one history, between two versions."""
        with self._database_lock:
            rows = self._table.history(str(originator_id), -1 if gt is None else gt, self._table.durable)
        rows = [row for row in rows if lte is None or row.version <= lte]
        return [_stored_event(row) for row in (rows[::-1] if desc else rows)[:limit]]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return events by position, of some topics if any are given."""
        first = 1 if start is None else max(start + (not inclusive_of_start), 1)
        with self._database_lock:
            rows = self._table.rows[first - 1 : self._table.durable if stop is None else stop]
        return [_notification(row) for row in rows if not topics or row.topic in topics][:limit]

    def max_notification_id(self) -> int | None:
        """Return the last position; None when the journal is empty."""
        return self._table.durable or None

    def _assert_uniqueness(self, stored_events: Sequence[StoredEvent], **_: Any) -> None:
        if self._table.durable < len(self._table.rows):
            raise OperationalError("A turn is open on the journal: try again after it")
        last: dict[str, int | None] = {}
        for event in stored_events:
            history_id, version = str(event.originator_id), event.originator_version
            if history_id not in last:
                last[history_id] = self._table.version(history_id) if self._table.history(history_id, -1) else None
            before = last[history_id]
            if version not in ((0, 1) if before is None else (before + 1,)):
                raise IntegrityError(f"Version {version} of {history_id} is not its next")
            last[history_id] = version

    def _update_table(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        first = self._table.durable + 1
        metadata = kwargs.get("metadata", _NO_METADATA)
        self._table.insert([_draft(event, metadata) for event in stored_events])
        self._table.commit()
        return list(range(first, first + len(stored_events)))


def tracking_recorder(datastore: JournalDatastore, table: str = "notification_tracking") -> PostgresTrackingRecorder:
    """Return the library's keeper of positions, with its table in the schema of the datastore (``views``)."""
    recorder = PostgresTrackingRecorder(datastore, tracking_table_name=table)
    recorder.create_table()
    return recorder


def snapshot_recorder(datastore: JournalDatastore, table: str = "snapshot") -> PostgresAggregateRecorder:
    """Return the library's store of snapshots, with its table in the schema of the datastore (``views``)."""
    recorder = PostgresAggregateRecorder(datastore, events_table_name=table)
    recorder.create_table()
    return recorder


def _before(stored_events: Sequence[StoredEvent]) -> dict[str, int]:
    """Return the version that each history must be at for events to follow."""
    return {str(event.originator_id): max(event.originator_version - 1, 0) for event in reversed(stored_events)}


def _insert(connection: Connection[DictRow], stored_events: Sequence[StoredEvent], metadata: bytes) -> int:
    before = _before(stored_events)
    columns = (
        TextArray(before),
        BigintArray(before.values()),
        TextArray([str(event.originator_id) for event in stored_events]),
        BigintArray([event.originator_version for event in stored_events]),
        TextArray([event.topic for event in stored_events]),
        ByteaArray([event.state for event in stored_events]),
        ByteaArray([metadata] * len(stored_events)),
        TextArray([None] * len(stored_events)),
    )
    row = connection.execute(_INSERT, columns, prepare=True).fetchone()
    assert row is not None
    if row["first_position"] is None:
        raise IntegrityError("A version of a history is not its next: it was written to meanwhile")
    return int(row["first_position"])


def _draft(event: StoredEvent, metadata: bytes) -> Draft:
    return Draft(str(event.originator_id), event.originator_version, event.topic, event.state, metadata)


def _stored_event(row: Record) -> StoredEvent:
    return StoredEvent(row.history_id, row.version, row.topic, row.state)


def _notification(row: Record) -> Notification:
    return Notification(row.history_id, row.version, row.topic, row.state, row.position)
