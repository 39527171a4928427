"""Structured logs and request metrics, cheap enough for the path of an order.

Every answer carries ``X-Request-Id``: the client's, if it sent a sound one, or ours; under it the log has what went
wrong. Errors of ours are always logged, other requests one in a thousand. Metrics count by the route's template and the
status, never by anything a client could make up.
"""

import asyncio
import logging
import re
import secrets
import sys
import time
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import structlog
from attrs import define, field
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

SAMPLED: Final = 1_000
SERVER_FAULT: Final = 500
_PROCESS: Final = secrets.token_hex(6).encode()
"""Of this process: with a number it names a request, at a tenth of what chance costs for each."""
_numbers = count(1)
_SOUND: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

log = structlog.get_logger(__name__)


def configure_logs(*, json: bool | None = None) -> None:
    """Write all logs, ours and those of libraries, to standard error: for people on a terminal, as JSON elsewhere.

    A traceback never shows the values of variables: tokens and what buyers ordered are among them. A log that cannot be
    written (its disk is full, its reader has gone) is dropped; it must not take a request with it.
    """
    for_people = sys.stderr.isatty() if json is None else not json
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    tracebacks = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = [plain] if for_people else [tracebacks, structlog.processors.JSONRenderer()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.raiseExceptions = False
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("api").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_is_fault)
    # While the database is away every pool says so at every try; that it is away is said once, by whoever leads.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _is_fault(record: logging.LogRecord) -> bool:
    """A request that a stop cuts off is no fault; it is logged as any other is."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


@define
class RequestMetrics:
    """How many requests there were and how long they took, by method, route and status."""

    registry: CollectorRegistry = field(factory=lambda: CollectorRegistry(auto_describe=True))
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    _counters: dict[tuple[str, str, int], Any] = field(factory=dict)
    _timers: dict[tuple[str, str], Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Register both with the registry."""
        self.requests = Counter(
            "livetill_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "livetill_http_request_seconds", "Time to answer", ["method", "route"], buckets=BUCKETS,
            registry=self.registry,
        )  # fmt: skip

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; the labelled children are kept, because looking them up costs more than counting."""
        key, timed = (method, route, status), (method, route)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self.requests.labels(method, route, str(status))
        timer = self._timers.get(timed)
        if timer is None:
            timer = self._timers[timed] = self.seconds.labels(method, route)
        counter.inc()
        timer.observe(seconds)


@define(eq=False)
class Observed:
    """Wraps the whole application: also what no route takes is counted and has its request id."""

    app: ASGIApp
    metrics: RequestMetrics
    seen: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and note what became of it."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(dict(scope["headers"]))
        scope["state"]["request_id"] = request_id.decode()
        status = SERVER_FAULT

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            self.note(scope, status, time.perf_counter() - started)

    def note(self, scope: Any, status: int, seconds: float) -> None:
        """Count a request that has been answered; log it if it is ours to worry about, or one in a thousand."""
        route = scope.get("path_template") or "unknown"
        method = scope["method"] if route != "unknown" else "ANY"
        self.metrics.count(method, route, status, seconds)
        self.seen += 1
        if status >= SERVER_FAULT or self.seen % SAMPLED == 0:
            log.info(
                "request", method=scope["method"], path=scope["path"], status=status,
                milliseconds=round(seconds * 1000, 1), request_id=scope["state"]["request_id"],
            )  # fmt: skip


def request_id_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the client's name for a request if it sent a sound one, or else ours."""
    offered = headers.get(b"x-request-id")
    if offered is not None and _SOUND.fullmatch(offered):
        return offered
    return b"%s-%06x" % (_PROCESS, next(_numbers))
