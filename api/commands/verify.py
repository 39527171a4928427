"""``livetill verify``."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from api.commands.options import JSON, database, settings
from api.commands.output import counted, print_json, print_table, progress, say
from api.commands.running import on_journal
from api.commands.troubles import CommandError

if TYPE_CHECKING:
    from api.compose import Opened
    from application.proofreading import Proof
    from projections.verify import Certificate, Compare, Compared

PATIENCE_SECONDS = 5.0
_REMOVE = "TRUNCATE views.snapshot, and start the servers anew"
_DIFFERS = "compare the journal with a backup if anybody may have changed it, then let the table say what it says: "
WORTH_A_PROCESS = 20_000
"""Records from which on a second process pays for its start."""


@click.command("verify")
@click.option("--journal-only", is_flag=True, help="Leave the read models out: half the work.")
@JSON
@database
def verify_command(journal_only: bool, as_json: bool, data_dir: Path, database_url: str | None) -> None:
    """Verify the whole journal, and that the read models say what it says.

    Walks every record: positions, versions, times, commands, causation, arrival order; folds every history;
    counts every unit at every position; compares orders with the units of their listings and with the commissions that
    follow from them; adds up refunds; replays the read models and compares. The shop may go on selling meanwhile. Exit
    code 1 if anything does not hold, with the position of the first breach.

    \b
    Examples:
      livetill verify
      livetill verify --json | jq .breach
    """
    # What a walk keeps it keeps to its end: looking through it again and again for garbage cost a fifth of the time.
    gc.set_threshold(200_000, 50, 1_000)

    async def work(parts: "Opened") -> "tuple[int, Certificate, Proof, float]":
        from api.compose import chapters_in
        from application.proofreading import Proof, Proofreader
        from projections.follow import Follower
        from projections.verify import verify

        store, head = None if journal_only else parts.store, await parts.journal.head()
        if store is not None:
            follower = Follower(parts.journal, parts.wire, store)
            await follower.wait_for(head, list(await follower.positions()), PATIENCE_SECONDS)
        reacted = await parts.store.bookmark("reactions")
        began = time.perf_counter()
        with progress("Verifying", quiet=as_json) as advanced:
            compare = await _elsewhere(parts)
            proofreader = None if journal_only else Proofreader(parts.journal, chapters_in(parts.snapshots))
            certificate = await verify(
                parts.journal, parts.wire, store,
                compare=compare, proofreader=proofreader, advanced=advanced, reacted=reacted,
            )  # fmt: skip
            proof = await proofreader.finish() if proofreader is not None and certificate.breach is None else Proof()
        return head, certificate, proof, time.perf_counter() - began

    head, certificate, proof, seconds = on_journal(settings(data_dir, database_url), work)
    if as_json:
        print_json(_document(certificate, proof, head, seconds))
    else:
        _print(certificate, proof, head, seconds)
        _tell_of_those_behind(certificate, head)
    sys.exit(0 if certificate.holds and proof.holds else 1)


async def _elsewhere(parts: "Opened") -> "Compare | None":
    """Let another process replay the read models, where that is worth its start and there is a core for it."""
    if await parts.journal.head() < WORTH_A_PROCESS or (os.cpu_count() or 1) == 1:
        return None
    return partial(_compare_elsewhere, parts.url)


async def _compare_elsewhere(url: str) -> "list[Compared]":
    from projections.digest import Digest
    from projections.verify import Compared

    path = os.pathsep.join(each or os.getcwd() for each in sys.path)  # noqa: PTH109 - a path for Python
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "digest", "--compare", "--json"),
        env={**os.environ, "LIVETILL_DATABASE_URL": url, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        printed, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise CommandError(f"the read models could not be replayed: {said.decode(errors='replace').strip()}")
    return [Compared(Digest(**each["live"]), Digest(**each["replayed"])) for each in json.loads(printed)]


def _document(certificate: "Certificate", proof: "Proof", head: int, seconds: float) -> dict[str, Any]:
    from projections.breach import RULES

    end = _end(certificate, head)
    return {
        "holds": certificate.holds and proof.holds,
        "position": certificate.position,
        "breach": certificate.breach,
        "counts": certificate.counts,
        "rules": RULES,
        "read_models": [
            {
                "name": each.live.name,
                "position": each.live.position,
                "sha256": each.live.sha256,
                "replayed_sha256": None if each.replayed is None else each.replayed.sha256,
                "same": None if each.replayed is None else each.same,
                "behind": end - each.live.position,
            }
            for each in certificate.compared
        ],
        "reacted": certificate.reacted,
        "owed": certificate.owed,
        "parked": [
            {"read_model": each.projection, "position": each.position, "topic": each.topic, "error": each.error}
            for each in certificate.parked
        ],
        "chapters": proof,
        "seconds": round(seconds, 3),
    }


def _end(certificate: "Certificate", head: int) -> int:
    """Return how far the journal is known to go: the walk may have broken off long before read models stand."""
    return max(head, certificate.position, *(each.live.position for each in certificate.compared))


def _print(certificate: "Certificate", proof: "Proof", head: int, seconds: float) -> None:
    if any(each.replayed for each in certificate.compared):
        end = _end(certificate, head)
        titles = ("READ MODEL", "POSITION", "BEHIND", "SHA-256", "AGAINST A REPLAY")
        print_table(titles, [_line(each, end) for each in certificate.compared])
        click.echo()
    counts = certificate.counts
    each = ", ".join(counted(counts[name], name.removesuffix("s")) for name in counts if name != "records")
    speed = counts["records"] / seconds if seconds else 0
    click.echo(f"{counted(counts['records'], 'record')} in {seconds:.1f} s, {speed:,.0f} a second: {each}.")
    if certificate.breach is not None:
        breach = certificate.breach
        say(f"livetill: BREACH at position {breach.position}: {_rule(breach.rule)}: {breach.found}")
    for name in certificate.differing:
        say(f"livetill: {name} does not hold what the journal says: {_DIFFERS}livetill rebuild {name}")
    for owed in certificate.owed:
        say(f"livetill: {owed}: livetill parked may say why it does not")
    for parked in certificate.parked:
        say(f"livetill: {parked.projection} does without position {parked.position}, {parked.topic}: {parked.error}")
    for wrong in proof.wrong:
        say(f"livetill: chapter {wrong.version} of {wrong.history_id} is wrong, {wrong.found}: {_REMOVE}")
    if certificate.holds and proof.holds:
        click.echo(f"Verified up to position {certificate.position}: everything holds.")
        if certificate.reacted < certificate.position:
            click.echo(
                f"Commissions follow their orders up to position {certificate.reacted}: the reactions are there."
            )


def _tell_of_those_behind(certificate: "Certificate", head: int) -> None:
    """Say which read models had not come to where the journal ended at first: what they lack is compared with nothing.

    A shop that sells is always some moments ahead of them; that is in the table.
    """
    behind = {each.live.name: head - each.live.position for each in certificate.compared if each.live.position < head}
    for name, records in behind.items():
        say(f"livetill: {name} is {counted(records, 'record')} behind the journal: start a server, or rebuild {name}")


def _line(compared: "Compared", end: int) -> tuple[object, ...]:
    live = compared.live
    behind = end - live.position
    same = "the same so far" if behind else "the same"
    return live.name, live.position, behind, live.sha256[:16], same if compared.same else "DIFFERS"


def _rule(name: str) -> str:
    from projections.breach import RULES

    return RULES[name]
