"""Many messages to JetStream on their way at once, each only behind the one before it.

The client library's own ``publish_async`` was turned down: when the server refuses a message it raises where nobody
listens, and the acknowledgement that one waits for never comes.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from msgspec import DecodeError, Struct, json
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js.api import Header

from adapters.cloudevent import CONTENT_TYPE, CloudEvent

ACKNOWLEDGED_SECONDS = 10.0


class RefusedError(Exception):
    """JetStream did not store a message where it belongs; what it has stored must be asked for."""


class _Reply(Struct):
    seq: int = 0
    error: dict[str, object] | None = None


async def publish(client: Client, stream: str, events: Sequence[CloudEvent]) -> None:
    """Publish events of consecutive positions; when it returns, each is the message of its position.

    ``RefusedError`` at the first that is not, ``TimeoutError`` when the server does not answer; then some of the events
    may have been stored, and those in their places.
    """
    window = _Window(events)
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=window.answered)
    try:
        for event in events:
            await client.publish(event.subject, event.body, reply=inbox, headers=_headers(stream, event))
        async with asyncio.timeout(ACKNOWLEDGED_SECONDS):
            await window.stored
    finally:
        with contextlib.suppress(Error):
            await subscription.unsubscribe()


def _headers(stream: str, event: CloudEvent) -> dict[str, str]:
    return {
        "Content-Type": CONTENT_TYPE,
        Header.MSG_ID: str(event.position),
        Header.EXPECTED_STREAM: stream,
        Header.EXPECTED_LAST_SEQUENCE: str(event.position - 1),
    }


class _Window:
    """The answers still to come, in the order of the messages."""

    def __init__(self, events: Sequence[CloudEvent]) -> None:
        self.stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next = events[0].position
        self._last = events[-1].position

    async def answered(self, message: Msg) -> None:
        """Take one answer of the server."""
        if self.stored.done():
            return
        reason = self._objection(message)
        if reason:
            self.stored.set_exception(RefusedError(reason))
        elif self._next == self._last:
            self.stored.set_result(None)
        self._next += 1

    def _objection(self, message: Msg) -> str:
        """Say why an answer is not the acknowledgement of the next message; empty when it is."""
        if not message.data:
            return "the stream is not there"
        try:
            reply = json.decode(message.data, type=_Reply)
        except DecodeError as error:
            return f"an answer cannot be read: {error}"
        if reply.error is not None:
            return str(reply.error.get("description", reply.error))
        return "" if reply.seq == self._next else f"position {self._next} became message {reply.seq}"
