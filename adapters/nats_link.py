"""A connection to NATS for work that must outlive it: lost, refused or wiped, the work starts afresh on a new one.

The client's own reconnection is off. It hides the moment of the loss, buffers what is published meanwhile and replays
it into a server that may by then know nothing; work that begins again by asking the server where it stands is simpler
and loses nothing.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

import nats
from nats.aio.client import Client

log = logging.getLogger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


async def keep_at(nats_url: str, work: Callable[[Client], Awaitable[None]], name: str) -> NoReturn:
    """Do ``work`` on a connection, for ever: when either ends, whatever the reason, begin again after a pause.

    Nothing is raised: the shop sells on without NATS. Pauses grow from 50 ms to a second.
    """
    pause, trouble = SHORTEST_PAUSE, ""
    while True:
        began = time.monotonic()
        try:
            await _once(nats_url, work, name)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach the shop, and it may pass
            trouble = _tell(name, error, trouble)
        lasted = time.monotonic() - began > LONGEST_PAUSE
        pause = SHORTEST_PAUSE if lasted else min(pause * 2, LONGEST_PAUSE)
        await asyncio.sleep(pause)


def _tell(name: str, error: Exception, before: str) -> str:
    """Log a trouble once, however often it repeats; return it."""
    said = f"{type(error).__name__}: {error}"
    log.log(logging.DEBUG if said == before else logging.WARNING, "%s begins again: %s", name, said)
    return said


async def _once(nats_url: str, work: Callable[[Client], Awaitable[None]], name: str) -> None:
    closed = asyncio.Event()
    client = await _connect(nats_url, name, closed)
    tasks = asyncio.ensure_future(work(client)), asyncio.ensure_future(closed.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ConnectionError("the connection to NATS was lost")
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()


async def _connect(nats_url: str, name: str, closed: asyncio.Event) -> Client:
    async def note_closed() -> None:
        closed.set()

    async def note_error(error: Exception) -> None:
        log.debug("%s: %s", name, error)

    client = await nats.connect(
        nats_url,
        name=name,
        allow_reconnect=False,
        no_echo=True,
        connect_timeout=2,
        ping_interval=10,
        closed_cb=note_closed,
        error_cb=note_error,
    )
    log.info("%s is connected to NATS", name)
    return client
