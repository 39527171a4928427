"""The command ``livetill bench``. What it needs is imported when it runs, so that the command line starts fast."""

import functools
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from api.commands.numbers import Number, WholeNumber
from api.commands.options import JSON
from api.commands.output import say

if TYPE_CHECKING:
    from api.bench.report import Measured

SECONDS = click.option(
    "--seconds",
    type=Number(1, 3600),
    default=10.0,
    show_default=True,
    help="How long each figure is measured.",
)
LISTINGS = click.option(
    "--listings", type=WholeNumber(1, 1000), default=1, show_default=True, help="Over how many listings orders go."
)


@click.group("bench")
def bench() -> None:
    """Measure how fast livetill is, beside what one would use instead, on the same PostgreSQL in the same run.

    Starts servers of its own in a scratch directory (TMPDIR says where), checks that what it measured is right, and
    prints figures and ratios. Ratios can be compared between machines; figures cannot. Exit code 1 when a check fails.

    \b
    Examples:
      livetill bench hot-listing
      livetill bench till --seconds 30 --json | jq .ratio_bulk
      TMPDIR=/mnt/fast livetill bench replay
    """


@bench.command("hot-listing")
@click.option("--viewers", type=WholeNumber(0, 20_000), default=0, help="How many watch the show meanwhile.")
@SECONDS
@LISTINGS
@JSON
def hot_listing_command(viewers: int, seconds: float, listings: int, as_json: bool) -> None:
    """Order one listing over HTTP, with everything on; beside plain SQL on a hot row."""
    from api.bench.hot_listing import hot_listing

    _finish([_run(lambda: hot_listing(seconds, listings=listings, viewers=viewers))], as_json)


@bench.command("till")
@SECONDS
@LISTINGS
@JSON
def till_command(seconds: float, listings: int, as_json: bool) -> None:
    """Ring up orders in one process; beside bulk inserts, the eventsourcing library and UmaDB."""
    from api.bench.till import till

    _finish([_run(lambda: till(seconds, listings))], as_json)


@bench.command("follow")
@SECONDS
@JSON
def follow_command(seconds: float, as_json: bool) -> None:
    """Feed all read models from a journal."""
    from api.bench.follow import follow

    _finish([_run(lambda: follow(seconds))], as_json)


@bench.command("replay")
@click.option("--records", type=WholeNumber(0), default=0, help="How long the journal is; unless told, by the seconds.")
@SECONDS
@JSON
def replay_command(records: int, seconds: float, as_json: bool) -> None:
    """Verify a whole journal and replay its read models; beside UmaDB's bare reading."""
    from api.bench.replay import replay

    _finish([_run(lambda: replay(seconds, records))], as_json)


@bench.command("growth")
@click.option(
    "--orders",
    "sizes",
    type=WholeNumber(1),
    multiple=True,
    help="A size of the history; may be given several times.",
)
@SECONDS
@JSON
def growth_command(sizes: tuple[int, ...], seconds: float, as_json: bool) -> None:
    """Ring up orders with 10,000, 100,000 and a million before them, and start cold on each."""
    from api.bench.growth import SIZES, growth

    _finish([_run(lambda: growth(seconds, sizes or SIZES))], as_json)


@bench.command("all")
@click.option(
    "--against", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Fail below 0.7 of its ratios."
)
@click.option(
    "--record", "into", type=click.Path(path_type=Path, dir_okay=False), help="Write the ratios to this file."
)
@SECONDS
@JSON
def all_command(against: Path | None, into: Path | None, seconds: float, as_json: bool) -> None:
    """Run every bench one after the other, and hold the ratios against recorded ones.

    A bench whose ratio has fallen is run again, up to three times in all. Exit code 1 when it falls each time.
    """
    from api.bench.follow import follow
    from api.bench.growth import growth
    from api.bench.hot_listing import hot_listing
    from api.bench.replay import replay
    from api.bench.report import held_against, record, regressions
    from api.bench.till import till

    benches: tuple[Callable[[], Awaitable[Measured]], ...] = (
        lambda: hot_listing(seconds),
        lambda: till(seconds),
        lambda: follow(seconds),
        lambda: replay(seconds),
        lambda: growth(seconds, (10_000, 100_000)),
    )
    runs: list[Callable[[], Measured]] = [functools.partial(_run, each) for each in benches]
    measured = [held_against(against, run) if against else run() for run in runs]
    if into is not None:
        record(into, measured)
    slower = [fallen for each in measured for fallen in regressions(against, each)] if against else []
    _finish(measured, as_json, slower)


def _run(work: "Callable[[], Any]") -> "Measured":
    import uvloop

    measured: Measured = uvloop.run(work())
    return measured


def _finish(measured: "list[Measured]", as_json: bool, slower: Sequence[str] = ()) -> None:
    from api.bench.report import show

    show(measured, as_json=as_json)
    wrong = [(each.bench, name) for each in measured for name, good in each.checks.items() if not good]
    for name, check in wrong:
        say(f"livetill: WRONG: {name}: not {check}")
    for fallen in slower:
        say(f"livetill: SLOWER: {fallen}")
    sys.exit(1 if wrong or slower else 0)
