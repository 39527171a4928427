"""Many messages to JetStream at once, with one acknowledgement for all of them.

Every message names the sequence that must come before it. So the server takes a message only if it took the one before,
and the acknowledgement of the last one vouches for all. Asking for each one by itself costs the server an answer, and
us its reading, a record. An event that is larger than the server takes is sent by reference: one that could not be sent
would be the last.
"""

import logging
from collections.abc import Sequence

from msgspec import DecodeError, Struct, json
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError
from nats.js.api import Header

from adapters.cloudevent import CONTENT_TYPE, CloudEvent, by_reference

log = logging.getLogger(__name__)

ACKNOWLEDGED_SECONDS = 10.0
HEADERS_BYTES = 1_024
"""More than our headers take, which count in the server's limit."""


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
    *before, last = [_fitting(event, client.max_payload - HEADERS_BYTES) for event in events]
    # One command at a time, the client's publish takes three times as long as writing all of them in one piece.
    await client._send_command(b"".join([_command(stream, event) for event in before]))  # noqa: SLF001
    answer = await client.request(
        last.subject, last.body, timeout=ACKNOWLEDGED_SECONDS, headers=_headers(stream, last)
    )  # fmt: skip
    objection = _objection(answer, last.position)
    if objection:
        raise RefusedError(objection)


def _fitting(event: CloudEvent, largest: int) -> CloudEvent:
    if len(event.body) <= largest:
        return event
    log.warning("Record %d is too large for NATS, its message says where to read it: raise max_payload", event.position)
    return by_reference(event)


def _command(stream: str, event: CloudEvent) -> bytes:
    """Write the command that publishes an event, as NATS' protocol has it; ``BadSubjectError`` where it cannot be."""
    if len(event.subject.split()) != 1:
        raise BadSubjectError
    lines = "".join([f"{name}: {value}\r\n" for name, value in _headers(stream, event).items()])
    headers = f"NATS/1.0\r\n{lines}\r\n".encode()
    whole = len(headers) + len(event.body)
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (event.subject.encode(), len(headers), whole, headers, event.body)


def _headers(stream: str, event: CloudEvent) -> dict[str, str]:
    return {
        "Content-Type": CONTENT_TYPE,
        Header.MSG_ID.value: str(event.position),
        Header.EXPECTED_STREAM.value: stream,
        Header.EXPECTED_LAST_SEQUENCE.value: str(event.position - 1),
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
