"""The express lane: what comes by the thousand, orders and viewers, on the shortest way through this process.

Under uvicorn a request becomes an ASGI scope, an application and two messages back, written one by one; on the path of
an order that takes longer than the edge's own part. Where the method and the target alone name the endpoint and the
body has a known, moderate length, the lane hands the bytes to the endpoint and writes its answer in one piece. Whoever
watches a show gets a seat (``api/seats``). Everything else goes uvicorn's way and Litestar's: other paths, query
strings, large or chunked bodies, what is pipelined or unusual in any other way. Both ways end in ``Endpoint.answer`` or
in a ``Viewer``, so they judge a request alike and say the same.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from api.answers import Answer, problem_answer
from api.edge import Edge, Endpoint, noted_refusal
from api.hearing import Hearing
from api.live import last_position_in
from api.live_hub import Viewer
from api.logs import Observed, request_id_of
from api.reading import content_length
from api.seats import HEADERS, Join, Seat
from domain.refusal import Refusal

EXPRESS: Final = "express"
"""Under this name the application's state has its lane."""
LARGEST: Final = 32_768
"""Larger bodies need uvicorn's flow control."""
CLOSE: Final = b"connection: close\r\n"
LIVE: Final = "/v1/streams/{stream_id}/live"
_LIVE: Final = re.compile(rb"/v1/streams/([A-Za-z0-9_.-]+)/live")
OK: Final = 200


class Exchange(RequestResponseCycle):
    """A request on the lane, and whether it has been answered; to uvicorn it looks like one of its own."""

    def __init__(self, protocol: "ExpressProtocol", given: Mapping[bytes, bytes]) -> None:
        self.given = given
        self.keep_alive = protocol.parser.should_keep_alive()
        self.message_event = protocol.unheard
        self.body = bytearray()
        self.response_started = self.response_complete = self.disconnected = False

    def described(self, method: str, path: str, path_template: str) -> Any:
        """Describe it as ASGI would, as far as anybody asks."""
        return {
            "method": method,
            "path": path,
            "path_template": path_template,
            "path_params": {},
            "query_string": b"",
            "headers": self.given,
            "state": {"request_id": request_id_of(self.given).decode()},
        }

    async def receive(self) -> Any:
        """Return the body, which is complete."""
        return {"type": "http.request", "body": bytes(self.body), "more_body": False}


class Asking(Exchange):
    """A request that an endpoint answers."""

    def __init__(self, protocol: "ExpressProtocol", given: Mapping[bytes, bytes], endpoint: Endpoint) -> None:
        super().__init__(protocol, given)
        self.endpoint = endpoint


class Watching(Exchange):
    """Somebody who comes to watch a show."""

    def __init__(self, protocol: "ExpressProtocol", given: Mapping[bytes, bytes], stream_id: str) -> None:
        super().__init__(protocol, given)
        self.stream_id = stream_id


class Unheard(Exchange):
    """What is no request, or never became one; it is answered in its turn, and nothing comes after it."""

    def __init__(self, protocol: "ExpressProtocol", refused: Refusal) -> None:
        super().__init__(protocol, {})
        self.keep_alive = False
        self.refused = refused

    async def run_asgi(self, app: Any) -> None:
        """Its turn has come, says uvicorn; ``app`` is what sees it through."""
        await app(self)


@define(eq=False)
class Express:
    """Serves the endpoints that are known without looking into the path, and those who watch."""

    edge: Edge
    observed: Observed
    endpoints: tuple[Endpoint, ...]
    join: Join
    _served: dict[tuple[bytes, bytes], Endpoint] = field(init=False)

    @_served.default
    def _known(self) -> dict[tuple[bytes, bytes], Endpoint]:
        plain = (each for each in self.endpoints if "{" not in each.path)
        return {(each.method.encode(), each.path.encode()): each for each in plain}

    def taken(self, protocol: "ExpressProtocol", method: bytes, target: bytes) -> Exchange | None:
        """Return a request that is to be served here, if these two and its headers tell."""
        endpoint = self._served.get((method, target))
        live = _LIVE.fullmatch(target) if endpoint is None and method == b"GET" else None
        if endpoint is None and live is None:
            return None
        given = dict(protocol.headers)
        if len(given) != len(protocol.headers) or not _moderate(given):
            return None
        if endpoint is not None:
            return Asking(protocol, given, endpoint)
        return None if live is None else Watching(protocol, given, live[1].decode())

    async def serve(self, protocol: "ExpressProtocol", exchange: Exchange) -> None:
        """Answer a request as the application would."""
        if isinstance(exchange, Watching):
            await self._seat(protocol, exchange)
        elif isinstance(exchange, Asking):
            await protocol.answer(exchange, await self.answer(exchange))
        elif isinstance(exchange, Unheard):
            scope, told = exchange.described("", "", ""), problem_answer(exchange.refused)
            await protocol.answer(exchange, self._observed(scope, told, time.perf_counter()))

    async def answer(self, asking: Asking) -> list[bytes]:
        """Let an endpoint answer; return the answer's parts, the status line first."""
        started, endpoint = time.perf_counter(), asking.endpoint
        scope = asking.described(endpoint.method, endpoint.path, endpoint.path)
        answered = await endpoint.answer(self.edge, scope, asking.receive)
        return self._observed(scope, answered, started)

    async def _seat(self, protocol: "ExpressProtocol", watching: Watching) -> None:
        """Show somebody to a seat, or say why there is none."""
        started, stream_id = time.perf_counter(), watching.stream_id
        scope = watching.described("GET", LIVE.format(stream_id=stream_id), LIVE)
        seen = watching.given.get(b"last-event-id", b"").decode("latin-1")
        try:
            viewer = await self.join(stream_id, last_position_in(seen))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and no details
            refused = noted_refusal(error, "GET", scope["path"], scope["state"]["request_id"])
            await protocol.answer(watching, self._observed(scope, problem_answer(refused), started))
        else:
            protocol.take_seat(viewer, self._observed(scope, Answer(b"", OK, HEADERS), started, length=False))

    def _observed(self, scope: Any, answered: Answer[Any], started: float, *, length: bool = True) -> list[bytes]:
        """Note an answer, and write it."""
        self.observed.note(scope, answered.status, time.perf_counter() - started)
        return _written(answered, scope["state"]["request_id"].encode(), length=length)


def _written(answered: Answer[Any], request_id: bytes, *, length: bool) -> list[bytes]:
    parts = [STATUS_LINE[answered.status], b"x-request-id: ", request_id, b"\r\n"]
    for name, value in answered.headers:
        parts += name, b": ", value, b"\r\n"
    parts += b"content-length: %d\r\n\r\n" % len(answered.body) if length else b"\r\n", answered.body
    return parts


class ExpressProtocol(Hearing):
    """uvicorn's protocol with the lane beside it; one a connection."""

    def __init__(self, express: Express, **named: Any) -> None:
        super().__init__(**named)
        self._express = express
        self._seat: Seat | None = None
        self.unheard = asyncio.Event()
        """uvicorn says here that there is news of a request; on the lane nobody waits for that."""

    def on_headers_complete(self) -> None:
        """Take a request onto the lane, or leave it to uvicorn."""
        if not self.begin():
            return
        exchange = self._express.taken(self, self.parser.get_method(), self.url) if self._alone() else None
        if exchange is None:
            super().on_headers_complete()
        else:
            self.cycle = exchange
        self.in_head = False

    def _alone(self) -> bool:
        """Tell whether a request asks for nothing special and the one before it is answered."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self.expect_100_continue and self.parser.get_http_version() == "1.1"

    def on_message_complete(self) -> None:
        """Answer a request whose body is there."""
        if not self.end():
            return
        if isinstance(self.cycle, Exchange) and not self.cycle.response_complete:
            task = self.loop.create_task(self._exchange(self.cycle))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
        else:
            super().on_message_complete()

    def refuse(self, refused: Refusal) -> None:
        """Answer what is not heard to its end when all before it is answered, and hang up."""
        self.deaf = True
        waits = self.cycle is not None and not self.cycle.response_complete
        if self.arriving is not None and not self.in_head:
            broken = self.cycle
            if broken.response_started:
                self.transport.close()
                return
            broken.disconnected = True
            broken.message_event.set()  # whoever waits for the rest of the body learns that there is none
            waits = bool(self.pipeline)
            if waits:
                self.pipeline.popleft()
        self.cycle = Unheard(self, refused)
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self._exchange))  # type: ignore[arg-type]  # it is run by the cycle
        else:
            self._start_asgi_task(self.cycle, self._exchange)

    async def _exchange(self, exchange: Exchange) -> None:
        """See a request through; a task that is cancelled leaves no half answer and no open connection."""
        try:
            await self._express.serve(self, exchange)
        except BaseException:
            exchange.response_complete = True
            self.transport.close()
            raise

    async def answer(self, exchange: Exchange, parts: Sequence[bytes]) -> None:
        """Write an answer in one piece, and be ready for the next request."""
        if self.flow.write_paused:
            await self.flow.drain()
        if not self.transport.is_closing():
            last = not exchange.keep_alive
            self.transport.write(self._with_usual(parts, CLOSE if last else b""))
            if isinstance(exchange, Unheard):
                self.hang_up()
            elif last:
                self.transport.close()
        exchange.response_complete = True
        self.on_response_complete()

    def take_seat(self, viewer: Viewer, head: Sequence[bytes]) -> None:
        """Be a viewer's connection from now on; what else is asked on it is not heard, and only its end is."""
        self._seat = Seat(viewer, self.transport, self.flow)
        self.deaf = True
        self.pipeline.clear()
        self.flow.resume_reading()
        self.scope, self.headers = {}, []  # type: ignore[typeddict-item]  # a viewer stays for long, and is many
        self.answering = None
        if self.transport.is_closing():
            self._seat.leave()
        else:
            self._seat.begin(self._with_usual(head))

    def _with_usual(self, parts: Sequence[bytes], more: bytes = b"") -> bytes:
        """Put the headers that every answer has behind the status line."""
        usual = [part for name, value in self.server_state.default_headers for part in (name, b": ", value, b"\r\n")]
        status, *rest = parts
        return b"".join((status, *usual, more, *rest))

    def resume_writing(self) -> None:
        """The connection takes more again."""
        super().resume_writing()
        if self._seat is not None:
            self._seat.go_on()

    def shutdown(self) -> None:
        """The server stops; a seat that waits for its connection alone would not hear of the end."""
        super().shutdown()
        if self._seat is not None:
            self._seat.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        if self._seat is not None:
            self._seat.leave()
            self._seat = None  # nor does it leave a cycle behind


def _moderate(given: Mapping[bytes, bytes]) -> bool:
    """Tell whether a body has a known length that comes in a few pieces at most."""
    return b"transfer-encoding" not in given and (content_length(given) or 0) <= LARGEST
