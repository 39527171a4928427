"""The live feed: ``GET /v1/streams/{id}/live``, Server-Sent Events for everybody.

A ``snapshot`` comes first. Then a frame at a time: ``stock``, ``boards`` and ``stream`` as they are now; ``pin``,
``window``, ``stream``, ``sold_out`` and ``back_in_stock`` one by one as they happened; ``order``, what was sold since
the frame before; ``tick``, the time, when there is nothing else. ``id`` is the position up to which all has been told,
so a client that reconnects with ``Last-Event-ID`` goes on from there.
"""

import re
from typing import Any

from litestar import Litestar, get
from litestar.connection import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Scope, Send

from api.live_hub import Hub, Viewer
from api.services import Services

HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
_HUB = "live_hub"
_POSITION = re.compile("[0-9]{1,18}")


class LiveResponse(ASGIStreamingResponse):
    """Streams to a viewer, and sees the viewer out however the connection ends."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(iterator=viewer, headers=dict(HEADERS), media_type="text/event-stream")
        self._viewer = viewer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the viewer goes away or the server stops."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._viewer.hub.leave(self._viewer)


def hub_of(state: State, services: Services) -> Hub:
    """Return the process's hub; it is made when somebody first watches."""
    if _HUB not in state:
        state[_HUB] = Hub(services)
    hub: Hub = state[_HUB]
    return hub


async def close_hub(app: Litestar) -> None:
    """Send all viewers away: an ``on_shutdown`` hook."""
    if _HUB in app.state:
        await app.state[_HUB].close()


@get("/v1/streams/{stream_id:str}/live", summary="Watch a show live", tags=["Live"])
async def watch(
    stream_id: FromPath[str], request: Request[Any, Any, State], state: State, services: NamedDependency[Services]
) -> LiveResponse:
    """Server-Sent Events of a show: a ``snapshot``, then what is new; ``Last-Event-ID`` resumes."""
    seen = request.headers.get("last-event-id", "")
    return LiveResponse(await hub_of(state, services).join(stream_id, last_position_in(seen)))


def last_position_in(last_event_id: str) -> int | None:
    """Return the position that a client says it has seen; None when it says none, or nonsense."""
    return int(last_event_id) if _POSITION.fullmatch(last_event_id) else None


HANDLERS = [watch]
