"""``livetill token``."""

from pathlib import Path

import rich_click as click

from api.commands.options import DATA_DIR
from api.secrets import token_secret

ROLES = ("buyer", "client", "host", "brand", "finance", "auditor", "admin")
DAY_SECONDS = 86_400


@click.command("token")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the bearer may do.")
@click.option(
    "--subject", metavar="ID", help="Whose token it is: a buyer's, host's or brand's id. By default the role."
)
@click.option(
    "--ttl", type=click.IntRange(min=1), default=DAY_SECONDS, show_default=True, help="Seconds it is good for."
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

    try:
        click.echo(issue(role, subject or role, ttl, token_secret(data_dir)))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
