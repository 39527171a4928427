"""``livetill rebuild``."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from api.commands.options import JSON, database, settings
from api.commands.output import counted, print_json, progress
from api.commands.running import on_journal
from projections.catalogue import NAMES, named

if TYPE_CHECKING:
    from api.compose import Opened
    from projections.rebuild import Rebuilt

PATIENCE_SECONDS = 5.0


@click.command("rebuild")
@click.argument("projection", metavar="[NAME]", type=click.Choice(NAMES), required=False)
@click.option("--all", "everything", is_flag=True, help="Rebuild every read model, one after another.")
@JSON
@database
def rebuild_command(
    projection: str | None, everything: bool, as_json: bool, data_dir: Path, database_url: str | None
) -> None:
    """Rebuild a read model from the journal.

    There are live_stock, leaderboards, payouts, commissions, orders, streams and deadlines.

    It is built beside the live one, which goes on answering; when it has caught up, both are compared and the new one
    takes over. If that is interrupted, the live one stays as it is. Where no server follows the journal, as after a
    restore, what it is behind the journal is taken in at the end.

    \b
    Examples:
      livetill rebuild live_stock
      livetill rebuild --all
    """
    if everything and projection is not None:
        raise click.UsageError(f"Name {projection} or say --all, not both.")
    if not everything and projection is None:
        raise click.UsageError("Name one read model, or say --all.")
    names = NAMES if projection is None else (projection,)

    async def work(parts: "Opened") -> "tuple[list[Rebuilt], dict[str, int]]":
        from api.compose import followed_up
        from projections.follow import Follower
        from projections.rebuild import rebuild

        head = await parts.journal.head()
        follower = Follower(parts.journal, parts.wire, parts.store)
        followed = await follower.wait_for(head, names, PATIENCE_SECONDS)
        rebuilt = []
        for each in named(*names):
            with progress(f"Rebuilding {each.name}", quiet=as_json) as advanced:
                rebuilt.append(await rebuild(parts.journal, parts.wire, parts.store, each, advanced=advanced))
            if not as_json:
                _print(rebuilt[-1], head)
        if not followed and await followed_up(parts, names) and not as_json:
            click.echo("No server follows the journal: what they were behind is taken in.")
        return rebuilt, await follower.positions()

    rebuilt, positions = on_journal(settings(data_dir, database_url), work)
    if as_json:
        print_json([{"same": each.same, "live": each.live, "rebuilt": each.rebuilt, "differing": each.differing,
                     "position": positions[each.live.name]} for each in rebuilt])  # fmt: skip


def _print(rebuilt: "Rebuilt", head: int) -> None:
    word = "as the live one was" if rebuilt.same else "NOT as the live one was"
    behind = head - rebuilt.rebuilt.position
    click.echo(f"{rebuilt.rebuilt} {word}" + (f", {counted(behind, 'record')} behind" if behind > 0 else ""))
    for where in rebuilt.differing:
        click.echo(f"  differs: {where}")
