"""Options that several commands share, each also taken from the environment as ``LIVETILL_…``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from api.commands.running import require_as_of

if TYPE_CHECKING:
    from api.services import Settings

F = TypeVar("F", bound=Callable[..., Any])

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path(".livetill"),
    show_default=True,
    envvar="LIVETILL_DATA_DIR",
    show_envvar=True,
    help="Where the servers that come along keep their data, and where secrets are.",
)
DATABASE_URL = click.option(
    "--database-url",
    metavar="URL",
    envvar="LIVETILL_DATABASE_URL",
    show_envvar=True,
    help="A PostgreSQL of your own, such as postgresql://user@host/shop; without it one comes along.",
)
NATS_URL = click.option(
    "--nats-url",
    metavar="URL",
    envvar="LIVETILL_NATS_URL",
    show_envvar=True,
    help="A NATS of your own, such as nats://host:4222; without it one comes along.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
AS_OF = click.option(
    "--as-of",
    metavar="POSITION|TIME",
    callback=require_as_of,
    help="A position of the journal, or an instant such as 2026-03-07T20:15:00Z; without it the head.",
)


def database(command: F) -> F:
    """Let a command say where the journal is."""
    return DATA_DIR(DATABASE_URL(command))


def servers(command: F) -> F:
    """Let a command say where the journal and the messages are."""
    return DATA_DIR(DATABASE_URL(NATS_URL(command)))


def settings(data_dir: Path, database_url: str | None, nats_url: str | None = None) -> "Settings":
    """Return settings for a command that serves nobody."""
    from api.services import Settings

    return Settings(data_dir=data_dir, database_url=database_url or None, nats_url=nats_url or None)
