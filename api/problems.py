"""What goes wrong, as ``application/problem+json`` (RFC 9457): the one module that knows status codes.

A problem's type is the name of the refusal behind it and never changes; its facts are further members. A refusal of
the shop is 409 unless it is listed here. A machine that broke says 503 and when to come again, or 500 and the id under
which the log has the details; no answer tells how the shop is built.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar.exceptions import HTTPException

from application.ports import JournalDamagedError, JournalError, JournalRejectedError, ProviderError
from application.tickets import OverloadedError
from domain.refusal import Invalid, NotFound, Refusal, refusal
from projections.store import StoreError

MEDIA_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:livetill:problem:"

REFUSED: Final = 409
STATUSES: Final[Mapping[str, int]] = {
    "bad_request": 400,
    "malformed_body": 400,
    "malformed_if_match": 400,
    "idempotency_key_required": 400,
    "idempotency_key_malformed": 400,
    "unauthenticated": 401,
    "payment_declined": 402,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "stale_version": 412,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "invalid": 422,
    "idempotency_conflict": 422,
    "head_too_large": 431,
    "internal_fault": 500,
    "overloaded": 503,
    "unavailable": 503,
    "position_not_reached": 503,
    "payment_outcome_unknown": 503,
}


@refusal
class BadRequest(Refusal):
    """The request cannot be understood."""

    problem: str


@refusal
class MalformedBody(Refusal):
    """The body must be JSON in UTF-8."""

    problem: str


@refusal
class MalformedIfMatch(Refusal):
    """If-Match names versions as ETag gave them, such as "3" with the quotes, or is a star."""


@refusal
class MethodNotAllowed(Refusal):
    """This path does not take this method."""


LARGEST_BODY: Final = 1_048_576


@refusal
class BodyTooLarge(Refusal):
    """The body is too large."""

    limit_bytes: int


@refusal
class HeadTooLarge(Refusal):
    """The target and the headers are too large."""

    limit_bytes: int


@refusal
class RequestTimeout(Refusal):
    """The request took too long to arrive."""


@refusal
class UnsupportedMediaType(Refusal):
    """Send the body as application/json."""


@refusal
class InternalFault(Refusal):
    """Something broke on our side; the log has the details under this id."""

    trace_id: str


@refusal
class Overloaded(Refusal):
    """The till has more work than it can do in time; nothing was done, come again."""

    retry_after: int


@refusal
class Unavailable(Refusal):
    """The shop's database does not answer; come again, with the same Idempotency-Key if you sent one."""

    retry_after: int


@refusal
class PositionNotReached(Refusal):
    """The answer does not know of this position yet; come again."""

    min_position: int
    retry_after: int


@refusal
class PaymentOutcomeUnknown(Refusal):
    """The payment provider did not answer; repeat the request with the same Idempotency-Key to learn the outcome."""

    retry_after: int


@refusal
class PaymentDeclined(Refusal):
    """The payment was declined; the hold goes on, try another means of payment with a new Idempotency-Key."""

    reason: str


@refusal
class PaymentOrphaned(Refusal):
    """The payment came too late and goes back in full."""

    reason: str
    refunded: bool = True


def status_of(name: str) -> int:
    """Return the HTTP status of a problem."""
    return STATUSES.get(name, REFUSED)


def problem_of(refused: Refusal) -> dict[str, Any]:
    """Return the members of a problem; a fact called ``status`` is told apart from the problem's own."""
    facts = {"current_status" if name == "status" else name: fact for name, fact in refused.facts.items()}
    if not facts.get("id", "x"):
        del facts["id"]  # A path has none.
    return {
        "type": TYPE + refused.name,
        "title": refused.name.replace("_", " ").capitalize(),
        "status": status_of(refused.name),
        "detail": _detail(refused),
        **facts,
    }


def _detail(refused: Refusal) -> str:
    if isinstance(refused, Invalid):
        return f"{refused.field}: {refused.problem}" if refused.field else refused.problem
    said = (type(refused).__doc__ or refused.name).partition("\n\n")[0]
    problem = getattr(refused, "problem", "")
    return f"{said.removesuffix('.')}: {problem.removesuffix('.')}." if problem else said


def encoded(refused: Refusal, **more: Any) -> bytes:
    """Return the body of a problem's answer."""
    return msgspec.json.encode({**problem_of(refused), **more})


def headers_of(refused: Refusal) -> list[tuple[bytes, bytes]]:
    """Return the headers that go with a problem."""
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if status_of(refused.name) == STATUSES["unauthenticated"]:
        headers.append((b"www-authenticate", b'Bearer realm="livetill"'))
    if isinstance(refused, MethodNotAllowed):
        headers.append((b"allow", b""))  # where there is a path, that knows better
    retry_after = getattr(refused, "retry_after", None)
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    return headers


def refusal_of(error: Exception, trace_id: str) -> Refusal:
    """Say in the shop's words what broke; what nobody foresaw is an internal error under its trace id."""
    match error:
        case Refusal():
            return error
        case OverloadedError():
            return Overloaded(error.retry_after)
        case JournalRejectedError():
            return Invalid("", "the body holds something that cannot be stored")
        case HTTPException():
            return _of_framework(error, trace_id)
        case _:
            return _of_machine(error, trace_id)


def _of_machine(error: Exception, trace_id: str) -> Refusal:
    match error:
        case JournalDamagedError():
            return InternalFault(trace_id)
        case JournalError() | StoreError():
            return Unavailable(1)
        case ProviderError():
            return PaymentOutcomeUnknown(1)
        case _:
            return InternalFault(trace_id)


def _of_framework(error: HTTPException, trace_id: str) -> Refusal:
    match error.status_code:
        case 401 | 403 | 404:
            return NotFound("path", "")
        case 405:
            return MethodNotAllowed()
        case 413:
            return BodyTooLarge(LARGEST_BODY)
        case status if status >= STATUSES["internal_fault"]:
            return InternalFault(trace_id)
        case _:
            return BadRequest(error.detail)
