"""Runs what is asynchronous, on the journal that is there."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import rich_click as click

from api.commands.troubles import CommandError

if TYPE_CHECKING:
    from api.compose import Opened
    from api.services import Settings
    from application.ports import Journal

T = TypeVar("T")
AHEAD = timedelta(seconds=1)
EXAMPLE = "2026-03-07T20:15:00Z"


def on_journal(settings: "Settings", work: "Callable[[Opened], Awaitable[T]]") -> T:
    """Do some work on a journal that is there; an error that speaks for itself when it is not."""
    from api.compose import opened

    async def run() -> T:
        async with opened(settings) as parts:
            return await work(parts)

    return asyncio.run(run())


async def position_of(journal: "Journal", as_of: str | None) -> int:
    """Return the position that ``--as-of`` means; the head when it says nothing."""
    head = await journal.head()
    if as_of is None:
        return head
    if not (as_of.isascii() and as_of.isdecimal()):
        return await _position_at(journal, as_of, head)
    if int(as_of) > head:
        raise CommandError(f"the journal ends at position {head}: choose a position up to there")
    return int(as_of)


async def _position_at(journal: "Journal", as_of: str, head: int) -> int:
    """Return the last position at an instant; what is still to come may yet change, so nothing can be said of it.

    The last record may be a little ahead of this machine's clock: it was stamped by another's.
    """
    instant = datetime.fromisoformat(as_of)
    if instant > datetime.now(UTC) + AHEAD:
        last = await journal.read(head - 1, 1) if head else []
        if not last or instant > last[0].recorded_at:
            raise CommandError(f"{as_of} is still to come: choose a time up to now")
    return await journal.position_at(instant)


def require_as_of(_context: click.Context, parameter: click.Parameter, as_of: str | None) -> str | None:
    """Refuse what is neither a position nor a time, before anything is started; the API takes the same."""
    if as_of is not None and not (as_of.isascii() and as_of.isdecimal()):
        try:
            instant = datetime.fromisoformat(as_of)
        except ValueError as error:
            problem = f"'{as_of}' is neither a position nor a time such as {EXAMPLE}"
            raise click.BadParameter(problem, param=parameter) from error
        if instant.tzinfo is None:
            raise click.BadParameter(f"'{as_of}' does not say its offset from UTC: {EXAMPLE} does", param=parameter)
    return as_of
