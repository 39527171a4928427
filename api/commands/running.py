"""Runs what is asynchronous, on the journal that is there."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import rich_click as click

from api.commands.troubles import CommandError

if TYPE_CHECKING:
    from api.compose import Opened
    from api.services import Settings
    from application.ports import Journal

T = TypeVar("T")


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
    if not as_of.isdecimal():
        return await journal.position_at(_instant(as_of))
    if int(as_of) > head:
        raise CommandError(f"the journal ends at position {head}: choose a position up to there")
    return int(as_of)


def require_as_of(_context: click.Context, parameter: click.Parameter, as_of: str | None) -> str | None:
    """Refuse what is neither a position nor a time, before anything is started."""
    if as_of is not None and not as_of.isdecimal():
        try:
            _instant(as_of)
        except ValueError as error:
            problem = f"'{as_of}' is neither a position nor a time such as 2026-03-07T20:15:00Z"
            raise click.BadParameter(problem, param=parameter) from error
    return as_of


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
