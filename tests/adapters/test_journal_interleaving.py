"""The journal on PostgreSQL when others write at the same time, and when connections break at the worst moment.

Nothing here waits for time to pass: an interleaving is held by a transaction that the test keeps open, and the test
goes on when the database says that somebody waits for it.
"""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.installation import app_conninfo, install
from adapters.journal_postgres import PostgresJournal
from application.ports import (
    Appended,
    Batch,
    Conflict,
    Draft,
    Journal,
    JournalDamagedError,
    JournalError,
    JournalRejectedError,
    JournalUnavailableError,
    OutcomeUnknownError,
)


@pytest.fixture
async def url(database_url: str) -> str:
    """The superuser's URL of a database with a journal."""
    await asyncio.to_thread(install, database_url)
    return database_url


@pytest.fixture
async def journal(url: str) -> AsyncIterator[PostgresJournal]:
    """The journal under test."""
    async with _opened(PostgresJournal(url)) as opened:
        yield opened


@pytest.fixture
async def observer(url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """A superuser who looks on, and who ends sessions."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def rival(url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Another process of the program, in a transaction that the test ends when it likes."""
    async with await AsyncConnection.connect(app_conninfo(url)) as connection:
        yield connection


@contextlib.asynccontextmanager
async def _opened(journal: PostgresJournal) -> AsyncIterator[PostgresJournal]:
    await journal.open()
    yield journal
    await journal.close()


def batch(history_id: str, version: int = 1, command_id: str | None = None) -> Batch:
    """A batch of one draft."""
    drafts = [Draft(history_id, version, "thing.happened.v1", b"{}", (command_id or "").encode(), command_id)]
    return Batch(drafts, {history_id: version - 1})


async def append_slowly(rival: AsyncConnection[Any], history_id: str, command_id: str | None = None) -> int:
    """Append as another process that has not committed yet; return the position."""
    query = """
        SELECT first_position FROM journal.append(
            ARRAY[%b], '{0}', ARRAY[%b], '{1}', '{thing.happened.v1}', '{""}', '{""}', ARRAY[%b::text])"""
    row = await (await rival.execute(query, (history_id, history_id, command_id))).fetchone()
    assert row is not None
    return int(row[0])


async def one_waits(observer: AsyncConnection[Any]) -> int:
    """Return the process id of the session that waits for a lock, as soon as there is one."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while (row := await (await observer.execute(query)).fetchone()) is None:
        continue
    return int(row[0])


async def end_session(observer: AsyncConnection[Any], pid: int) -> None:
    """End a session and return when its process is gone."""
    assert await (await observer.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))).fetchone() == (True,)


async def writer_pid(journal: PostgresJournal) -> int:
    """The process id of the session that appends."""
    assert journal._writer is not None
    return journal._writer.info.backend_pid


# Order ----------------------------------------------------------------------------------------------------------------


def test_the_librarys_functions_let_a_reader_pass_by_a_slow_writer(database_url: str) -> None:
    """Why positions come from a locked row: with a sequence and no lock, 2 is read before 1, and 1 never."""
    known = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
    place = (known["dbname"], known["host"], known["port"], known["user"], "")
    with PostgresDatastore(*place, originator_id_type="text", enable_db_functions=True, pool_size=2) as datastore:
        recorder = PostgresApplicationRecorder(datastore)
        recorder.create_table()
        seen = []
        with datastore.transaction(commit=True) as slow:
            event = recorder.construct_pg_stored_event("slow", 1, "t", b"")
            slow.execute(recorder.sql_invoke_pg_function_insert_events, ([event],))
            recorder.insert_events([StoredEvent("fast", 1, "t", b"")])
            seen += recorder.select_notifications(start=0, limit=10, inclusive_of_start=False)
        seen += recorder.select_notifications(start=seen[-1].id, limit=10, inclusive_of_start=False)
        assert [(event.id, event.originator_id) for event in seen] == [(2, "fast")]


async def test_a_slow_writer_cannot_make_a_reader_skip(
    journal: PostgresJournal, observer: AsyncConnection[Any], rival: AsyncConnection[Any]
) -> None:
    """The second append waits for the first; whoever reads position N has everything below it."""
    assert await append_slowly(rival, "slow") == 1
    fast = asyncio.create_task(journal.append(batch("fast")))
    await one_waits(observer)
    assert (await journal.read(0, 10), await journal.head()) == ([], 0)
    await rival.commit()
    outcome = await fast
    assert isinstance(outcome, Appended)
    assert outcome.first_position == 2
    assert [(r.position, r.history_id) for r in await journal.read(0, 10)] == [(1, "slow"), (2, "fast")]


async def test_positions_follow_the_commits(url: str, observer: AsyncConnection[Any]) -> None:
    """Four processes wait for the same lock; a follower that reads all the time never sees a gap."""
    journals = [PostgresJournal(url) for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        for one in journals:
            await stack.enter_async_context(_opened(one))
        async with journals[0].turn() as held:
            writing = [asyncio.create_task(one.append(batch(f"h{n}"))) for n, one in enumerate(journals)]
            await one_waits(observer)
            await held.append(batch("first"))
        seen: list[int] = []
        while len(seen) < 5:
            seen += [record.position for record in await journals[1].read(len(seen), 10)]
            assert seen == list(range(1, len(seen) + 1))
        outcomes = [await task for task in writing]
    positions = sorted(outcome.first_position for outcome in outcomes if isinstance(outcome, Appended))
    assert positions == [2, 3, 4, 5]


async def test_a_rolled_back_append_leaves_no_gap(journal: PostgresJournal, rival: AsyncConnection[Any]) -> None:
    """The position goes to the next one."""
    assert await append_slowly(rival, "dropped") == 1
    await rival.rollback()
    outcome = await journal.append(batch("kept"))
    assert isinstance(outcome, Appended)
    assert outcome.first_position == 1


async def test_the_check_after_the_wait_sees_what_was_waited_for(
    journal: PostgresJournal, observer: AsyncConnection[Any], rival: AsyncConnection[Any]
) -> None:
    """A history that moves while the append waits is a conflict with its new version, and so is the command."""
    await append_slowly(rival, "hot", "the command")
    waiting = asyncio.create_task(journal.append(batch("hot", 1, "the command")))
    await one_waits(observer)
    await rival.commit()
    assert await waiting == Conflict(moved={"hot": 1}, seen=frozenset({"the command"}))
    assert await journal.head() == 1


async def test_a_turn_waits_for_the_append_before_it(
    journal: PostgresJournal, observer: AsyncConnection[Any], rival: AsyncConnection[Any]
) -> None:
    """What is loaded inside a turn contains everything that was committed before the turn began."""
    await append_slowly(rival, "hot")
    turn = asyncio.create_task(_load_and_append(journal, "hot"))
    await one_waits(observer)
    await rival.commit()
    assert await turn == 2


async def _load_and_append(journal: Journal, history_id: str) -> int:
    async with journal.turn() as held:
        version = (await held.load({history_id: 0}))[-1].version
        outcome = await held.append(batch(history_id, version + 1))
        assert isinstance(outcome, Appended)
    return outcome.first_position


async def test_the_journals_clock_does_not_run_backwards(journal: PostgresJournal, url: str) -> None:
    """After the server's clock was set back, records take the time of the last one until it has caught up."""
    with psycopg.connect(url) as admin:
        admin.execute("UPDATE journal.head SET recorded_at = now() + interval '1 hour'")
        [(ahead,)] = admin.execute("SELECT recorded_at FROM journal.head").fetchall()
    outcome = await journal.append(batch("a"))
    assert isinstance(outcome, Appended)
    assert outcome.recorded_at == ahead
    assert await journal.position_at(ahead - timedelta(seconds=1)) == 0


async def test_a_removed_record_is_an_alarm(journal: PostgresJournal, url: str) -> None:
    """Somebody with all powers took a record out: the walk over the journal says so and does not go on."""
    for version in (1, 2, 3):
        await journal.append(batch("a", version))
    with psycopg.connect(url) as admin:
        admin.execute("ALTER TABLE journal.record DISABLE TRIGGER append_only")
        admin.execute("DELETE FROM journal.record WHERE position = 2")
    with pytest.raises(JournalError, match="gap after position 0"):
        await anext(journal.scan())


# Failures -------------------------------------------------------------------------------------------------------------


async def test_a_session_ended_during_an_append_leaves_the_outcome_open(
    journal: PostgresJournal, observer: AsyncConnection[Any], rival: AsyncConnection[Any]
) -> None:
    """The caller is told that it must ask; here nothing was written, and the next append has a new connection."""
    await append_slowly(rival, "before")
    cut = asyncio.create_task(journal.append(batch("a", 1, "the command")))
    await end_session(observer, await one_waits(observer))
    with pytest.raises(OutcomeUnknownError):
        await cut
    await rival.commit()
    assert await journal.of_commands(["the command"]) == []
    outcome = await journal.append(batch("a", 1, "the command"))
    assert isinstance(outcome, Appended)
    assert outcome.first_position == 2


async def test_a_session_ended_while_idle_is_replaced_unnoticed(
    journal: PostgresJournal, observer: AsyncConnection[Any]
) -> None:
    """A restart of the database between two appends costs no caller anything."""
    await journal.append(batch("a", 1))
    await end_session(observer, await writer_pid(journal))
    assert isinstance(await journal.append(batch("a", 2)), Appended)


async def test_sessions_that_read_come_back(journal: PostgresJournal, observer: AsyncConnection[Any]) -> None:
    """Reading goes on over new connections."""
    await journal.append(batch("a"))
    assert await journal.head() == 1
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for (pid,) in await (await observer.execute(query)).fetchall():
        await end_session(observer, pid)
    assert await journal.head() == 1


async def test_a_session_ended_inside_a_turn_has_written_nothing(
    journal: PostgresJournal, observer: AsyncConnection[Any]
) -> None:
    """The commit was never asked for, so this is no open question: try again."""
    with pytest.raises(JournalUnavailableError):
        await _lose_the_session_in_a_turn(journal, observer)
    assert await journal.head() == 0
    assert isinstance(await journal.append(batch("a")), Appended)


async def _lose_the_session_in_a_turn(journal: PostgresJournal, observer: AsyncConnection[Any]) -> None:
    async with journal.turn() as held:
        await held.append(batch("a"))
        await end_session(observer, await writer_pid(journal))
        await held.load({"a": 0})


async def test_an_error_swallowed_inside_a_turn_still_fails_it(journal: PostgresJournal) -> None:
    """PostgreSQL answers COMMIT of a failed transaction with a rollback and no error; the turn does not."""
    with pytest.raises(JournalUnavailableError, match="nothing was written"):
        await _swallow_an_error(journal)
    assert await journal.head() == 0


async def _swallow_an_error(journal: Journal) -> None:
    async with journal.turn() as held:
        await held.append(batch("a"))
        with contextlib.suppress(JournalRejectedError):
            await held.append(batch("nul \0"))


async def test_a_stuck_append_is_ended(url: str, rival: AsyncConnection[Any]) -> None:
    """Behind a lock that nobody releases, the server gives up for certain: nothing was written."""
    async with _opened(PostgresJournal(url, hanging_seconds=0.4)) as journal:
        await append_slowly(rival, "stuck")
        with pytest.raises(JournalUnavailableError, match="timeout"):
            await journal.append(batch("a"))
        await rival.rollback()
        assert isinstance(await journal.append(batch("a")), Appended)


async def test_a_cancelled_append_lets_the_lock_go(
    journal: PostgresJournal, observer: AsyncConnection[Any], rival: AsyncConnection[Any]
) -> None:
    """The caller went away while it waited: others go on."""
    await append_slowly(rival, "before")
    cancelled = asyncio.create_task(journal.append(batch("a")))
    await one_waits(observer)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await rival.commit()
    outcome = await journal.append(batch("a"))
    assert isinstance(outcome, Appended)
    assert outcome.first_position == 2


@pytest.mark.parametrize(
    "bad",
    [batch("nul \0"), batch("half \ud800 a pair"), Batch([], {"a": 2**63}), batch(token_hex(5_000))],
    ids=["nul", "surrogate", "number too big", "id too long"],
)
async def test_what_the_database_can_never_take_is_rejected(journal: PostgresJournal, bad: Batch) -> None:
    """Trying again would be useless; the journal itself is as good as before."""
    with pytest.raises(JournalRejectedError):
        await journal.append(bad)
    assert isinstance(await journal.append(batch("a")), Appended)


async def test_a_journal_that_contradicts_itself_is_damaged(
    journal: PostgresJournal, observer: AsyncConnection[Any]
) -> None:
    """With a head that was set back the batch is right and the journal is wrong: its operator has to know."""
    await journal.append(batch("a"))
    await observer.execute("UPDATE journal.head SET position = 0")
    with pytest.raises(JournalDamagedError, match="contradicts itself"):
        await journal.append(batch("b"))


async def test_a_database_that_is_not_there_is_unavailable(url: str, tmp_path: Path) -> None:
    """Nothing was sent, so nothing was written."""
    with pytest.raises(JournalUnavailableError, match="cannot be reached"):
        await PostgresJournal(make_conninfo(url, host=str(tmp_path))).open()


# Lost replies ---------------------------------------------------------------------------------------------------------


class Proxy:
    """A wire between the program and the database that can be cut at a chosen moment."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self.connections: list[asyncio.Task[None]] = []
        self.loses_next_reply = False
        self.loses_next_request = False

    async def serve(self, client: StreamReader, answer: StreamWriter) -> None:
        """Forward one connection both ways."""
        connection = asyncio.current_task()
        assert connection is not None
        self.connections.append(connection)
        reply, server = await asyncio.open_unix_connection(self._server_socket)
        pumps = [self._requests(client, server), self._replies(reply, answer)]
        tasks = [asyncio.create_task(pump) for pump in pumps]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for end in (server, answer):
            end.close()
            await end.wait_closed()

    async def _requests(self, client: StreamReader, server: StreamWriter) -> None:
        while data := await client.read(65_536):
            if self.loses_next_request:
                self.loses_next_request = False
                return
            server.write(data)

    async def _replies(self, reply: StreamReader, answer: StreamWriter) -> None:
        while data := await reply.read(65_536):
            if self.loses_next_reply:
                # The server answers after the commit: now it stands, and nobody hears of it.
                self.loses_next_reply = False
                return
            answer.write(data)


@pytest.fixture
def socket_directory() -> Iterator[str]:
    """A short path: those of sockets are limited."""
    with TemporaryDirectory() as directory:
        yield directory


@pytest.fixture
async def wire(url: str, socket_directory: str) -> AsyncIterator[Proxy]:
    """The proxy, listening in ``socket_directory`` like a server."""
    known = conninfo_to_dict(url)
    proxy = Proxy(f"{known['host']}/.s.PGSQL.{known['port']}")
    async with await asyncio.start_unix_server(proxy.serve, f"{socket_directory}/.s.PGSQL.5432"):
        yield proxy
        await asyncio.gather(*proxy.connections)


@pytest.fixture
async def distant(url: str, wire: Proxy, socket_directory: str) -> AsyncIterator[PostgresJournal]:
    """A journal behind the wire, with its statements prepared: one request and one reply an append."""
    assert not wire.loses_next_reply
    async with _opened(PostgresJournal(make_conninfo(url, host=socket_directory, port=5432))) as journal:
        await journal.append(batch("warm"))
        assert await journal.head() == 1  # All sessions are there: what is lost now is what the test asks for.
        yield journal


async def test_a_commit_whose_reply_is_lost_is_found_by_its_command(distant: PostgresJournal, wire: Proxy) -> None:
    """It stands although nobody was told; doing it again is answered with ``seen`` instead of a second order."""
    wire.loses_next_reply = True
    with pytest.raises(OutcomeUnknownError):
        await distant.append(batch("order", 1, "the command"))
    assert [record.history_id for record in await distant.of_commands(["the command"])] == ["order"]
    again = await distant.append(batch("order", 1, "the command"))
    assert again == Conflict(moved={"order": 1}, seen=frozenset({"the command"}))


async def test_a_request_that_is_lost_has_written_nothing(distant: PostgresJournal, wire: Proxy) -> None:
    """From this side it looks the same; the journal tells the difference."""
    wire.loses_next_request = True
    with pytest.raises(OutcomeUnknownError):
        await distant.append(batch("order", 1, "the command"))
    assert await distant.of_commands(["the command"]) == []
    assert isinstance(await distant.append(batch("order", 1, "the command")), Appended)


async def test_a_turn_whose_commit_reply_is_lost_is_found_by_its_command(distant: PostgresJournal, wire: Proxy) -> None:
    """A turn that has written leaves the outcome open as an append does."""
    with pytest.raises(OutcomeUnknownError):
        await _lose_the_commit(distant, wire, batch("order", 1, "the command"))
    assert [record.history_id for record in await distant.of_commands(["the command"])] == ["order"]


async def test_a_turn_that_only_read_leaves_no_question(distant: PostgresJournal, wire: Proxy) -> None:
    """There was nothing to commit, so trying again is safe."""
    with pytest.raises(JournalUnavailableError):
        await _lose_the_commit(distant, wire, batch("warm", 1, "conflicting"))
    assert await distant.head() == 1


async def _lose_the_commit(journal: Journal, wire: Proxy, written: Batch) -> None:
    async with journal.turn() as held:
        await held.append(written)
        wire.loses_next_reply = True
