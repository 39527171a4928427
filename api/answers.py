"""What goes back to the client: bytes with a status, encoded once."""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from attrs import define
from litestar.types import Receive, Scope, Send

from api.problems import encoded, headers_of, status_of
from domain.refusal import Refusal

JSON: Final = (b"content-type", b"application/json")
NO_STORE: Final = (b"cache-control", b"no-store")

V = TypeVar("V")
_encode = msgspec.json.Encoder().encode


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
