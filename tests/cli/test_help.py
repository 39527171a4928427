"""The help of every command, as somebody reads it on a terminal of eighty columns."""

import inspect
import re
from collections.abc import Iterator, Sequence

import click
import pytest
from click.testing import CliRunner

from api.cli import cli
from projections.catalogue import NAMES

BLOCK = "\b"
"""What click takes for "keep the lines of this paragraph as they are"."""


def commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Walk over a command and everything below it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, *path, name)


ALL = dict(commands(cli))


def read(path: Sequence[str]) -> list[str]:
    """Return the lines of a command's help, without margins."""
    done = CliRunner().invoke(cli, [*path, "--help"], prog_name="livetill", env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return [line.strip() for line in done.output.splitlines()]


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "livetill")
def test_no_help_shows_what_was_meant_for_click(path: tuple[str, ...]) -> None:
    """The mark of a paragraph whose lines stay is a backspace, and nobody sees it."""
    assert "\\b" not in "\n".join(read(path))
    assert BLOCK not in "\n".join(read(path))


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "livetill")
def test_every_example_stands_on_a_line_of_its_own(path: tuple[str, ...]) -> None:
    """One can copy it: it is neither joined with the next one nor broken."""
    lines = read(path)
    _, marked, examples = inspect.cleandoc(ALL[path].callback.__doc__ or "").partition(BLOCK)
    for line in examples.split("\n\n")[0].splitlines():
        assert line.strip() in lines
    assert marked or not any("Example" in line for line in lines)


def test_the_demo_says_how_fast_it_plays() -> None:
    """Slowly where somebody may be watching, and that is as the demo decides it: a terminal, and pages that stay up."""
    text = " ".join(" ".join(read(["demo"])).replace("│", " ").split())
    assert "1800 on a terminal without --exit, else as fast as it goes" in text


def test_rebuild_names_the_read_models_in_its_text_and_not_in_its_usage() -> None:
    """The usage is one line, and all that can be rebuilt is told below it."""
    lines = read(["rebuild"])
    assert "Usage: livetill rebuild [OPTIONS] [NAME]" in lines
    assert set(NAMES) <= set(re.findall("[a-z_]+", " ".join(lines)))


def test_the_environment_is_told_for_what_it_can_say() -> None:
    """What serve takes from the environment stands beside each option."""
    text = " ".join(" ".join(read(["serve"])).replace("│", " ").split())
    for name in ("HOST", "PORT", "DATA_DIR", "DATABASE_URL", "NATS_URL"):
        assert f"LIVETILL_{name}]" in text
