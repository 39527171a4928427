"""A shop of its own for the demo: ``livetill serve`` as a process, with data that goes when the demo ends.

Every run starts with an empty journal, so a second run shows the same as the first.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
from attrs import define, field

from api.auth import Role, issue
from api.commands.serve import bound
from api.demo.errors import DemoError
from api.secrets import token_secret

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 90
STOP_SECONDS: Final = 30
LOOK_SECONDS: Final = 0.1
TOKEN_SECONDS: Final = 7 * 86_400
SUBJECTS: Final = {
    Role.BRAND: "brand-online-retail",
    Role.CLIENT: "shopfront",
    Role.FINANCE: "finance",
    Role.AUDITOR: "auditor",
}
"""Whom the demo acts as; each does what is its own, and nobody is an admin."""
ROOT: Final = Path(__file__).parents[2]
TIED: Final = "--until-input-ends"
LIVETILL: Final = (sys.executable, "-P", "-m", "api")
"""This very livetill, whatever directories called ``api`` there are where somebody stands."""


@define
class Server:
    """A shop: its port and place are found at the beginning of the ``with`` block, its end is the end of it."""

    port: int
    data_dir: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="livetill-demo-")))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers, and where its pages are."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What it says while it runs."""
        return self.data_dir / "serve.log"

    def tokens(self) -> Mapping[Role, str]:
        """Return a token for each of those whom the demo acts as."""
        secret = token_secret(self.data_dir, {})
        return {role: issue(role.value, subject, TOKEN_SECONDS, secret) for role, subject in SUBJECTS.items()}

    def __enter__(self) -> Self:
        try:
            self._take_port()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_port(self) -> None:
        """Find out before anything starts whether the port is free, and which one it is."""
        with bound(HOST, self.port) as listening:
            self.port = listening.getsockname()[1]

    async def start(self) -> None:
        """Start selling; ``DemoError`` when the shop does not get ready."""
        self._launch()
        deadline = time.monotonic() + START_SECONDS
        while not await self._ready():
            if self._process is None or self._process.poll() is not None:
                raise DemoError(f"the shop did not start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise DemoError(f"the shop was not ready within {START_SECONDS} s: {self._last_words()}")
            await asyncio.sleep(LOOK_SECONDS)

    def _launch(self) -> None:
        """Start the process.

        It has a session of its own: Ctrl-C reaches the demo, which then stops the shop in good order. Should the demo
        be killed, the pipe to the shop ends with it, and the shop closes by itself.
        """
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [*LIVETILL, "serve", "--host", HOST, "--port", str(self.port), "--data-dir", str(self.data_dir), TIED],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )

    async def _ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=5, verify=False) as client:  # noqa: S501 - no TLS here
                return (await client.get(f"{self.url}/health/ready")).is_success
        except httpx.HTTPError:
            return False

    def _last_words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip().removeprefix("livetill: ") if lines else "it said nothing"

    async def verify(self) -> bool:
        """Have the journal and the read models checked; whether all is well."""
        checking = await asyncio.create_subprocess_exec(
            *(*LIVETILL, "verify", "--json", "--data-dir", str(self.data_dir)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        try:
            return await checking.wait() == 0
        except asyncio.CancelledError:
            os.killpg(checking.pid, signal.SIGKILL)
            raise

    async def wait(self) -> None:
        """Stay until the shop ends by itself, which it should not."""
        while self._process is not None and self._process.poll() is None:  # noqa: ASYNC110 - a process, no event
            await asyncio.sleep(LOOK_SECONDS)
        raise DemoError(f"the shop has stopped: {self._last_words()}")

    def stop(self) -> None:
        """Stop it and take its data away. Nothing waits here for the event loop, so no signal can come in between."""
        if self._process is not None:
            self._end(self._process)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _environment() -> dict[str, str]:
    """Leave out the settings of a shop that is there already: the demo has nothing to do with it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("LIVETILL_")}
    return {**others, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
