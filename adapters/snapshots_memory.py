"""Snapshots in memory, for as long as the process lives."""

from collections.abc import Sequence

from application.ports import Snapshot


class MemorySnapshots:
    """Snapshots by history and version."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[tuple[str, int], Snapshot] = {}

    async def write(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of the one at the same version."""
        self.rows[snapshot.history_id, snapshot.version] = snapshot

    async def read(self, history_id: str, topic: str, after: int, limit: int) -> Sequence[Snapshot]:
        """Return up to ``limit`` of a history's snapshots of a topic after a version, by version."""
        rows = [row for row in self.rows.values() if (row.history_id, row.topic) == (history_id, topic)]
        return sorted((row for row in rows if row.version > after), key=lambda row: row.version)[:limit]

    async def histories(self, topic: str) -> Sequence[str]:
        """Return the histories that have snapshots of a topic."""
        return sorted({row.history_id for row in self.rows.values() if row.topic == topic})
