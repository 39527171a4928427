"""A real browser, spoken to through its debugging pipe: no driver and no extra package.

Chromium reads commands on file descriptor 3 and answers on 4, each a JSON document that ends with a zero byte
(``--remote-debugging-pipe``).
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define

PATIENCE_SECONDS = 40.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)  # fmt: skip


@define
class Browser:
    """One tab."""

    reader: asyncio.StreamReader
    pipe: int
    session: str = ""
    complaints: list[str] = Factory(list)
    """What the browser found wrong: errors of scripts, what the content policy refused, what could not be loaded."""
    asked: int = 0

    async def open(self, url: str, *, width: int = 390, height: int = 844) -> None:
        """Go to an address in a window of a size."""
        target = await self._ask("Target.createTarget", url="about:blank")
        attached = await self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            await self._ask(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self._ask("Emulation.setDeviceMetricsOverride", **size)
        await self._ask("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """Return what a JavaScript expression is worth on the page."""
        answer = await self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true on the page; what it is about may still be missing."""
        last: Any = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (last := await self.value(f"(() => {{ try {{ return {expression}; }} catch {{}} }})()")):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.value("document.body.innerText")
            raise AssertionError(f"{expression} stayed {last!r} on a page that says:\n{text}") from None

    async def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(await self.value(f"document.querySelector({json.dumps(selector)}).textContent"))

    async def close(self) -> None:
        """Have the browser end itself."""
        os.write(self.pipe, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")

    async def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.asked += 1
        command = {"id": self.asked, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.pipe, json.dumps(command).encode() + b"\0")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (message := json.loads((await self.reader.readuntil(b"\0"))[:-1])).get("id") != self.asked:
                self._note(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.complaints.append(message["params"]["entry"]["text"])


@asynccontextmanager
async def browser(directory: Path) -> AsyncIterator[Browser]:
    """Run a browser that remembers nothing."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("pages are looked at with a browser: `make browser` installs one")
    commands_in, commands_out = os.pipe()
    answers_in, answers_out = os.pipe()
    redirected = f'exec "$@" 3<&{commands_in} 4>&{answers_out}'
    process = await asyncio.create_subprocess_exec(
        "/bin/bash", "-c", redirected, "browser", program, *FLAGS, f"--user-data-dir={directory}", "about:blank",
        pass_fds=(commands_in, answers_out), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    os.close(commands_in)
    os.close(answers_out)
    reader = asyncio.StreamReader(limit=2**26)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers_in, "rb")
    )
    tab = Browser(reader, commands_out)
    try:
        yield tab
    finally:
        await tab.close()
        await process.wait()
        transport.close()
        os.close(commands_out)
