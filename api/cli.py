"""``livetill``: the command line.

Exit codes: 0 it was done, 1 it was not or something is wrong, 2 wrong usage, 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from io import TextIOWrapper
from typing import Any

import click as plain_click
import rich_click as click

from api.bench.command import bench
from api.commands.digest import digest_command
from api.commands.doctor import doctor_command
from api.commands.install import install_command
from api.commands.parked import parked_command
from api.commands.rebuild import rebuild_command
from api.commands.replay import replay_command
from api.commands.serve import serve_command
from api.commands.token import token_command
from api.commands.troubles import tell
from api.commands.verify import verify_command
from api.demo.command import demo

INTERRUPTED = 130


def _version() -> str:
    try:
        return metadata.version("livetill")
    except metadata.PackageNotFoundError:
        return "unknown, not installed"


@click.rich_config({"text_paragraph_linebreaks": "\n\n"})
@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), "--version", "-V", prog_name="livetill")
def cli() -> None:
    """The till of a live show: takes orders, keeps the journal, answers for every cent.

    \b
    A shop on this machine, and a token to use it with:
      livetill serve
      livetill token --role client --subject shop-front
    What was it like when the red scarf sold out?
      livetill replay --as-of 4711 --listing listing-01jq…
      livetill replay --as-of 2026-03-07T20:15:00Z
    Is everything as it should be?
      livetill verify
      livetill doctor
    How fast is it here?
      livetill bench hot-listing
    """


for _command in (
    serve_command, demo, token_command, replay_command, verify_command, rebuild_command, digest_command,
    doctor_command, parked_command, install_command, bench,
):  # fmt: skip
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _write_what_can_be_written()
    try:
        outcome: Any = cli.main(arguments, prog_name="livetill", standalone_mode=False)
        sys.stdout.flush()
    except plain_click.exceptions.Exit as left:
        return left.exit_code
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("livetill: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return _nobody_listens()
    except Exception as error:  # noqa: BLE001 - whatever it is, people get a line and never a traceback
        tell(error)
        return 1
    return outcome if isinstance(outcome, int) else 0


def _write_what_can_be_written() -> None:
    """Put a question mark for what standard output cannot encode; standard error does so by itself."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _nobody_listens() -> int:
    """Whoever read our output has gone: keep the interpreter from complaining about it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
