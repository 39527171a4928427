"""How the columns of read models are kept in PostgreSQL: their types, and whole columns as packed arrays.

A column of values is JSON: written and read by msgspec, which knows the classes in it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, get_origin

import msgspec

from adapters.postgres_arrays import BigintArray, BooleanArray, InstantArray, PackedArray, TextArray
from domain.values import frozen
from projections.tables import kind_of_column


@frozen
class Column:
    """A column of a row class, as PostgreSQL has it."""

    name: str
    sql_type: str
    """Of the table's column."""
    nullable: bool
    array_type: str
    """Of the parameter that carries many of its values."""
    pack: Callable[[Sequence[Any]], PackedArray]
    read: Callable[[Any], Any] | None = None
    """Makes the value of what the driver gives, if that is another."""


def column(name: str, annotation: Any) -> Column:
    """Return how a column of a row class is kept; ``TypeError`` for what no column can be."""
    kind, nullable = kind_of_column(annotation)
    if kind is str:
        return Column(name, 'text COLLATE "C"', nullable, "text[]", TextArray)
    if kind is int:
        return Column(name, "bigint", nullable, "bigint[]", BigintArray)
    if kind is bool:
        return Column(name, "boolean", nullable, "boolean[]", BooleanArray)
    if kind is datetime:
        return Column(name, "timestamp with time zone", nullable, "timestamptz[]", InstantArray)
    if get_origin(kind) is tuple and not nullable:
        return Column(name, "jsonb", nullable, "text[]", _documents, msgspec.json.Decoder(kind).decode)
    raise TypeError(f"{name} cannot be a column: {annotation}")


def _documents(items: Sequence[Any]) -> TextArray:
    return TextArray([msgspec.json.encode(each).decode() for each in items])
