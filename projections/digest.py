"""Digests: one line that says what a read model holds, so that anyone can check that live = rebuilt = replayed.

SHA-256 over the rows of its tables in the order of their keys, each as a JSON array of its columns. Clock times of
this machine and parked records are no part of it: the same journal gives the same digest everywhere.
"""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from attrs import asdict, frozen

from projections.catalogue import PROJECTIONS
from projections.projection import Projection
from projections.replay import as_of
from projections.store import Feed, Snapshot, Store, Wire
from projections.tables import Table

_PAUSE_ROWS = 1_000


@frozen
class Digest:
    """What a read model held at a position."""

    name: str
    position: int
    sha256: str

    def __str__(self) -> str:
        """Show it as the one line that is compared."""
        return f"{self.name} {self.position} {self.sha256}"


def canonical(table: Table[Any], row: Any) -> bytes:
    """Write a row so that equal rows give equal bytes."""
    text = json.dumps(table.values(row), default=_plain, separators=(",", ":"), ensure_ascii=True, sort_keys=True)
    return text.encode()


class Digesting:
    """A digest in the making."""

    def __init__(self) -> None:
        self._hash = sha256()

    def begin(self, table: Table[Any]) -> None:
        """Go on with the rows of a table."""
        self._hash.update(f"{table.name}({','.join(table.columns)})\n".encode())

    def add(self, line: bytes) -> None:
        """Take in a row as ``canonical`` wrote it."""
        self._hash.update(line)
        self._hash.update(b"\n")

    def result(self) -> str:
        """Return the digest in hexadecimal."""
        return self._hash.hexdigest()


async def digest_of(snapshot: Snapshot, projection: Projection) -> Digest:
    """Digest a read model that is held still."""
    digesting = Digesting()
    count = 0
    for table in projection.tables:
        digesting.begin(table)
        async for row in snapshot.rows(table):
            digesting.add(canonical(table, row))
            count += 1
            if not count % _PAUSE_ROWS:
                await asyncio.sleep(0)
    return Digest(projection.name, snapshot.position, digesting.result())


async def digest(store: Store, projections: Iterable[Projection] = PROJECTIONS) -> list[Digest]:
    """Digest read models as they are, each at its own position."""
    digests = []
    for projection in projections:
        async with store.snapshot(projection) as snapshot:
            digests.append(await digest_of(snapshot, projection))
    return digests


async def digest_at(
    feed: Feed, wire: Wire, position: int, projections: Iterable[Projection] = PROJECTIONS
) -> list[Digest]:
    """Digest read models as they were at a position, from the journal alone."""
    chosen = tuple(projections)
    return await digest(await as_of(feed, wire, position, chosen), chosen)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return asdict(value, recurse=False)
