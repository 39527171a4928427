"""The HTTP application: every endpoint, the problems they end in, and what is observed around them."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from litestar import HttpMethod, Litestar, Request, Response, get, route
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from api import batches, health, listings, live, openapi, orders, pages, payments, reads, streams
from api.answers import Answer
from api.auth import Authenticator
from api.edge import Edge, noted_refusal
from api.express import EXPRESS, Express
from api.heads import Heads, allowed
from api.live_hub import Viewer
from api.logs import Observed, RequestMetrics
from api.problems import LARGEST_BODY, encoded, headers_of, status_of
from api.services import Services

Hook = Callable[[], Awaitable[None]]

ENDPOINTS: Final = (
    *streams.ENDPOINTS, *listings.ENDPOINTS, *orders.ENDPOINTS, *batches.ENDPOINTS, *payments.ENDPOINTS,
    *reads.ENDPOINTS, *health.ENDPOINTS,
)  # fmt: skip


def create_app(services: Services, *, on_startup: Sequence[Hook] = (), on_shutdown: Sequence[Hook] = ()) -> Litestar:
    """Return the application over a shop; the hooks start and stop what runs beside the requests.

    Handlers beside the endpoints take the shop as a dependency called ``services``.
    """
    edge = Edge(services, Authenticator(services.settings.jwt_secret))
    metrics = RequestMetrics()
    app = Litestar(
        route_handlers=[
            *_options(),
            *(endpoint.handler(edge) for endpoint in ENDPOINTS),
            *live.HANDLERS,
            *pages.HANDLERS,
            health.metrics_handler(services, metrics.registry),
            _description(),
        ],
        exception_handlers={Exception: problem_response},
        on_startup=list(on_startup),
        on_shutdown=[live.close_hub, *on_shutdown],
        dependencies={"services": Provide(lambda: services, sync_to_thread=False)},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=LARGEST_BODY,
    )
    observed = Observed(app.asgi_handler, metrics)
    app.asgi_handler = Heads(observed)

    async def join(stream_id: str, last_position: int | None) -> Viewer:
        return await live.hub_of(app.state, services).join(stream_id, last_position)

    app.state[EXPRESS] = Express(edge, observed, ENDPOINTS, join)
    return app


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer what ended outside of an endpoint: no such path, a method it does not take, a fault."""
    request_id = str(request.scope.get("state", {}).get("request_id", ""))
    refused = noted_refusal(error, request.method, request.url.path, request_id)
    headers = {name.decode(): value.decode() for name, value in headers_of(refused)}
    if isinstance(error, HTTPException) and error.headers and "allow" in error.headers:
        headers["allow"] = allowed(error.headers["allow"])
    media_type = headers.pop("content-type")
    return Response(encoded(refused), status_code=status_of(refused.name), media_type=media_type, headers=headers)


def _options() -> Iterator[HTTPRouteHandler]:
    """Answer OPTIONS where a path takes several methods; Litestar's own answer knows only the first of them.

    They are registered first, or Litestar would add its own.
    """
    methods: defaultdict[str, set[str]] = defaultdict(set)
    for endpoint in ENDPOINTS:
        methods[endpoint.path].add(endpoint.method)
    for path, names in methods.items():
        if len(names) > 1:
            yield _allowing(path, allowed(", ".join({*names, "OPTIONS"})))


def _allowing(path: str, allow: str) -> HTTPRouteHandler:
    @route(path, http_method=HttpMethod.OPTIONS, status_code=204)
    async def options(request: Request[Any, Any, Any]) -> Response[None]:  # noqa: ARG001 - Litestar wants what it knows
        return Response(None, status_code=204, headers={"Allow": allow})

    return options


@cache
def description() -> bytes:
    """Return the API's description, OpenAPI 3.1; it is the same for every shop."""
    return openapi.document(ENDPOINTS, _version())


def _description() -> HTTPRouteHandler:
    body = description()

    @get("/schema/openapi.json")
    async def describe(request: Request[Any, Any, Any]) -> ASGIApp:  # noqa: ARG001 - Litestar wants what it knows
        return Answer[Any](body)

    return describe


def _version() -> str:
    try:
        return version("livetill")
    except PackageNotFoundError:
        return "0"
