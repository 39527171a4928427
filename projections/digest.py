"""Digests: one line that says what a read model holds, so that anyone can check that live = rebuilt = replayed.

SHA-256 over the rows of its tables in the order of their keys, each as a JSON array of its columns in UTF-8. Clock
times of this machine and parked records are no part of it: the same journal gives the same digest everywhere.
"""

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from domain.values import frozen
from projections.catalogue import PROJECTIONS
from projections.projection import Projection
from projections.replay import as_of
from projections.store import Feed, Snapshot, Store, Wire
from projections.tables import Table


@frozen
class Digest:
    """What a read model held at a position."""

    name: str
    position: int
    sha256: str

    def __str__(self) -> str:
        """Show it as the one line that is compared."""
        return f"{self.name} {self.position} {self.sha256}"


class Digesting:
    """A digest in the making."""

    def __init__(self) -> None:
        self._hash = sha256()

    def begin(self, table: Table[Any]) -> None:
        """Go on with the rows of a table."""
        self._hash.update(f"{table.name}({','.join(table.columns)})\n".encode())

    def add(self, lines: Sequence[bytes]) -> None:
        """Take in rows as ``canonical.lines`` wrote them."""
        self._hash.update(b"\n".join([*lines, b""]))

    def result(self) -> str:
        """Return the digest in hexadecimal."""
        return self._hash.hexdigest()


async def digest_of(snapshot: Snapshot, projection: Projection) -> Digest:
    """Digest a read model that is held still."""
    digesting = Digesting()
    for table in projection.tables:
        digesting.begin(table)
        async for lines in snapshot.lines(table):
            digesting.add(lines)
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
