"""A place for a demo to work in."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A place for temporary files that the embedded servers' user can enter."""
    with tempfile.TemporaryDirectory(prefix="livetill-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)
