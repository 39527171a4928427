"""From a request to a ticket, and from a verdict to an answer.

A controller is a function ``async def (ask: Ask[, body][, query]) -> Answer[View]`` under one of the decorators below.
Its signature is the truth: the body and the query string are read as the types it names, and the API's description
(``api/openapi``) is made of the same types. The edge stamps the time, finds out who asks, refuses what is malformed,
and writes refusals as problems. It reads the bytes itself instead of having Litestar convert them, which is both
stricter (``"1"`` is no number) and, on the path of an order, several times faster.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Final, Generic, TypeVar, get_args, get_type_hints
from urllib.parse import parse_qsl

import msgspec
import structlog
from attrs import define, field, frozen
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Method, Receive, Scope, Send

from api import access, idempotency
from api.auth import Authenticator, Forbidden, Principal, Role, Unauthenticated
from api.bodies import NoBody, ReadQuery, utc
from api.problems import (
    BadRequest,
    BodyTooLarge,
    InternalFault,
    MalformedBody,
    MalformedIfMatch,
    PositionNotReached,
    UnsupportedMediaType,
    encoded,
    headers_of,
    refusal_of,
    status_of,
)
from api.services import Services
from application.desk import Versioned
from application.tickets import Command, Ticket, Verdict
from domain.ids import PSEUDONYM
from domain.refusal import Invalid, NotFound, Refusal
from projections.store import Tables

LARGEST_BODY: Final = 1_048_576
WAIT_SECONDS: Final = 5.0
JSON: Final = (b"content-type", b"application/json")
NO_STORE: Final = (b"cache-control", b"no-store")
_ID: Final = re.compile(r"(stream|listing|order)-[A-Za-z0-9_-]{1,57}")
REPLAYED: Final = (b"idempotent-replayed", b"true")

V = TypeVar("V")
S = TypeVar("S", bound=msgspec.Struct)
log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode


class Key(Enum):
    """Whether a request needs an Idempotency-Key."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@define
class Answer(Generic[V]):
    """A response with its body ready to be sent; an ASGI application, which Litestar sends as it is."""

    body: bytes
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = (JSON, NO_STORE)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        headers = [*self.headers, (b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def answer(view: V, *, status: int = 200, version: int | None = None, location: str = "") -> Answer[V]:
    """Return a view as JSON, with its version as ETag and, when it is new, where to find it."""
    headers = [JSON, NO_STORE]
    if version is not None:
        headers.append((b"etag", f'"{version}"'.encode()))
    if location:
        headers.append((b"location", location.encode()))
    return Answer(_encode(view), status, headers)


def problem_answer(refused: Refusal, **more: Any) -> Answer[Any]:
    """Return a refusal as a problem, with further members."""
    return Answer(encoded(refused, **more), status_of(refused.name), [*headers_of(refused), NO_STORE])


@frozen
class Seen:
    """Something that was looked at: its id, state and version."""

    id: str
    state: Any
    version: int


@define
class Ask:
    """A request, as a controller sees it."""

    services: Services
    method: str
    path: str
    headers: Mapping[bytes, bytes]
    parameters: Mapping[str, str]
    now: datetime
    """When it arrived: the instant it is judged by."""
    raw: bytes = b""
    who: Principal | None = None
    key: str | None = None
    edits: bool = False
    command_id: str = ""
    replayed: bool = False
    position: int | None = None

    @property
    def principal(self) -> Principal:
        """Who asks; only for endpoints that need a token."""
        if self.who is None:
            raise Unauthenticated("no token was sent")
        return self.who

    # writing

    async def ring(self, command: Command, *, edits: bool | None = None) -> Verdict:
        """Have the till ring a command up; raises its refusal."""
        verdict = await self.services.till.ring_up(self.ticket(command, edits=edits))
        return self.accept(verdict)

    def accept(self, verdict: Verdict) -> Verdict:
        """Note what the answer's headers need of a verdict; raise its refusal."""
        self.replayed = verdict.replayed
        if verdict.events:
            self.position = verdict.position
        if verdict.refusal is not None:
            raise verdict.refusal
        return verdict

    async def told(self, verdict: Verdict, history_id: str) -> Seen:
        """Return what a command was about as its verdict left it; looked up when the till has let go of it."""
        if verdict.state is not None:
            return Seen(history_id, verdict.state, verdict.version)
        return await self.seen(history_id, history_id.partition("-")[0])

    def ticket(self, command: Command, *, edits: bool | None = None) -> Ticket:
        """Return the ticket of this request."""
        keyed = self.key is not None
        return Ticket(
            command=command,
            actor=self.principal.actor,
            command_id=self.command_id,
            ingress_at=self.now,
            keyed=keyed,
            fingerprint=idempotency.fingerprint(self.method, self.path, self.raw) if keyed else "",
            if_match=self._if_match() if (self.edits if edits is None else edits) else None,
        )

    def _if_match(self) -> int | None:
        header = self.headers.get(b"if-match")
        if header is None or header == b"*":
            return None
        version = header.strip(b'"')
        if not (header == b'"' + version + b'"' and version.isdigit() and len(version) <= 15):  # noqa: PLR2004
            raise MalformedIfMatch
        return int(version)

    # looking

    async def seen(self, history_id: str, kind: str) -> Seen:
        """Return the newest state of something; ``NotFound`` when there is none, or its id cannot be one."""
        if not _is_id(kind, history_id):
            raise NotFound(kind, history_id)
        return _existing(kind, history_id, await self.services.till.look(history_id))

    async def stream(self, allowed: access.OfShow | None = None) -> Seen:
        """Return the show of the path, if this principal may do this to it."""
        show = await self.seen(self.parameters["stream_id"], "stream")
        self.require(allowed is None or allowed(self.principal, show.state))
        return show

    async def listing(self, allowed: access.OfShow | None = None) -> Seen:
        """Return the listing of the path, if this principal may do this to listings of its show."""
        found = await self.seen(self.parameters["listing_id"], "listing")
        if allowed is not None and self.principal.role is not Role.ADMIN:
            show = await self.seen(found.state.offer.stream_id, "stream")
            self.require(allowed(self.principal, show.state))
        return found

    async def order(self, allowed: access.OfOrder) -> Seen:
        """Return the order of the path, if this principal may do this to it."""
        found = await self.seen(self.parameters["order_id"], "order")
        show = await self.seen(found.state.stream_id, "stream")
        self.require(allowed(self.principal, found.state, show.state))
        return found

    def require(self, allowed: bool) -> None:
        """Refuse what this principal is not allowed to do."""
        if not allowed:
            raise Forbidden(self.principal.role.value)

    def named(self, parameter: str) -> str:
        """Return a name of the path that clients gave; ``NotFound`` when it cannot be one."""
        name = self.parameters[parameter]
        if not PSEUDONYM.fullmatch(name):
            raise NotFound(parameter.removesuffix("_id"), name)
        return name

    # reading at a position

    async def of(self, found: Seen, kind: str, query: ReadQuery) -> tuple[Seen, int]:
        """Return something as of the position that the query names, or as of now, with the position it is true at."""
        position = await self.as_of(query)
        if position is None:
            await self._require_position(query)
            return found, self.services.till.histories.position
        histories = self.services.till.histories
        then = await histories.at_position(self.services.journal, found.id, position)
        return _existing(kind, found.id, then), position

    async def tables(self, query: ReadQuery) -> Tables:
        """Return the read models as of the position that the query names, or those of now."""
        position = await self.as_of(query)
        if position is not None:
            return await self.services.tables_at(position)
        wanted = self._min_position(query)
        if wanted is not None and not await self.services.wait_for(wanted, WAIT_SECONDS):
            raise PositionNotReached(wanted, 1)
        return self.services.tables

    async def as_of(self, query: ReadQuery) -> int | None:
        """Return the position that a query's ``as_of`` means; None when it has none."""
        if query.as_of is None:
            return None
        self.require(self.principal.role in access.PAST_READERS)
        if query.as_of.isdigit():
            position, head = int(query.as_of[:19]), await self.services.journal.head()
            if position > head:
                raise Invalid("as_of", f"must be at most {head}, the last position of the journal")
            return position
        return await self.services.journal.position_at(self._instant(query.as_of))

    def _instant(self, text: str) -> datetime:
        """Read a time; a plus sign that was not escaped has become a space on the way."""
        try:
            instant = utc(datetime.fromisoformat(text.replace(" ", "+").upper()))
        except (ValueError, OverflowError):
            raise Invalid("as_of", "must be a position or a time in RFC 3339") from None
        if instant.tzinfo is None or instant > self.services.till.now() + timedelta(seconds=1):
            raise Invalid("as_of", "must not be in the future")
        return instant

    def _min_position(self, query: ReadQuery) -> int | None:
        header = self.headers.get(b"livetill-min-position")
        if header is None or query.min_position is not None:
            return query.min_position
        if not header.isdigit() or len(header) > 15:  # noqa: PLR2004 - more digits than any position has
            raise Invalid("Livetill-Min-Position", "must be a position")
        return int(header)

    async def _require_position(self, query: ReadQuery) -> None:
        """A look reads the journal itself: what it wants is there, or will be written some day."""
        wanted = self._min_position(query)
        if wanted is not None and await self.services.journal.head() < wanted:
            raise PositionNotReached(wanted, 1)


def _existing(kind: str, history_id: str, found: Versioned) -> Seen:
    if not found.version:
        raise NotFound(kind, history_id)
    return Seen(history_id, found.state, found.version)


def _is_id(kind: str, text: str) -> bool:
    found = _ID.fullmatch(text)
    return found is not None and found[1] == kind


Handle = Callable[..., Awaitable[Answer[Any]]]


@frozen(eq=False)
class Endpoint:
    """A controller with what the edge does before it and what the API's description says about it."""

    method: Method
    path: str
    handle: Handle
    roles: frozenset[Role] | None
    """Who may call it at all; None: everybody, without a token."""
    status: int
    key: Key
    edits: bool
    refusals: tuple[str, ...]
    body: type[msgspec.Struct] | None = field(init=False)
    query: type[msgspec.Struct] | None = field(init=False)
    view: Any = field(init=False)

    @body.default
    def _body(self) -> type[msgspec.Struct] | None:
        asked: type[msgspec.Struct] | None = self._hint("body")
        return asked or (NoBody if self.method == "POST" else None)

    @query.default
    def _query(self) -> type[msgspec.Struct] | None:
        asked: type[msgspec.Struct] | None = self._hint("query")
        return asked

    @view.default
    def _view(self) -> Any:
        return get_args(get_type_hints(self.handle)["return"])[0]

    def _hint(self, name: str) -> Any:
        return get_type_hints(self.handle).get(name)

    async def answer(self, edge: "Edge", scope: Scope, receive: Receive) -> Answer[Any]:
        """Answer a request, whatever happens."""
        headers = dict(scope["headers"])
        ask = Ask(
            edge.services, self.method, scope["path"], headers, scope["path_params"], edge.services.till.now()
        )  # fmt: skip
        try:
            given = await self._given(edge, ask, scope, receive)
            answered = await self.handle(ask, **given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and no details
            answered = _refused(error, ask, scope)
        if ask.replayed:
            answered.headers = [*answered.headers, REPLAYED]
        return answered

    async def _given(self, edge: "Edge", ask: Ask, scope: Scope, receive: Receive) -> dict[str, Any]:
        """Authenticate, then read the query string and the body."""
        ask.who = edge.authenticator.principal(ask.headers.get(b"authorization"))
        if self.roles is not None and ask.principal.role not in self.roles:
            raise Forbidden(ask.principal.role.value)
        ask.edits = self.edits
        given: dict[str, Any] = {}
        if self.query is not None:
            given["query"] = _query_of(self.query, scope["query_string"])
        if self.body is not None:
            ask.raw = await _received(ask.headers, receive)
            self._name_command(ask)
            read = _decoded(self.body, ask)
            if self.body is not NoBody:
                given["body"] = read
        return given

    def _name_command(self, ask: Ask) -> None:
        """Find out whether this may be asked again, and under which name."""
        if self.key is Key.NONE:
            return
        ask.key = idempotency.key_in(ask.headers.get(b"idempotency-key"))
        if ask.key is None and self.key is Key.REQUIRED:
            raise idempotency.IdempotencyKeyRequired
        ask.command_id = idempotency.command_id(ask.principal.actor, ask.key)

    def handler(self, edge: "Edge") -> HTTPRouteHandler:
        """Return the Litestar handler that serves it."""

        async def serve(request: Request[Any, Any, Any]) -> ASGIApp:
            return await self.answer(edge, request.scope, request.receive)

        serve.__name__ = serve.__qualname__ = getattr(self.handle, "__name__", "serve")
        return HTTPRouteHandler(self.path, http_method=self.method, status_code=self.status, opt={"endpoint": self})(
            serve
        )


@frozen
class Edge:
    """What every endpoint works with."""

    services: Services
    authenticator: Authenticator


def read(path: str, *, roles: frozenset[Role] | None, refusals: tuple[str, ...] = ()) -> Callable[[Handle], Endpoint]:
    """Serve GET with a controller that changes nothing."""
    return lambda handle: Endpoint("GET", path, handle, roles, 200, Key.NONE, False, refusals)  # noqa: FBT003


def write(
    path: str,
    *,
    roles: frozenset[Role] | None,
    status: int = 200,
    key: Key = Key.OPTIONAL,
    edits: bool = False,
    refusals: tuple[str, ...] = (),
) -> Callable[[Handle], Endpoint]:
    """Serve POST with a controller that asks something of the shop; ``edits`` when it honours If-Match."""
    return lambda handle: Endpoint("POST", path, handle, roles, status, key, edits, refusals)


def _refused(error: Exception, ask: Ask, scope: Scope) -> Answer[Any]:
    """Say what went wrong; what nobody foresaw goes to the log in full."""
    trace_id = str(scope.get("state", {}).get("request_id", ""))
    refused = refusal_of(error, trace_id)
    if isinstance(refused, InternalFault):
        log.error("internal_fault", method=ask.method, path=ask.path, request_id=trace_id, exc_info=error)
    more = {} if ask.position is None else {"position": ask.position}
    return problem_answer(refused, **more)


async def _received(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Read the body, but no more of it than we would decode."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:12]) > LARGEST_BODY:
        raise BodyTooLarge(LARGEST_BODY)
    message: Any = await receive()
    body = bytes(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("the body ended before its end")
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge(LARGEST_BODY)
    return body


@cache
def _decoder(kind: type[S]) -> msgspec.json.Decoder[S]:
    return msgspec.json.Decoder(kind)


@cache
def _may_be_empty(kind: type[msgspec.Struct]) -> bool:
    return not any(each.required for each in msgspec.structs.fields(kind))


def _decoded(kind: type[S], ask: Ask) -> S:
    media_type = ask.headers.get(b"content-type")
    if not ask.raw and _may_be_empty(kind):
        return kind()
    if media_type is not None and media_type.partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedMediaType
    return decoded(kind, ask.raw)


def decoded(kind: type[S], body: bytes) -> S:
    """Read a body; ``Invalid`` says which field is wrong, ``MalformedBody`` that it is no JSON."""
    try:
        read: S = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise MalformedBody(problem) from None
    return read


def _invalid(error: msgspec.ValidationError) -> Invalid:
    """Take a message such as ``Expected `int`, got `str` - at `$.lines[0].quantity``` apart."""
    problem, _, path = str(error).rpartition(" - at ")
    if not problem:
        problem, path = path, ""
    name = path.strip("`").removeprefix("key in ").removeprefix("$").removeprefix(".")
    return Invalid(name, problem[:1].lower() + problem[1:])


def _query_of(kind: type[S], query_string: bytes) -> S:
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise BadRequest("the query string cannot be read") from None
    if len(dict(pairs)) != len(pairs):
        raise Invalid("", "a query parameter is given twice")
    try:
        return msgspec.convert(dict(pairs), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
