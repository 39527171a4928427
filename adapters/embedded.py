"""Servers that livetill brings along, so that a till opens with no service to install.

``EmbeddedPostgres`` keeps the truth and ``EmbeddedNats`` a cache of it. Both survive the process that started them and
both are picked up by the next ``ensure()``; what they share is in ``embedded_server``.
"""

import asyncio
import logging
from collections.abc import Callable

from adapters.embedded_nats import EmbeddedNats
from adapters.embedded_postgres import EmbeddedPostgres
from adapters.embedded_server import EmbeddedError, EmbeddedServer

__all__ = ["EmbeddedError", "EmbeddedNats", "EmbeddedPostgres", "EmbeddedServer", "supervise"]

log = logging.getLogger(__name__)


async def supervise(
    server: EmbeddedServer, interval: float = 0.5, on_restart: Callable[[], None] | None = None
) -> None:
    """Start a server again whenever it has died, until cancelled; cancel before ``server.release()``.

    Looks every ``interval`` seconds, in threads: neither a look nor a long recovery holds the event loop up. A server
    that cannot start (a full disk, say) is tried again with growing patience, up to ten seconds. One whose directory is
    gone is not started again: it would begin anew, with nothing of what was there.
    """
    patience, lost = interval, False
    while True:
        await asyncio.sleep(patience)
        before, lost = lost, await asyncio.to_thread(server.lost)
        if lost and not before:
            log.error("%s", server.loss)
        if lost or await asyncio.to_thread(server.running):
            continue
        log.warning("%s is not running; starting it", server.title)
        try:
            await asyncio.to_thread(server.ensure)
        except EmbeddedError as error:
            log.error("%s", error)  # noqa: TRY400 - an EmbeddedError is one line that says it all
            patience = min(patience * 2, 10.0)
            continue
        patience = interval
        if on_restart is not None:
            on_restart()
