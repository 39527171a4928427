"""``livetill digest``."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from api.commands.options import AS_OF, JSON, database, settings
from api.commands.output import print_json
from api.commands.running import on_journal, position_of

if TYPE_CHECKING:
    from api.compose import Opened
    from projections.digest import Digest
    from projections.verify import Compared


@click.command("digest")
@AS_OF
@click.option("--compare", is_flag=True, hidden=True, help="Each beside its replay: how verify asks.")
@JSON
@database
def digest_command(as_of: str | None, compare: bool, as_json: bool, data_dir: Path, database_url: str | None) -> None:
    """Print a line a read model: its name, its position and the SHA-256 of its rows.

    Without --as-of the live rows are digested, each read model at its own position; with it they are replayed from
    the journal alone. Equal lines mean equal rows, on whatever machine.

    \b
    Example:
      livetill digest --as-of 4711
    """
    # A long replay makes more rows than garbage: the usual thresholds would have them looked through again and again.
    gc.set_threshold(200_000, 50, 1_000)

    async def work(parts: "Opened") -> "Sequence[Compared | Digest]":
        from projections.digest import digest, digest_at
        from projections.verify import compared_with_replay

        if compare:
            with parts.scratch() as scratch:
                return await compared_with_replay(parts.journal.facts, parts.wire, parts.store, scratch)
        if as_of is None:
            return await digest(parts.store)
        return await digest_at(parts.journal, parts.wire, await position_of(parts.journal, as_of))

    digests = on_journal(settings(data_dir, database_url), work)
    if as_json:
        print_json(digests)
        return
    for found in digests:
        click.echo(str(found))
