"""From a request to an answer: what happens around every controller.

A controller is a function ``async def (ask: Ask[, body][, query]) -> Answer[View]`` under ``read`` or ``write``. Its
signature is the truth: the body and the query string are read as the types it names, and the API's description
(``api/openapi``) is made of the same types. The edge stamps the time, finds out who asks, refuses what is malformed,
and writes refusals as problems. It reads the bytes itself instead of having Litestar convert them, which is both
stricter and, on the path of an order, faster.
"""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final, get_args, get_type_hints

import msgspec
import structlog
from attrs import field
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Method, Receive, Scope

from api import idempotency
from api.answers import Answer, problem_answer
from api.ask import Ask
from api.auth import Authenticator, Forbidden, Role
from api.bodies import NoBody
from api.problems import InternalFault, refusal_of
from api.reading import body_of, query_of, received, single
from api.services import Services
from domain.refusal import Refusal
from domain.values import frozen

REPLAYED: Final = (b"idempotent-replayed", b"true")

log = structlog.get_logger(__name__)


class Key(Enum):
    """Whether a request needs an Idempotency-Key."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


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
    check: Callable[[Ask], None] | None = None
    """Judges the bytes before they are decoded."""
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
        ask = Ask(
            edge.services, self.method, scope["path"], dict(scope["headers"]), scope["path_params"],
            edge.services.till.now(), trace_id=str(scope.get("state", {}).get("request_id", "")),
        )  # fmt: skip
        try:
            given = await self._given(edge, ask, scope, receive)
            answered = await self.handle(ask, **given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and no details
            refused, more = told_of(error, ask)
            answered = problem_answer(refused, **more)
        if ask.replayed:
            answered.headers = [*answered.headers, REPLAYED]
        return answered

    async def _given(self, edge: "Edge", ask: Ask, scope: Scope, receive: Receive) -> dict[str, Any]:
        """Authenticate, then read the query string and the body."""
        if len(ask.headers) < len(scope["headers"]):  # type: ignore[arg-type]  # it is a list or what was made of one
            ask.headers = single(scope["headers"])
        ask.who = edge.authenticator.principal(ask.headers.get(b"authorization"))
        if self.roles is not None and ask.principal.role not in self.roles:
            raise Forbidden(ask.principal.role.value)
        ask.edits = self.edits
        given: dict[str, Any] = {}
        if self.query is not None:
            given["query"] = query_of(self.query, scope["query_string"])
        if self.body is not None:
            ask.raw = await received(ask.headers, receive)
            self._name_command(ask)
            if self.check is not None:
                self.check(ask)
            read = body_of(self.body, ask.headers.get(b"content-type"), ask.raw)
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
    check: Callable[[Ask], None] | None = None,
) -> Callable[[Handle], Endpoint]:
    """Serve POST with a controller that asks something of the shop; ``edits`` when it honours If-Match."""
    return lambda handle: Endpoint("POST", path, handle, roles, status, key, edits, refusals, check)


def told_of(error: Exception, ask: Ask) -> tuple[Refusal, dict[str, int]]:
    """Say what went wrong, and up to where it is recorded."""
    refused = noted_refusal(error, ask.method, ask.path, ask.trace_id)
    return refused, {} if ask.position is None else {"position": ask.position}


def noted_refusal(error: Exception, method: str, path: str, request_id: str) -> Refusal:
    """Say what an error means to the client; what nobody foresaw goes to the log in full."""
    refused = refusal_of(error, request_id)
    if isinstance(refused, InternalFault):
        log.error("internal_fault", method=method, path=path, request_id=request_id, exc_info=error)
    error.__traceback__ = None  # its frames know the refusal: that would be a cycle for every buyer who comes too late
    return refused
