"""Lets things happen side by side that have nothing in common.

What has something in common takes turns, in the order in which it queued. So a listing meets its orders in file order,
and sells its last unit to the same buyer as if all orders came one by one.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Self

from attrs import Factory, define

from domain.values import frozen


@frozen
class Turn:
    """A place in the queues; the block runs when everybody before has left them."""

    _before: Sequence[asyncio.Event]
    _done: asyncio.Event

    async def __aenter__(self) -> Self:
        """Wait for those before."""
        for each in self._before:
            await each.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let those behind go on."""
        self._done.set()


@define
class Turns:
    """A queue for each thing that is shared."""

    _last: dict[Hashable, asyncio.Event] = Factory(dict)

    def queue(self, shared: Iterable[Hashable]) -> Turn:
        """Queue for several things at once; nobody waits in a circle, for all queues see the same order."""
        things = list(dict.fromkeys(shared))
        done = asyncio.Event()
        before = list(dict.fromkeys(self._last[each] for each in things if each in self._last))
        self._last.update(dict.fromkeys(things, done))
        return Turn(before, done)


@asynccontextmanager
async def side_by_side() -> AsyncIterator[asyncio.TaskGroup]:
    """Do several things at once; the first failure ends the rest, and is the one that people are told."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
