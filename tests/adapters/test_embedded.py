"""The embedded servers, killed and mishandled: the next start picks everything up."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nats
import psutil
import psycopg
import pytest

from adapters import embedded_postgres
from adapters.embedded import EmbeddedError, EmbeddedNats, EmbeddedPostgres, EmbeddedServer, supervise
from adapters.embedded_server import HOLDERS, wait_until

PATIENCE = 30.0

ANOTHER_PROCESS = """
import sys
from pathlib import Path
from adapters.embedded import {kind}
server = {kind}(Path(sys.argv[1]))
server.ensure()
print(server.pid, flush=True)
sys.stdin.read()
"""


def another_process(server: EmbeddedServer) -> subprocess.Popen[str]:
    """Start a process that needs the same server, until its input ends; it prints the server's process id."""
    code = ANOTHER_PROCESS.format(kind=type(server).__name__)
    command = [sys.executable, "-c", code, str(server.directory)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )


def said_pid(process: subprocess.Popen[str]) -> int:
    """Return the server's process id as the other process knows it."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process of ours, without a chance to release anything."""
    with process:
        process.kill()


def kill(server: EmbeddedServer) -> int:
    """Kill the server as a power cut would; return the process id that it had."""
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not server.running(), PATIENCE)
    return pid


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory that only its owner may open."""
    with tempfile.TemporaryDirectory(prefix="livetill-") as directory:
        yield Path(directory)


@pytest.fixture
def postgres(place: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of the test's own, not yet started."""
    server = EmbeddedPostgres(place / "pg")
    yield server
    server.release()


@pytest.fixture
def jetstream(place: Path) -> Iterator[EmbeddedNats]:
    """A NATS of the test's own, not yet started."""
    server = EmbeddedNats(place / "nats")
    yield server
    server.release()


@pytest.fixture(params=[EmbeddedPostgres, EmbeddedNats])
def server(request: pytest.FixtureRequest, place: Path) -> Iterator[EmbeddedServer]:
    """Each of the servers, not yet started."""
    started: EmbeddedServer = request.param(place / "server")
    yield started
    started.release()


def test_committed_rows_survive_a_kill_of_postgres(postgres: EmbeddedPostgres) -> None:
    """The same start that made the cluster recovers it."""
    with psycopg.connect(postgres.ensure()) as connection:
        connection.execute("CREATE TABLE sale AS SELECT 7 AS units")
    before = kill(postgres)
    with psycopg.connect(postgres.ensure()) as connection:
        assert connection.execute("SELECT units FROM sale").fetchone() == (7,)
    assert postgres.pid != before


def test_what_a_journal_needs_cannot_be_configured_away(postgres: EmbeddedPostgres) -> None:
    """Durability is said on the command line; the rest is the operator's, in the file."""
    postgres.ensure()
    with (postgres.data / "postgresql.conf").open("a") as file:
        file.write("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nwork_mem = '9MB'\n")
    kill(postgres)
    names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "server_encoding", "work_mem")
    with psycopg.connect(postgres.ensure()) as connection:
        found = [connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in names]
    assert found == [("on",), ("on",), ("on",), ("on",), ("UTF8",), ("9MB",)]


def test_postgres_is_reached_by_its_owner_alone(postgres: EmbeddedPostgres) -> None:
    """No TCP port, and a socket and data that others cannot open: that is why there is no password."""
    with psycopg.connect(postgres.ensure()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert {path.stat().st_mode & 0o077 for path in (postgres.data, postgres.directory / "run")} == {0}


def test_a_server_outlives_the_process_that_started_it(server: EmbeddedServer) -> None:
    """A killed process leaves a running server, and the next one takes it as it is."""
    first = another_process(server)
    pid = said_pid(first)
    end(first)
    server.ensure()
    assert server.pid == pid


def test_an_interrupt_at_the_terminal_does_not_reach_the_server(server: EmbeddedServer) -> None:
    """It lives in a session of its own."""
    server.ensure()
    assert os.getsid(server.pid or 0) == server.pid


def test_the_last_one_to_release_stops_the_server(server: EmbeddedServer) -> None:
    """A process that was killed no longer counts, one that lives does."""
    server.ensure()
    other, killed = another_process(server), another_process(server)
    assert said_pid(other) == said_pid(killed) == server.pid
    end(killed)
    server.release()
    assert server.running()
    end(other)
    server.ensure()
    server.release()
    assert not server.running()


def test_a_server_that_nobody_holds_is_swept_away(server: EmbeddedServer) -> None:
    """One that somebody holds is not, and where there is none nothing is made."""
    server.sweep()
    assert not server.directory.exists()
    holding = another_process(server)
    said_pid(holding)
    server.sweep()
    assert server.running()
    end(holding)
    server.sweep()
    assert not server.running()


def test_processes_that_start_at_once_share_one_server(server: EmbeddedServer) -> None:
    """Whoever comes first starts it; the others wait and find it."""
    processes = [another_process(server) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        pids = set(threads.map(said_pid, processes))
    server.ensure()
    for process in processes:
        end(process)
    assert pids == {server.pid}


async def test_a_server_that_dies_is_started_again(server: EmbeddedServer) -> None:
    """Supervision notices a death, restarts and says so, while the event loop goes on."""
    await asyncio.to_thread(server.ensure)
    restarted = asyncio.Event()
    supervision = asyncio.create_task(supervise(server, 0.05, restarted.set))
    before = await asyncio.to_thread(kill, server)
    async with asyncio.timeout(PATIENCE):
        await restarted.wait()
    supervision.cancel()
    await asyncio.gather(supervision, return_exceptions=True)
    assert server.running()
    assert server.pid != before


@pytest.mark.parametrize("starter", ["ours", "another's"])
@pytest.mark.parametrize("loss", ["removed", "moved", "replaced"])
def test_a_server_whose_directory_is_gone_is_stopped_all_the_same(
    server: EmbeddedServer, starter: str, loss: str
) -> None:
    """It is known by its process, whoever started it; that its directory is gone is said, for it is not empty."""
    if starter == "another's":
        started = another_process(server)
        said_pid(started)
        end(started)
    server.ensure()
    pid, away = server.pid, server.directory.with_name("away")
    assert pid is not None
    assert not server.lost()
    server.directory.rename(away)
    if loss != "moved":
        shutil.rmtree(away)
    if loss == "replaced":
        server.directory.mkdir()
        (server.directory / HOLDERS).touch()
    assert server.lost()
    with pytest.raises(EmbeddedError, match=r"server is gone, and with it what .* kept there"):
        server.release()
    assert wait_until(lambda: not psutil.pid_exists(pid), PATIENCE)


async def test_a_server_whose_directory_is_gone_does_not_begin_anew(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty one in its place would sell what is sold already. It is said once; put back, it goes on."""
    await asyncio.to_thread(server.ensure)
    restarted = asyncio.Event()
    supervision = asyncio.create_task(supervise(server, 0.05, restarted.set))
    away = server.directory.rename(server.directory.with_name("away"))
    while not caplog.records:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(kill, server)
    await asyncio.sleep(0.5)  # looked at several times
    assert not server.directory.exists()
    away.rename(server.directory)
    async with asyncio.timeout(PATIENCE):
        await restarted.wait()
    supervision.cancel()
    await asyncio.gather(supervision, return_exceptions=True)
    assert [line.getMessage() for line in caplog.records if line.levelname == "ERROR"] == [server.loss]


def test_a_long_path_is_no_obstacle(place: Path) -> None:
    """A socket's path may have a hundred bytes; a data directory's may have more."""
    server = EmbeddedPostgres(place / ("long" * 30) / "pg")
    url = server.ensure()
    try:
        psycopg.connect(url).close()
    finally:
        server.release()
        server._socket_directory().rmdir()


def test_a_process_id_used_again_does_not_stop_a_start(postgres: EmbeddedPostgres) -> None:
    """After a reboot the id in a lock file may be any program's: here it is this very test's."""
    url = postgres.ensure()
    lock = (postgres.data / "postmaster.pid").read_text().split("\n", 1)[1]
    kill(postgres)
    (postgres.data / "postmaster.pid").write_text(f"{os.getpid()}\n{lock}")
    psycopg.connect(postgres.ensure()).close()
    assert postgres.url() == url


def test_an_interrupted_first_start_leaves_nothing_in_the_way(postgres: EmbeddedPostgres) -> None:
    """The cluster is made beside its place and moved there whole."""
    half = postgres.directory / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    psycopg.connect(postgres.ensure()).close()
    assert not half.exists()


def test_a_cluster_of_another_version_is_named_as_such(postgres: EmbeddedPostgres) -> None:
    """The line says what was found and what to do."""
    postgres.data.mkdir(parents=True)
    (postgres.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 16 and this livetill carries 18: .*--data-dir"):
        postgres.ensure()


def test_a_missing_program_is_named_as_such(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says how to get it."""
    monkeypatch.setattr(embedded_postgres, "MAJOR", 99)
    with pytest.raises(EmbeddedError, match=r"is missing: .*make install.*--database-url"):
        postgres.ensure()


def test_a_full_disk_is_named_as_such(postgres: EmbeddedPostgres) -> None:
    """However PostgreSQL puts it, the line says that space is needed."""
    said = 'PANIC:  could not write to file "pg_wal/xlogtemp.9": No space left on device'
    assert "is full: free some space" in str(postgres._failure(said))


def test_a_setting_that_postgres_refuses_is_quoted(postgres: EmbeddedPostgres) -> None:
    """The reason is PostgreSQL's own, and on one line."""
    postgres.ensure()
    kill(postgres)
    with (postgres.data / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'plenty'\n")
    with pytest.raises(EmbeddedError, match=r"^PostgreSQL did not start: .*contains errors.*postgres\.log\)$"):
        postgres.ensure()


def test_a_directory_that_cannot_be_made_is_named_as_such(place: Path) -> None:
    """A file in the way is told in one line."""
    (place / "file").write_text("")
    with pytest.raises(EmbeddedError, match=r"^cannot use .*choose another --data-dir$"):
        EmbeddedPostgres(place / "file" / "pg").ensure()


def test_nats_keeps_its_port(jetstream: EmbeddedNats) -> None:
    """Clients that reconnect find it where it was."""
    url = jetstream.ensure()
    kill(jetstream)
    assert jetstream.ensure() == url


def test_nats_moves_when_its_port_was_taken(jetstream: EmbeddedNats) -> None:
    """Another program may have the port by the next start."""
    url = jetstream.ensure()
    kill(jetstream)
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        assert jetstream.ensure() != url


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedNats])
@pytest.mark.parametrize("name", ["München", "日本", 'a "b" %41 \\u0041 #$x\there'])
def test_any_name_of_a_directory_will_do(place: Path, kind: type[EmbeddedServer], name: str) -> None:
    """What a configuration or a URL takes for its own must not be taken out of the name."""
    server = kind(place / name)
    server.ensure()
    server.release()
    assert [each.name for each in place.iterdir()] == [name]
    assert {path.name for path in server.directory.iterdir()} >= {server.log_path.name}


async def test_a_wiped_nats_starts_empty(jetstream: EmbeddedNats) -> None:
    """Messages survive a kill, and do not survive being wiped."""
    found = []
    for disturb in (kill, EmbeddedNats.wipe, kill):
        async with await nats.connect(await asyncio.to_thread(jetstream.ensure)) as client:
            found.append(len(await client.jetstream().streams_info()))
            await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await asyncio.to_thread(disturb, jetstream)
    assert found == [0, 1, 0]


def test_a_closed_directory_above_stays_closed(place: Path) -> None:
    """Started by root, PostgreSQL runs as another user, who may pass; nobody gets to look around."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "pg")
    for _ in range(2):
        server.ensure()
        server.release()
        assert closed.stat().st_mode & 0o066 == 0
        closed.chmod(0o700)


def test_only_the_owner_may_read_the_token_of_nats(jetstream: EmbeddedNats) -> None:
    """Who can read the directory is let in: token and configuration are closed to others, and the token stays."""
    url = jetstream.ensure()
    for name in ("token", "nats.conf"):
        assert (jetstream.directory / name).stat().st_mode & 0o077 == 0
    kill(jetstream)
    assert jetstream.ensure() == url


def test_what_nats_keeps_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Where it listens, what lets one in and what it said."""
    server = EmbeddedNats(tmp_path / "nats")
    server.ensure()
    try:
        modes = {
            each.name: stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "nats").iterdir() if each.is_file()
        }
        assert stat.S_IMODE((tmp_path / "nats").stat().st_mode) == 0o700
        assert {name for name, mode in modes.items() if mode != 0o600} == set()
        assert {"port", "token", "nats-server.log"} <= modes.keys()
    finally:
        server.release()
