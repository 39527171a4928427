"""A connection to NATS for work that must outlive it: lost, refused or wiped, the work starts afresh on a new one.

The client's own reconnection is off. It hides the moment of the loss, buffers what is published meanwhile and replays
it into a server that may by then know nothing; work that begins again by asking the server where it stands is simpler
and loses nothing.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client

from adapters.link import Link
from projections.tasks import ended

log = logging.getLogger(__name__)

SCHEMES = ("nats", "tls", "ws", "wss")
"""Those that the client knows. It takes one address; a bare ``host:port`` will do."""
NO_ADDRESS = "The NATS address is no URL of one server: give one such as nats://host:4222 (or tls://, ws://, wss://)"
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


class NatsAddressError(Exception):
    """What was given is no address of a NATS; it is not repeated, for there may be a password in it."""


def require_address(nats_url: str) -> None:
    """Raise ``NatsAddressError`` for what the client would take for the name of a host, or never come to try."""
    try:
        place = urlsplit(nats_url if "://" in nats_url else f"nats://{nats_url}")
        port = place.port
    except ValueError:
        raise NatsAddressError(NO_ADDRESS) from None
    named = "://" in nats_url or port is not None
    if not named or place.scheme not in SCHEMES or not place.hostname or "," in place.hostname:
        raise NatsAddressError(NO_ADDRESS)


class NatsLink(Link):
    """Whether NATS is there."""

    def __init__(self, nats_url: str, *, level: int = logging.WARNING) -> None:
        self.nats_url = nats_url
        place = re.sub("[^/,]*@", "", nats_url)  # A log is no place for a password.
        super().__init__(
            f"The shop sells without NATS, {place} is away", f"NATS at {place} is there again", level=level
        )


async def keep_at(link: NatsLink, work: Callable[[Client], Awaitable[None]], name: str) -> NoReturn:
    """Do ``work`` on a connection, for ever: when either ends, whatever the reason, begin again after a pause.

    Nothing is raised: the shop sells on without NATS. Pauses grow from 50 ms to a second.
    """
    pause, trouble = SHORTEST_PAUSE, ""
    while True:
        began = time.monotonic()
        try:
            await _once(link, work, name)
        except ConnectionError as error:
            link.lost(str(error))
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


async def _work(work: Callable[[Client], Awaitable[None]], client: Client) -> None:
    await work(client)


async def _once(link: NatsLink, work: Callable[[Client], Awaitable[None]], name: str) -> None:
    closed = asyncio.Event()
    client = await _connect(link.nats_url, name, closed)
    link.made()
    tasks = asyncio.create_task(_work(work, client)), asyncio.create_task(closed.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if closed.is_set() or not client.is_connected:
            raise ConnectionError("the connection was lost")
        await tasks[0]
    finally:
        try:
            await ended(*tasks)
        finally:
            await client.close()


async def _connect(nats_url: str, name: str, closed: asyncio.Event) -> Client:
    """Connect, or raise ``ConnectionError`` with the reason. The client keeps trying by itself, two minutes long."""
    reason = ""

    async def note_closed() -> None:
        closed.set()

    async def note_error(error: Exception) -> None:
        nonlocal reason
        reason = str(error) or type(error).__name__
        log.debug("%s: %s", name, reason)

    try:
        return await nats.connect(
            nats_url,
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            no_echo=True,
            connect_timeout=2,
            ping_interval=10,
            closed_cb=note_closed,
            error_cb=note_error,
        )
    except Exception as error:
        raise ConnectionError(reason or str(error) or type(error).__name__) from error
