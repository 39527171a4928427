"""``livetill digest``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from api.commands.options import AS_OF, JSON, database, settings
from api.commands.output import print_json
from api.commands.running import on_journal, position_of

if TYPE_CHECKING:
    from api.compose import Opened
    from projections.digest import Digest


def _ends(_context: click.Context, parameter: click.Parameter, text: str | None) -> dict[str, int] | None:
    try:
        return None if text is None else {str(name): int(position) for name, position in json.loads(text).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise click.BadParameter("must be an object of positions by read model", param=parameter) from error


@click.command("digest")
@AS_OF
@click.option("--each", hidden=True, callback=_ends, help="Positions by read model, as JSON: how verify asks.")
@JSON
@database
def digest_command(
    as_of: str | None, each: dict[str, int] | None, as_json: bool, data_dir: Path, database_url: str | None
) -> None:
    """Print a line a read model: its name, its position and the SHA-256 of its rows.

    Without --as-of the live rows are digested, each read model at its own position; with it they are replayed from
    the journal alone. Equal lines mean equal rows, on whatever machine.

    \b
    Example:
      livetill digest --as-of 4711
    """

    async def work(parts: "Opened") -> "list[Digest]":
        from projections.digest import digest, digest_at
        from projections.verify import replay_to

        if each is not None:
            return await replay_to(parts.journal, parts.wire, each)
        if as_of is None:
            return await digest(parts.store)
        return await digest_at(parts.journal, parts.wire, await position_of(parts.journal, as_of))

    digests = on_journal(settings(data_dir, database_url), work)
    if as_json:
        print_json(digests)
        return
    for found in digests:
        click.echo(str(found))
