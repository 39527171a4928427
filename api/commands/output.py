"""What commands say: results on standard output; progress and troubles on standard error."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import rich_click as click

from domain.persistent import Heap, Map

LINE_SECONDS = 5.0
"""How often a long command says a line where there is no terminal."""
Advanced = Callable[[int, int], None]
"""Told how much is done, and of how much."""


def plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if attrs.has(type(value)):
        return {field.name.strip("_"): plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, Map | dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Heap | list | tuple):
        return [plain(each) for each in value]
    return instant(value) if isinstance(value, datetime) else value.value if isinstance(value, Enum) else value


def instant(value: datetime) -> str:
    """Write a time as the API does: RFC 3339, in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def print_json(document: Any) -> None:
    """Print one JSON document; with escapes where the output does not take every character."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(plain(document), indent=2, ensure_ascii=not unicode))


def say(line: str) -> None:
    """Say something about what is going on."""
    click.echo(line, err=True)


def invocation() -> str:
    """Return how livetill is called from where somebody called it, for a line that can be copied."""
    if shutil.which("livetill"):
        return "livetill"
    called = sys.argv[0]
    return shlex.quote(called) if Path(called).name == "livetill" else f"{shlex.quote(sys.executable)} -m api"


def counted(number: int, thing: str) -> str:
    """Say how many there are of a thing: 1 order, 2 orders."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns; numbers stand to the right."""
    texts = [list(head), *([str(each) for each in row] for row in rows)]
    widths = [max(len(line[column]) for line in texts) for column in range(len(head))]
    numeric = [all(isinstance(row[column], int) for row in rows) for column in range(len(head))]
    for line in texts:
        cells = (
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, numeric, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Advanced]:
    """Show how far something is: a bar on a terminal, a line every few seconds elsewhere, nothing when quiet."""
    if sys.stderr.isatty():
        with _bar(title) as advanced:
            yield advanced
    else:
        yield _quietly if quiet else _lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Advanced]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str) -> Advanced:
    last = time.monotonic()

    def advanced(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            say(f"{title}: {done:,} of {total:,}")

    return advanced


def _quietly(_done: int, _total: int) -> None:
    """Nobody watches."""
