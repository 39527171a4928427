"""Packed arrays: PostgreSQL reads in them what was put in."""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.embedded import EmbeddedPostgres
from adapters.postgres_arrays import (
    BigintArray,
    BooleanArray,
    ByteaArray,
    InstantArray,
    PackedArray,
    TextArray,
    register,
)

Pack = Callable[[Collection[Any]], PackedArray]
LONGS = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made UTC
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)
KINDS: list[tuple[str, Pack, st.SearchStrategy[Any]]] = [
    ("bigint[]", BigintArray, LONGS),
    ("boolean[]", BooleanArray, st.booleans()),
    ("bytea[]", ByteaArray, st.binary(max_size=200)),
    ("timestamptz[]", InstantArray, INSTANTS),
    ("text[]", TextArray, TEXTS),
    ("text[]", TextArray, st.text("ab0-", min_size=41, max_size=41)),
    ("text[]", TextArray, st.text("aé☕🎁", min_size=5, max_size=5)),
    ("text[]", TextArray, st.text("ab", min_size=200, max_size=200)),
]


@pytest.fixture(scope="module")
def connection(postgres_server: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """A connection that takes packed arrays."""
    with psycopg.connect(postgres_server.ensure(), autocommit=True) as opened:
        register(opened)
        opened.execute("SET timezone = 'UTC'")
        yield opened


@pytest.mark.parametrize(("name", "pack", "items"), KINDS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_packed_is_what_the_server_reads(
    connection: psycopg.Connection[Any], name: str, pack: Pack, items: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Any values of a kind, in any number, also of one length, and nulls among them."""
    given_items = data.draw(st.lists(items, max_size=20) | st.lists(st.none() | items, max_size=20))
    cursor = connection.cursor(binary=True)
    [(read,)] = cursor.execute(f"SELECT %b::{name}", [pack(given_items)]).fetchall()
    assert read == given_items


@pytest.mark.parametrize("items", [["half \ud83c"], ["half \ud83c", "whole"], ["half \ud83c", None]])
def test_half_a_character_is_refused(items: list[str | None]) -> None:
    """What cannot be written as UTF-8 is nothing that PostgreSQL could hold."""
    with pytest.raises(UnicodeEncodeError):
        TextArray(items)
