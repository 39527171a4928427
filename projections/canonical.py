"""Rows as bytes, so that equal rows give equal bytes: what a digest is taken of.

A row is a JSON array of its columns, in UTF-8, without blanks. Instants are UTC wherever an event is made, so they are
here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

Values = tuple[Any, ...]
"""A row as its columns."""

_encode = msgspec.json.Encoder().encode


def lines(rows: Iterable[Values]) -> Sequence[bytes]:
    """Write rows, a line each."""
    return list(map(_encode, rows))
