"""Reading what clients send: bytes into shapes, strictly.

Litestar's own conversion is lenient (``"1"`` becomes a number); msgspec reads the bytes here as the shape says.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar.types import Receive

from api.problems import LARGEST_BODY, BadRequest, BodyTooLarge, MalformedBody, UnsupportedMediaType
from api.wording import LONGEST, invalid, malformed
from domain.refusal import Invalid

SAID_ONCE: Final = frozenset({b"authorization", b"content-type", b"idempotency-key", b"livetill-min-position"})
S = TypeVar("S", bound=msgspec.Struct)


def single(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers of which some came more than once: a list goes on; what may be said once is not guessed at."""
    given: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in SAID_ONCE and name in given:
            raise BadRequest(f"the header {name.decode()} is given twice")
        given[name] = given[name] + b", " + value if name in given else value
    return given


async def received(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Read the body, but no more of it than we would decode; half a body, or none where one was to come, is refused."""
    length = content_length(headers)
    if (length or 0) > LARGEST_BODY:
        raise BodyTooLarge(LARGEST_BODY)
    body, more = b"", True
    while more:
        message: Any = await receive()
        if message["type"] != "http.request":
            raise BadRequest("the connection ended before the body did")
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge(LARGEST_BODY)
        more = message.get("more_body", False)
    if length not in (None, len(body)):
        raise BadRequest(f"the body has {len(body)} bytes and Content-Length says {length}")
    return body


def content_length(headers: Mapping[bytes, bytes]) -> int | None:
    """Return how long the body is said to be; None when that is not said."""
    said = headers.get(b"content-length")
    if said is None:
        return None
    if not said.isdigit():
        raise BadRequest("Content-Length must be a number")
    return int(said.lstrip(b"0")[:12] or b"0")  # twelve digits tell that it is too long


@cache
def _decoder(kind: type[S]) -> msgspec.json.Decoder[S]:
    return msgspec.json.Decoder(kind)


@cache
def _may_be_empty(kind: type[msgspec.Struct]) -> bool:
    return not any(each.required for each in msgspec.structs.fields(kind))


def body_of(kind: type[S], media_type: bytes | None, body: bytes) -> S:
    """Read a body; it may be empty when nothing has to be said."""
    if not body and _may_be_empty(kind):
        return kind()
    if media_type is not None and media_type.partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedMediaType
    return decoded(kind, body)


def decoded(kind: type[S], body: bytes, within: str = "") -> S:
    """Read a body, or what was ``within`` one.

    ``Invalid`` says which field is wrong, ``MalformedBody`` that it is no JSON.
    """
    try:
        read: S = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error, kind, within=within) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(malformed(error) if body.strip() else "it is empty, and must be a JSON object") from None
    return read


def query_of(kind: type[S], query_string: bytes) -> S:
    """Read a query string; ``Invalid`` says which parameter is wrong."""
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise BadRequest("the query string cannot be read") from None
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise Invalid(twice[0][:LONGEST], "is given twice")
    try:
        return msgspec.convert(dict(pairs), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, kind, typed=False) from None
