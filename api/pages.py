"""The page of the running show, for everybody with a browser.

The page is a shell; its small script asks ``/shows`` which show is on and then lives on the feed. Everything comes from
this server and nothing is written into the page's HTML, so the content policy allows nothing else. Files are read once;
a browser keeps them and asks by ETag whether they changed.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Final

from litestar import MediaType, Response, get
from litestar.connection import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from api.fields import STREAM_NAME
from api.live_shapes import Shape, stream_shape
from api.services import Services
from domain.refusal import NotFound
from domain.stream.state import Status
from domain.values import frozen
from projections.queries import stream
from projections.store import Query, StoreError, Tables
from projections.streams import STREAMS, StreamRow

POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'"
)
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
MEDIA_TYPES: Final = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGE: Final = "show.html"
SHOWS: Final = 60
"""Shows of the day that a page offers."""
_FOR_NOW: Final = {"Cache-Control": "public, max-age=1"}
_Asked = Request[Any, Any, State]


@frozen
class File:
    """A file of the page, as it is served."""

    data: bytes
    media_type: str
    etag: str


def _read() -> Mapping[str, File]:
    """Read everything that the page is made of."""
    entries = (entry for entry in files("api").joinpath("static").iterdir() if entry.is_file())
    return {entry.name: _file(entry.name, entry.read_bytes()) for entry in entries}


def _file(name: str, data: bytes) -> File:
    return File(data, MEDIA_TYPES[PurePath(name).suffix], f'"{sha256(data).hexdigest()[:32]}"')


FILES: Final = _read()


def _serve(request: _Asked, name: str) -> Response[bytes]:
    file = FILES.get(name)
    if file is None:
        raise NotFound("file", name)
    headers = {**HEADERS, "ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known or "*" in known:
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    return Response(file.data, headers=headers, media_type=file.media_type)


@get("/", media_type=MediaType.HTML, include_in_schema=False)
async def page(request: _Asked) -> Response[bytes]:
    """Show the running show."""
    return _serve(request, PAGE)


@get("/shows/{stream_id:str}", media_type=MediaType.HTML, include_in_schema=False)
async def page_of_show(
    stream_id: FromPath[str], request: _Asked, services: NamedDependency[Services]
) -> Response[bytes]:
    """Show a show; where there is none the same page says so, and its status too."""
    if await _is_there(services.tables, stream_id):
        return _serve(request, PAGE)
    return Response(FILES[PAGE].data, status_code=404, headers=HEADERS, media_type=FILES[PAGE].media_type)


async def _is_there(tables: Tables, stream_id: str) -> bool:
    """Tell whether there is a show; while the database is away the page itself has to find out."""
    if re.match(STREAM_NAME, stream_id) is None:
        return False
    try:
        return await stream(tables, stream_id) is not None
    except StoreError:
        return True


@get("/static/{name:str}", include_in_schema=False)
async def static(name: FromPath[str], request: _Asked) -> Response[bytes]:
    """Serve a file of the page."""
    return _serve(request, name)


@get("/favicon.ico", include_in_schema=False)
async def favicon(request: _Asked) -> Response[bytes]:
    """Serve the sign in the browser's tab."""
    return _serve(request, "icon.svg")


@get("/shows", include_in_schema=False)
async def shows(services: NamedDependency[Services]) -> Response[Shape]:
    """List the shows that a page can offer: the running ones first, then what was last, then what is to come."""
    rows = await latest_shows(services.tables)
    return Response({"shows": [stream_shape(row) for row in rows]}, headers=dict(_FOR_NOW))


async def latest_shows(tables: Tables) -> Sequence[StreamRow]:
    """Return running shows, newest first; then what is over, the last first; then what comes, soonest first."""
    running = (await tables.find(Query(STREAMS, {"running": True}, order=("-started_at",), limit=SHOWS))).rows
    over = await _with_status(tables, Status.ENDED, "-ended_at")
    announced = await _with_status(tables, Status.SCHEDULED, "scheduled_at")
    return [*running, *over, *announced]


async def _with_status(tables: Tables, status: Status, order: str) -> Sequence[StreamRow]:
    found = await tables.find(Query(STREAMS, {"status": status.value}, order=(order,), limit=SHOWS))
    return found.rows


HANDLERS = [page, page_of_show, static, favicon, shows]
