"""A seat: a viewer on the express lane, whose frames go straight from the show's log to the connection.

A live feed is open for hours, and thousands are open at once. Through ASGI each is a task with a deep stack that is
woken for every frame; on a seat it is one callback and one write. What is sent is the same (``Viewer``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from api.live_hub import Viewer
from domain.ids import StreamId

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl

Join = Callable[[StreamId, int | None], Awaitable[Viewer]]
"""Lets somebody watch, from a position on if that is known."""


class Seat:
    """A viewer with the connection to write to."""

    def __init__(self, viewer: Viewer, transport: asyncio.Transport, flow: "FlowControl") -> None:
        self._viewer, self._transport, self._flow = viewer, transport, flow
        self._left = self._full = False

    def begin(self, head: bytes) -> None:
        """Send the head of the answer and what comes first."""
        self._transport.write(head + self._viewer.first())
        self._wait()

    def leave(self) -> None:
        """The connection has ended."""
        if not self._left:
            self._left = True
            self._viewer.hub.leave(self._viewer)

    def go_on(self) -> None:
        """The connection takes more again."""
        if self._full:
            self._full = False
            self._wait()

    def _wait(self) -> None:
        number = self._viewer.number
        assert number is not None
        self._viewer.channel.log.when_grown(number, self._tell)

    def _tell(self) -> None:
        """Send what is new; while the connection takes nothing, nothing piles up for it."""
        if self._left:
            return
        full, over = self._flow.write_paused, self._viewer.channel.log.closed
        if full and not over:
            self._full = True
        elif (data := self._viewer.more()) is not None:
            self._transport.write(data)
            self._wait()
        elif full:
            self._transport.abort()
        else:
            self._transport.close()


HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"connection", b"close"),
)
"""The answer has no length: it ends with the connection."""
