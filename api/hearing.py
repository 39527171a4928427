"""Hearing a request: what uvicorn's protocol leaves open to whoever connects, without a token and for nothing.

A head is of moderate size, as is all that is no body, a request arrives in moderate time, an offer of another protocol
is declined as HTTP allows, and what is no request gets an answer in our words, after the answers to what came before
it. An answer of which nobody takes anything is not kept. All of it costs a request that is in order a few assignments
and a look at the names of its headers; the one timer of a connection is set again every ``PATIENCE_SECONDS``, whatever
happens on it.
"""

import asyncio
import fcntl
import sys
import termios
from abc import abstractmethod
from contextlib import suppress
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.problems import BadRequest, HeadTooLarge, MethodNotAllowed, RequestTimeout
from domain.refusal import Refusal

LARGEST_HEAD: Final = 32_768
"""Bytes of the target, the headers' names and their values."""
PATIENCE_SECONDS: Final = 15.0
"""A request has at least this long to arrive, from its first byte to its last, and at most twice as long.

Whoever is told something has as long to take some of it.
"""

LINGERING_SECONDS: Final = 2.0
"""How long a client that was refused may take to notice."""


class Hearing(HttpToolsProtocol):
    """uvicorn's protocol with a limit to its patience; one a connection."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.deaf = False
        """Whatever else comes is not heard."""
        self.patience: asyncio.TimerHandle | None = None
        self.answering: RequestResponseCycle | None = None
        """The request that went to the application last; ``cycle`` is the one that was heard last."""
        self.arriving: Any = None
        """The headers of the request that has come in part."""
        self.in_head = False
        """Whether ``cycle`` is still the one before it: until then whatever is wrong is not to be charged to that."""
        self._piece = 0
        self._later_pieces = 0
        """Bytes since a request began or its body went on, but for those of the piece in which it did."""

    @abstractmethod
    def refuse(self, refused: Refusal) -> None:
        """Say in its turn why what comes is not heard to its end, and hang up."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def _wait(self) -> None:
        self.patience = self.loop.call_later(PATIENCE_SECONDS, self._look, self.headers, _untaken(self.transport))

    def _look(self, headers: Any, untaken: int) -> None:
        """Hang up on who still sends what it sent at the last look, or sent nothing yet; who was answered may idle.

        Who has taken nothing since of what it is told is cut off: all that ends a connection in order waits for that.
        """
        if untaken and _untaken(self.transport) == untaken:
            self.transport.abort()
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        idle = self.arriving is None and (answering or self.timeout_keep_alive_task is not None)
        if not (self.deaf or self.headers is not headers or idle or self.flow.read_paused):
            if self.arriving is None:
                self.transport.close()
            else:
                self.refuse(RequestTimeout())
        self._wait()

    def _stop_waiting(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None

    def hang_up(self) -> None:
        """Send no more, and let what still comes go by: a client that is cut off while it sends loses its answer."""
        self.transport.write_eof()
        self._stop_waiting()
        self.patience = self.loop.call_later(LINGERING_SECONDS, self._close)

    def _close(self) -> None:
        self.transport.close()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, and with it whatever was to happen to it, also when it broke."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        if self.answering is not None:
            self.answering.disconnected = True
            self.answering.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Hear a piece, as far as anybody listens."""
        if self.deaf:
            return
        rest = memoryview(data)
        try:
            while (taken := self._taken(rest)) is not None:
                self._decline()
                rest = rest[taken:]
        except httptools.HttpParserError as error:
            told = error.__context__
            self.refuse(told if isinstance(told, Refusal) else BadRequest("what came is no HTTP request"))
        except Refusal as refused:
            self.refuse(refused)
        else:
            if self.arriving is not None:
                self._later_pieces += self._piece
                if self._later_pieces > LARGEST_HEAD:
                    self.refuse(HeadTooLarge(LARGEST_HEAD))

    def _taken(self, piece: memoryview) -> int | None:
        """Let the parser take a piece; return how much of it a request has ended with that offers another protocol."""
        self._piece = len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offered:
            taken: int = offered.args[0]
            return taken
        return None

    def _decline(self) -> None:
        """Go on as if no other protocol had been offered (RFC 9110, 7.8).

        The parser takes what follows such a head for the other protocol, and is done if the connection was to end with
        it, so another one hears the head again without the offer.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise MethodNotAllowed
        head = [b"%s %s HTTP/%s\r\n" % (method, self.url, self.parser.get_http_version().encode())]
        head += [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self._piece = 0  # these bytes have been counted when they came
        self.parser.feed_data(b"".join([*head, b"\r\n"]))

    def on_message_begin(self) -> None:
        """A request begins, and no sooner does its connection cease to idle: more of the last one may have come."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self.arriving, self.in_head, self._later_pieces = self.headers, True, -self._piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header without the blanks behind it; a trailer is none (RFC 9110, 5.5 and 6.5.1)."""
        if self.in_head:
            HttpToolsProtocol.on_header(self, name, value.rstrip(b" \t"))  # super() takes as long again, each time

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, whose size others judge; what is said between parts and behind them is bounded."""
        self._later_pieces = -self._piece
        super().on_body(body)

    def begin(self) -> bool:
        """Judge a head that is complete; tell whether it is a request, and not one to be heard again."""
        if (self._later_pieces >= 0 or self._piece > LARGEST_HEAD) and self._head_size() > LARGEST_HEAD:
            raise HeadTooLarge(LARGEST_HEAD)
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            raise BadRequest("it must name one Host")
        return not self.parser.should_upgrade()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def end(self) -> bool:
        """Note that a request has come to its end; tell whether it did, and is not to be heard again."""
        if self.in_head:
            return False
        self.arriving = None
        return True


def _untaken(transport: asyncio.Transport) -> int:
    """Return how many bytes the other end has yet to take, when the system does not hold them all.

    Those that it holds count, where it tells: it asks for more when a third of them is gone, which may be a megabyte,
    and until then somebody slow would look like somebody who takes nothing.
    """
    held = transport.get_write_buffer_size()
    if held:
        with suppress(OSError):
            told = fcntl.ioctl(transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
            held += int.from_bytes(told, sys.byteorder)
    return held
