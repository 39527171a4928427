"""``livetill token``."""

from pathlib import Path

import rich_click as click

from api.commands.numbers import WholeNumber
from api.commands.options import DATA_DIR
from api.commands.output import say
from api.secrets import token_secret

ROLES = ("buyer", "client", "host", "brand", "finance", "auditor", "admin")
THEMSELVES = ("buyer", "host", "brand")
"""Roles whose subject decides what is theirs."""
DAY_SECONDS = 86_400
LONGEST_SECONDS = 10 * 365 * DAY_SECONDS
"""A token cannot be taken back before its time, save with all others, by another secret."""


def _require_subject(_context: click.Context, parameter: click.Parameter, subject: str | None) -> str | None:
    """Refuse what no token can carry; an empty one is likely a variable that nobody set."""
    from domain.ids import PSEUDONYM

    if subject is not None and not PSEUDONYM.fullmatch(subject):
        raise click.BadParameter("a subject has 1 to 64 letters, digits, _ or -", param=parameter)
    return subject


@click.command("token")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the bearer may do.")
@click.option(
    "--subject",
    metavar="ID",
    callback=_require_subject,
    help="Whose token it is: a buyer, host or brand is known by it. For other roles a name, by default the role's.",
)
@click.option(
    "--ttl",
    metavar="SECONDS",
    type=WholeNumber(1, LONGEST_SECONDS),
    default=DAY_SECONDS,
    show_default=True,
    help="How long it is good for, ten years at most.",
)
@DATA_DIR
def token_command(role: str, subject: str | None, ttl: int, data_dir: Path) -> None:
    """Print a token for the HTTP API.

    The secret that signs it is LIVETILL_SECRET, or a file in the data directory that is made at first use.

    \b
    Example:
      curl -H "Authorization: Bearer $(livetill token --role auditor)" \\
           "http://127.0.0.1:8000/v1/journal?after=0&limit=10"
    """
    from api.auth import issue

    if subject is None and role in THEMSELVES:
        raise click.UsageError(f"A {role} acts for nobody else: say which {role} it is with --subject ID.")
    click.echo(issue(role, subject or role, ttl, token_secret(data_dir, made=_tell_of_new_secret)))


def _tell_of_new_secret(path: Path) -> None:
    """A data directory that was mistyped has no secret either."""
    say(f"A new secret was made, {path}: only servers on this data directory, started from now on, take the token.")
