"""Speaks to a shop over HTTP, as any client would.

Every command carries an Idempotency-Key, so what got no answer, or one that asks to come again, is said again. Every
lane is a client with one connection: one client with many looks at each of them for every request, which takes longer
than the request.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import httpx
from attrs import define

from api.auth import Role
from api.demo.errors import DemoError
from domain.values import frozen

LANES: Final = 64
"""How many requests are under way at once where their order does not matter: enough to fill the till's batches."""
TIMEOUT_SECONDS: Final = 60
ATTEMPTS: Final = 60
CONNECTIONS: Final = 3
"""How often a request is sent: a server closes a connection that was idle for long just as we use it again."""
COME_AGAIN: Final = frozenset({429, 503})


@frozen
class Answer:
    """What the shop said."""

    status: int
    body: Any

    @property
    def problem(self) -> str:
        """The name of the refusal; empty when there is none."""
        if self.status < httpx.codes.BAD_REQUEST:
            return ""
        told = self.body.get("type", "") if isinstance(self.body, dict) else ""
        return str(told).rpartition(":")[2] or f"status_{self.status}"


@define
class Shop:
    """A shop, seen from outside."""

    lanes: asyncio.Queue[httpx.AsyncClient]
    tokens: Mapping[Role, str]
    position: int = 0
    """The last position that an answer told of."""

    async def ask(self, role: Role, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Answer:
        """Send a command and return the answer, which may be a refusal."""
        headers = {"Idempotency-Key": key or uuid4().hex}
        return await self._send("POST", role, path, json=dict(body or {}), headers=headers)

    async def tell(self, role: Role, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Any:
        """Send a command that the shop has no reason to refuse, and return what it says."""
        return _granted(path, await self.ask(role, path, body, key=key))

    async def read(self, role: Role, path: str, **query: str | int) -> Any:
        """Return what a read model says."""
        return _granted(path, await self._send("GET", role, path, params=query))

    async def metrics(self) -> Mapping[str, float]:
        """Return what is measured, by name and labels."""
        text = (await self._request("GET", "/metrics")).text
        samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def _send(self, method: str, role: Role, path: str, **request: Any) -> Answer:
        """Send a request until it gets an answer that is not "come again"."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}", **request.pop("headers", {})}
        for _ in range(ATTEMPTS):
            response = await self._request(method, path, headers=headers, **request)
            if response.status_code not in COME_AGAIN:
                return self._heard(response)
            await asyncio.sleep(float(response.headers.get("Retry-After", 1)))
        raise DemoError(
            f"the shop is overloaded: {path} was turned away {ATTEMPTS} times; try again on an idle machine"
        )

    async def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request; again when its connection was lost, for its key makes that harmless."""
        lane = await self.lanes.get()
        try:
            for _ in range(CONNECTIONS):
                try:
                    return await lane.request(method, path, **request)
                except httpx.TransportError as error:
                    lost = error
            raise DemoError(f"the shop no longer answers ({type(lost).__name__} at {path})")
        finally:
            self.lanes.put_nowait(lane)

    def _heard(self, response: httpx.Response) -> Answer:
        try:
            body = response.json() if response.content else {}
        except ValueError:
            raise DemoError(f"the shop's answer to {response.url.path} is no JSON; is this livetill?") from None
        if response.request.method == "POST" and isinstance(body, dict):
            self.position = max(self.position, _reached(body))
        return Answer(response.status_code, body)


@asynccontextmanager
async def connected(url: str, tokens: Mapping[Role, str]) -> AsyncIterator[Shop]:
    """Speak to the shop at a URL from here until the end of the block."""
    lanes = asyncio.Queue[httpx.AsyncClient]()
    one = httpx.Limits(max_connections=1)
    async with AsyncExitStack() as stack:
        for _ in range(LANES):
            client = httpx.AsyncClient(base_url=url, limits=one, timeout=TIMEOUT_SECONDS, verify=False)  # noqa: S501 - this machine, without TLS # fmt: skip
            lanes.put_nowait(await stack.enter_async_context(client))
        yield Shop(lanes, tokens)


def _reached(body: Mapping[str, Any]) -> int:
    """Return the position of a write; a return and a refund tell it with their order."""
    return int(body.get("position") or body.get("order", {}).get("position") or 0)


def _granted(path: str, answer: Answer) -> Any:
    if answer.problem:
        detail = answer.body.get("detail", "") if isinstance(answer.body, dict) else ""
        raise DemoError(f"the shop refused {path}: {answer.problem} {detail}".rstrip())
    return answer.body
