"""The express lane: what has no parameter in its path, above all an order, on the shortest way through this process.

Under uvicorn a request becomes an ASGI scope, an application and two messages back, written one by one; on the path of
an order that takes longer than the edge's own part. Where the method and the target alone name the endpoint and the
body has a known, moderate length, the lane hands the bytes to the endpoint and writes its answer in one piece.
Everything else goes uvicorn's way and Litestar's: other paths, query strings, large or chunked bodies, what is
pipelined or unusual in any other way. Both ways end in ``Endpoint.answer``, so they judge a request alike.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.answers import Answer
from api.edge import Edge, Endpoint
from api.logs import Observed, request_id_of

EXPRESS: Final = "express"
"""Under this name the application's state has its lane."""
LARGEST: Final = 32_768
"""Larger bodies need uvicorn's flow control."""
CLOSE: Final = b"connection: close\r\n"


@define(eq=False)
class Express:
    """Serves the endpoints that are known without looking into the path."""

    edge: Edge
    observed: Observed
    endpoints: tuple[Endpoint, ...]
    _served: dict[tuple[bytes, bytes], Endpoint] = field(init=False)

    @_served.default
    def _known(self) -> dict[tuple[bytes, bytes], Endpoint]:
        plain = (each for each in self.endpoints if "{" not in each.path)
        return {(each.method.encode(), each.path.encode()): each for each in plain}

    def endpoint(self, method: bytes, target: bytes) -> Endpoint | None:
        """Return what serves a request, if these two tell."""
        return self._served.get((method, target))

    async def answer(self, exchange: "Exchange") -> list[bytes]:
        """Answer a request as the application would; return the answer's parts, the status line first."""
        started = time.perf_counter()
        endpoint, request_id = exchange.endpoint, request_id_of(exchange.given)
        scope: Any = {
            "method": endpoint.method,
            "path": endpoint.path,
            "path_template": endpoint.path,
            "path_params": {},
            "query_string": b"",
            "headers": exchange.given,
            "state": {"request_id": request_id.decode()},
        }
        answered = await endpoint.answer(self.edge, scope, exchange.receive)
        self.observed.note(scope, answered.status, time.perf_counter() - started)
        return _written(answered, request_id)


def _written(answered: Answer[Any], request_id: bytes) -> list[bytes]:
    parts = [STATUS_LINE[answered.status], b"x-request-id: ", request_id, b"\r\n"]
    for name, value in answered.headers:
        parts += name, b": ", value, b"\r\n"
    parts += b"content-length: %d\r\n\r\n" % len(answered.body), answered.body
    return parts


class Exchange(RequestResponseCycle):
    """A request on the lane, and whether it has been answered; to uvicorn it looks like one of its own."""

    def __init__(self, protocol: "ExpressProtocol", endpoint: Endpoint, given: Mapping[bytes, bytes]) -> None:
        self.endpoint, self.given = endpoint, given
        self.keep_alive = protocol.parser.should_keep_alive()
        self.message_event = protocol.unheard
        self.body = bytearray()
        self.response_complete = self.disconnected = False

    async def receive(self) -> Any:
        """Return the body, which is complete."""
        return {"type": "http.request", "body": bytes(self.body), "more_body": False}


class ExpressProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the lane beside it; one a connection."""

    def __init__(self, express: Express, **named: Any) -> None:
        super().__init__(**named)
        self._express = express
        self.unheard = asyncio.Event()
        """uvicorn says here that there is news of a request; on the lane nobody waits for that."""

    def on_headers_complete(self) -> None:
        """Take a request onto the lane, or leave it to uvicorn."""
        endpoint = self._express.endpoint(self.parser.get_method(), self.url)
        if endpoint is not None and self._alone():
            given = dict(self.headers)
            if _moderate(given):
                self.cycle = Exchange(self, endpoint, given)
                return
        super().on_headers_complete()

    def _alone(self) -> bool:
        """Tell whether a request asks for nothing special and the one before it is answered."""
        answered = self.cycle is None or self.cycle.response_complete
        special = self.expect_100_continue or self.parser.should_upgrade() or self.parser.get_http_version() != "1.1"
        return answered and not special

    def on_message_complete(self) -> None:
        """Answer a request whose body is there."""
        if isinstance(self.cycle, Exchange) and not self.cycle.response_complete:
            task = self.loop.create_task(self._exchange(self.cycle))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
        else:
            super().on_message_complete()

    async def _exchange(self, exchange: Exchange) -> None:
        """See a request through; a task that is cancelled leaves no half answer and no open connection."""
        try:
            answered = await self._express.answer(exchange)
            await self._write(answered, last=not exchange.keep_alive)
        except BaseException:
            self.transport.close()
            raise
        finally:
            exchange.response_complete = True
        self.on_response_complete()

    async def _write(self, answered: Sequence[bytes], *, last: bool) -> None:
        if self.flow.write_paused:
            await self.flow.drain()
        if not self.transport.is_closing():
            usual = [
                part for name, value in self.server_state.default_headers for part in (name, b": ", value, b"\r\n")
            ]
            status, *rest = answered
            self.transport.write(b"".join((status, *usual, CLOSE if last else b"", *rest)))
            if last:
                self.transport.close()


def _moderate(given: Mapping[bytes, bytes]) -> bool:
    """Tell whether a body has a known length that comes in a few pieces at most."""
    length = given.get(b"content-length", b"0")
    return b"transfer-encoding" not in given and length.isdigit() and int(length[:12]) <= LARGEST
