"""``livetill rebuild``."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from api.commands.options import JSON, database, settings
from api.commands.output import print_json, progress
from api.commands.running import on_journal
from projections.catalogue import NAMES, named

if TYPE_CHECKING:
    from api.compose import Opened
    from projections.rebuild import Rebuilt


@click.command("rebuild")
@click.argument("projection", type=click.Choice(NAMES), required=False)
@click.option("--all", "everything", is_flag=True, help="Rebuild every read model, one after another.")
@JSON
@database
def rebuild_command(
    projection: str | None, everything: bool, as_json: bool, data_dir: Path, database_url: str | None
) -> None:
    """Rebuild a read model from the journal.

    It is built beside the live one, which goes on answering; when it has caught up, both are compared and the new one
    takes over. If that is interrupted, the live one stays as it is.

    \b
    Examples:
      livetill rebuild live_stock
      livetill rebuild --all
    """
    if everything == (projection is not None):
        raise click.UsageError("Name one read model, or say --all.")
    names = NAMES if projection is None else (projection,)

    async def work(parts: "Opened") -> "list[Rebuilt]":
        from projections.follow import Follower
        from projections.rebuild import rebuild

        rebuilt = []
        for each in named(*names):
            await Follower(parts.journal, parts.wire, parts.store).wait_for(await parts.journal.head(), [each.name], 5)
            with progress(f"Rebuilding {each.name}", quiet=as_json) as advanced:
                rebuilt.append(await rebuild(parts.journal, parts.wire, parts.store, each, advanced=advanced))
            if not as_json:
                _print(rebuilt[-1])
        return rebuilt

    rebuilt = on_journal(settings(data_dir, database_url), work)
    if as_json:
        print_json([{"same": each.same, "live": each.live, "rebuilt": each.rebuilt, "differing": each.differing}
                    for each in rebuilt])  # fmt: skip


def _print(rebuilt: "Rebuilt") -> None:
    word = "as the live one was" if rebuilt.same else "NOT as the live one was"
    click.echo(f"{rebuilt.rebuilt} {word}")
    for where in rebuilt.differing:
        click.echo(f"  differs: {where}")
