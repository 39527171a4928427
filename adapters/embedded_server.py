"""A server of our own on a data directory that several processes may share.

Whoever needs it calls ``ensure()``; it is started when it does not run, by whichever process comes first. Locks, not
process ids, say who needs it: every holder has a shared lock on ``holders.lock`` that the kernel drops when the holder
ends, however it ends, so the last one to ``release()`` knows that it is the last. ``start.lock`` lets one process at a
time start or stop. The server runs in a session of its own: an interrupt typed at the terminal, or the death of the
process that started it, leaves it running for the next ``ensure()`` to find.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psutil

log = logging.getLogger(__name__)

START_SECONDS = 600.0
"""How long a start may take: after a crash a server first recovers, which takes as long as it takes."""
STOP_SECONDS = 30.0
LOG_BYTES = 20_000_000
EARLY = ("the database system is starting up", "not yet accepting connections")
GRAVE = ("FATAL", "PANIC", "[FTL]", "error:")
FULL_DISK = "No space left on device"
HOLDERS = "holders.lock"


class EmbeddedError(Exception):
    """An embedded server cannot run; the message is one line that says why and what to do."""


class EmbeddedServer(ABC):
    """What PostgreSQL and NATS have in common: one server process a directory, shared by those who hold it."""

    title: ClassVar[str]
    executable: ClassVar[str]
    polite: ClassVar[signal.Signals]
    """The signal that ends the server at once and in order, whoever is connected."""
    passing: ClassVar[str]
    """What the server says when it cannot start now, but could in a moment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser().absolute()
        self.log_path = self.directory / f"{self.executable}.log"
        self._holding: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._known: psutil.Process | None = None

    def ensure(self) -> str:
        """Make sure that the server runs, hold it, and return its URL; ``EmbeddedError`` when it cannot run.

        Safe to call again at any time and from any thread: this is also how a server that died comes back.
        """
        try:
            return self._ensured()
        except PermissionError as error:
            raise EmbeddedError(
                f"{self.directory} belongs to another user: run livetill as that user or choose another --data-dir"
            ) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self._failure(FULL_DISK) from error
            raise EmbeddedError(f"cannot use {self.directory}: {error}; choose another --data-dir") from error

    def _ensured(self) -> str:
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._locked("start.lock"):
            self._hold()
            if not self.running():
                self._prepare()
            deadline = time.monotonic() + START_SECONDS
            while not self._serves() and not self._brought_up(deadline):
                time.sleep(0.1)
            self._settle()
        return self.url()

    def _brought_up(self, deadline: float) -> bool:
        """Start the server if need be and see it through; ``False`` when trying again will help."""
        begin = self._log_size()
        if not self.running():
            self._launch()
        while self.running():
            if self._serves():
                return True
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self.title} is still starting; watch {self.log_path} and start again later")
            time.sleep(0.02)
        said = self._log_since(begin)
        if self.passing in said and time.monotonic() < deadline:
            return False
        raise self._failure(said)

    def release(self) -> None:
        """Let go of the server, and stop it when no other live process holds it.

        ``EmbeddedError`` when its directory is gone; it is stopped all the same.
        """
        if self._holding is None:
            return
        lost = self.lost()
        # Where the directory is gone nobody else can start this server: there is no lock, and no need of one.
        with contextlib.nullcontext() if lost else self._locked("start.lock"):
            if self._last_holder():
                self._stop()
            os.close(self._holding)
            self._holding = None
        if lost:
            raise EmbeddedError(self.loss)

    def sweep(self) -> None:
        """Stop the server if it runs on for nobody, because whoever held it was killed."""
        if self.directory.is_dir() and self.running():
            with self._locked("start.lock"):
                self._hold()
            self.release()

    def lost(self) -> bool:
        """Tell whether the directory that we hold was removed or moved away, be there another in its place or none."""
        if self._holding is None or self._known is None:
            return False
        try:
            held, found = os.fstat(self._holding), (self.directory / HOLDERS).stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        return not (os.path.samestat(held, found) and self._working_directory().is_dir())

    @property
    def loss(self) -> str:
        """What there is to say when it is lost."""
        return f"{self.directory} is gone, and with it what {self.title} kept there: put it back, or restore a backup"

    def running(self) -> bool:
        """Tell whether the server process lives; it may still be starting.

        Which process it is is kept in mind, for what the server wrote down may be removed.
        """
        pid = self.pid
        if pid is not None and (self._known is None or self._known.pid != pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._known = psutil.Process(pid)
        return pid is not None

    @property
    def pid(self) -> int | None:
        """The server's process id, or ``None`` when it is not running."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        if self.lost():
            return self._known.pid if self._known is not None and _lives(self._known) else None
        pid = self._noted_pid()
        return pid if pid is not None and self._is_ours(pid) else None

    @abstractmethod
    def url(self) -> str:
        """Return where clients find the server."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs before it starts, and clear away what a crash has left."""

    @abstractmethod
    def _launch(self) -> None:
        """Start the server process, with ``_run``."""

    @abstractmethod
    def _serves(self) -> bool:
        """Tell whether it is this directory's server that answers, and has finished starting."""

    def _settle(self) -> None:
        """Make what clients expect of a server that has started."""
        return

    @abstractmethod
    def _noted_pid(self) -> int | None:
        """Return the process id that the server wrote down, be it alive or not."""

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process is this directory's server: ids are used again, so the id alone proves nothing."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith(self.executable):
                return False
            return Path(process.cwd()).resolve() == self._working_directory().resolve()
        except psutil.AccessDenied:
            return True
        except psutil.NoSuchProcess:
            return False

    def _working_directory(self) -> Path:
        """Return the directory that the server process runs in, and by which it is known."""
        return self.directory

    def _run(self, command: Sequence[str | Path], **options: Any) -> None:
        """Start the server process in a session of its own, with its output in the log."""
        self._rotate_log()
        with self.log_path.open("ab") as output:
            self._child = spawn(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **options
            )

    def _stop(self) -> None:
        """End the server in order, or by force when it does not end."""
        pid = self.pid
        if pid is None:
            return
        process = psutil.Process(pid)
        for number in (self.polite, signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
            if wait_until(lambda: self.pid is None, STOP_SECONDS):
                return
            log.warning("%s (pid %d) did not end on signal %d", self.title, pid, number)

    def _hold(self) -> None:
        if self._holding is None:
            self._holding = self._open(HOLDERS)
            fcntl.flock(self._holding, fcntl.LOCK_SH)

    def _last_holder(self) -> bool:
        assert self._holding is not None
        try:
            fcntl.flock(self._holding, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        descriptor = self._open(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> int:
        return os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o600)

    def _rotate_log(self) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))

    def _log_since(self, offset: int) -> str:
        """Return what the server has logged beyond an offset."""
        with self.log_path.open("rb") as lines:
            lines.seek(offset)
            return lines.read().decode(errors="replace")

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _failure(self, said: str) -> EmbeddedError:
        """Say in one line why the server did not start, from what it said itself."""
        if FULL_DISK in said:
            return EmbeddedError(f"the disk of {self.directory} is full: free some space and start again")
        lines = [line.strip() for line in said.splitlines() if not any(mark in line for mark in EARLY)]
        grave = [line for line in lines if any(mark in line for mark in GRAVE)]
        reason = (grave or lines or ["it said nothing"])[-1]
        return EmbeddedError(f"{self.title} did not start: {reason} (all it said is in {self.log_path})")


def spawn(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program with a small, known environment: a ``PGPORT`` of the user's shell must not reach our server."""
    environment: Mapping[str, str] = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
    try:
        return subprocess.Popen(command, env=environment, **options)  # noqa: S603 - our own binaries only
    except FileNotFoundError as error:
        raise EmbeddedError(f"{command[0]} is missing: install livetill's requirements again (make install)") from error
    except PermissionError as error:
        raise EmbeddedError(f"{command[0]} may not be run here: {error.strerror}; check its permissions") from error


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float, *, pause: float = 0.02) -> bool:
    """Ask until something is so; return whether it was within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def short_name(directory: Path) -> str:
    """Return a short name for a directory that no other directory of this machine has."""
    return hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]
