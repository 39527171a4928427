"""Many messages to JetStream at once, with one acknowledgement for all of them.

Every message names the sequence that must come before it. So the server takes a message only if it took the one before,
and the acknowledgement of the last one vouches for all. Asking for each one by itself costs the server an answer, and
us its reading, a record.
"""

from collections.abc import Sequence

from msgspec import DecodeError, Struct, json
from nats.aio.client import Client
from nats.aio.msg import Msg
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

    ``RefusedError`` when the last is not (then one before it was refused), an error of the client when the server does
    not answer; some of the events may then have been stored, and those in their places.
    """
    *before, last = events
    for event in before:
        await client.publish(event.subject, event.body, headers=_headers(stream, event))
    answer = await client.request(
        last.subject, last.body, timeout=ACKNOWLEDGED_SECONDS, headers=_headers(stream, last)
    )  # fmt: skip
    objection = _objection(answer, last.position)
    if objection:
        raise RefusedError(objection)


def _headers(stream: str, event: CloudEvent) -> dict[str, str]:
    return {
        "Content-Type": CONTENT_TYPE,
        Header.MSG_ID: str(event.position),
        Header.EXPECTED_STREAM: stream,
        Header.EXPECTED_LAST_SEQUENCE: str(event.position - 1),
    }


def _objection(answer: Msg, position: int) -> str:
    """Say why an answer is not the acknowledgement of a position; empty when it is."""
    try:
        reply = json.decode(answer.data, type=_Reply)
    except DecodeError as error:
        return f"an answer cannot be read: {error}"
    if reply.error is not None:
        return str(reply.error.get("description", reply.error))
    return "" if reply.seq == position else f"position {position} became message {reply.seq}"
