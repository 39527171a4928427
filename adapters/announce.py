"""Wake-ups: the journal has grown, come and read.

An announcement is a hint and never the truth. It may come late, twice or not at all, so whoever waits also looks by
itself when the time is up.
"""

import asyncio
import contextlib
import time
from typing import NoReturn

from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters.nats_link import NatsLink, keep_at
from application.ports import Announcer

HEAD = "livetill.head"
PER_SECOND = 50


class LocalAnnouncer:
    """Wakes those who wait in this process. To be used on one event loop."""

    def __init__(self) -> None:
        self._head = 0
        self._grown = asyncio.Event()

    @property
    def head(self) -> int:
        """The latest position that was announced here, by this process or by another."""
        return self._head

    def appended(self, position: int) -> None:
        """Say that the journal has grown to ``position``."""
        if position > self._head:
            self._head = position
            self._grown.set()
            self._grown = asyncio.Event()

    async def wait(self, after: int, timeout: float) -> None:  # noqa: ASYNC109 - the port's parameter
        """Return when the journal has grown beyond ``after``, or after ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._head <= after:
                    await self._grown.wait()


class Paced:
    """Wakes at most once in so many seconds, so that who follows takes more records at a time.

    A round of a follower costs the same few statements and one commit however many records it takes in. While a show
    sells there would be a round for every batch of the till, and its commits would wait for each other's.
    """

    def __init__(self, announcer: Announcer, seconds: float) -> None:
        self._announcer = announcer
        self._seconds = seconds
        self._woken_at = 0.0

    def appended(self, position: int) -> None:
        """Say that the journal has grown to ``position``."""
        self._announcer.appended(position)

    async def wait(self, after: int, timeout: float) -> None:  # noqa: ASYNC109 - the port's parameter
        """Return when the journal has grown beyond ``after``, or after ``timeout`` seconds."""
        await self._announcer.wait(after, timeout)
        await asyncio.sleep(self._woken_at + self._seconds - time.monotonic())
        self._woken_at = time.monotonic()


class NatsAnnouncer:
    """Wakes those who wait in this process and in the others on the same journal.

    While NATS is away each process hears of its own appends at once and of the others' by its own polling.
    ``subject`` keeps the wake-ups of different journals on one NATS apart.
    """

    def __init__(self, local: LocalAnnouncer, nats_url: str, *, subject: str = HEAD) -> None:
        self._local = local
        self.link = NatsLink(nats_url)
        self._subject = subject
        self._own_head = 0
        self._news = asyncio.Event()

    def appended(self, position: int) -> None:
        """Say that the journal has grown to ``position``: here at once, elsewhere within a fiftieth of a second."""
        self._local.appended(position)
        if position > self._own_head:
            self._own_head = position
            self._news.set()

    async def wait(self, after: int, timeout: float) -> None:  # noqa: ASYNC109 - the port's parameter
        """Return when the journal has grown beyond ``after``, or after ``timeout`` seconds."""
        await self._local.wait(after, timeout)

    async def run(self) -> NoReturn:
        """Talk and listen to the other processes until cancelled."""
        await keep_at(self.link, self._exchange, "livetill announcer")

    async def _exchange(self, client: Client) -> None:
        await client.subscribe(self._subject, cb=self._heard)
        while True:
            await self._news.wait()
            self._news.clear()
            await client.publish(self._subject, str(self._own_head).encode())
            await asyncio.sleep(1 / PER_SECOND)

    async def _heard(self, message: Msg) -> None:
        if message.data.isdigit():
            self._local.appended(int(message.data))
