"""``livetill parked``: what nobody could deal with, for somebody to look at."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from api.commands.options import JSON, database, settings
from api.commands.output import instant, print_json
from api.commands.running import on_journal
from api.commands.troubles import CommandError
from projections.catalogue import NAMES

if TYPE_CHECKING:
    from api.compose import Opened
    from projections.store import Parked


@click.command("parked")
@click.option(
    "--settle",
    type=(str, str),
    metavar="NAME KEY",
    help="Forget one, when what there was to do about it is done. A read model's is settled by a rebuild.",
)
@JSON
@database
def parked_command(settle: tuple[str, str] | None, as_json: bool, data_dir: Path, database_url: str | None) -> None:
    """Show what was parked: callbacks that fit no order, and records that a reaction or read model does without.

    Each has a name, who parked it, and a key, and is told with its reason and with what to do.

    \b
    Examples:
      livetill parked
      livetill parked --settle webhooks pay_0198c5d2/payment.succeeded
      livetill parked --settle reactions 4711
    """

    async def work(parts: "Opened") -> "Sequence[Parked]":
        parked = await parts.store.parked()
        if settle is None:
            return parked
        found = _found(parked, *settle)
        await parts.store.settle(found)
        return [found]

    shown = on_journal(settings(data_dir, database_url), work)
    if as_json:
        print_json([_document(each) for each in shown])
    elif settle is not None:
        click.echo(f"Settled: {described(shown[0])}")
    else:
        _print(shown)


def _found(parked: "Sequence[Parked]", name: str, key: str) -> "Parked":
    """Return the one that is meant; refuse what would hide that a read model is not whole."""
    if name in NAMES:
        raise CommandError(f"{name} is a read model, and not whole without what it parked: livetill rebuild {name}")
    found = next((each for each in parked if (each.projection, each.key) == (name, key)), None)
    if found is None:
        raise CommandError(f"nothing is parked as {name} {key}: livetill parked shows what is")
    return found


def described(parked: "Parked") -> str:
    """Say what was parked, and why."""
    name, record = parked.projection, f"position {parked.position} ({parked.topic})"
    if not parked.position:
        return f"the callback {parked.key} could not be booked: {parked.error}"
    if name in NAMES:
        return f"{name} could not take in {record}: {parked.error}"
    return f"{name} could not do what follows from {record}: {parked.error}"


def remedy(parked: "Parked") -> str:
    """Say what to do about it."""
    name, settling = parked.projection, f"livetill parked --settle {parked.projection} {shlex.quote(parked.key)}"
    if not parked.position:
        return f"look at the payment where the provider shows it, put it right there, then {settling}"
    if name in NAMES:
        return f"upgrade livetill, then livetill rebuild {name}"
    return f"do by hand what should have followed, then {settling}"


def _document(parked: "Parked") -> dict[str, Any]:
    return {
        "name": parked.projection,
        "key": parked.key,
        "position": parked.position or None,
        "topic": parked.topic if parked.position else None,
        "error": parked.error,
        "parked_at": parked.at,
        "to_do": remedy(parked),
    }


def _print(parked: "Sequence[Parked]") -> None:
    if not parked:
        click.echo("Nothing is parked.")
    for each in parked:
        click.echo(f"{instant(each.at)} {described(each)}" if each.at else described(each))
        click.echo(f"  {remedy(each)}")
