"""What the tests of the read models share: journals written from events, and stores that have followed them."""

from collections.abc import Iterable
from typing import Any

from adapters.journal_memory import MemoryJournal
from adapters.wire import JsonWire
from application.ports import Appended, Batch, Draft, Journal
from domain.record import Metadata
from projections.catalogue import PROJECTIONS
from projections.follow import Follower
from projections.memory import MemoryStore
from projections.projection import Projection
from projections.tables import R, Table
from tests.builders import AIR_TIME, at

WIRE = JsonWire()
Told = tuple[str, Any]
"""A history's id and an event; or a topic and bytes, for what no event can be read from."""


async def write(journal: Journal, *told: Told) -> None:
    """Append events as they are, each at its history's next version."""
    drafts: list[Draft] = []
    versions: dict[str, int] = {}
    expected: dict[str, int] = {}
    metadata = WIRE.encode_metadata(Metadata("test:test", "", "test", AIR_TIME))
    for history_id, event in told:
        if history_id not in versions:
            loaded = await journal.load({history_id: 0})
            versions[history_id] = expected[history_id] = loaded[-1].version if loaded else 0
        versions[history_id] += 1
        topic, state = event if isinstance(event, tuple) else WIRE.encode(event)
        drafts.append(Draft(history_id, versions[history_id], topic, state, metadata))
    assert isinstance(await journal.append(Batch(drafts, expected)), Appended)


async def ring_up(journal: Journal, *commands: list[Told]) -> None:
    """Append what some commands tell a minute into the show, each under an envelope of its own, as a till does."""
    versions: dict[str, int] = {}
    for number, told in enumerate(commands, 1):
        command_id = f"planted-{number}"
        metadata = Metadata("test:test", command_id, "test", at(60), "till-planted", number, len(told))
        drafts: list[Draft] = []
        expected = {history_id: versions.get(history_id, 0) for history_id, _ in told}
        for history_id, event in told:
            versions[history_id] = versions.get(history_id, 0) + 1
            begins = None if drafts else command_id
            stored = (*WIRE.encode(event), WIRE.encode_metadata(metadata), begins)
            drafts.append(Draft(history_id, versions[history_id], *stored))
        assert isinstance(await journal.append(Batch(drafts, expected)), Appended)


async def journal_of(*told: Told) -> MemoryJournal:
    """Return a journal of these events."""
    journal = MemoryJournal()
    if told:
        await write(journal, *told)
    return journal


async def following(*told: Told, projections: Iterable[Projection] = PROJECTIONS) -> MemoryStore:
    """Return read models in memory that have followed these events to the end."""
    chosen = tuple(projections)
    store = MemoryStore(chosen)
    await Follower(await journal_of(*told), WIRE, store, chosen).catch_up()
    assert not await store.parked()
    return store


async def rows(store: MemoryStore, table: Table[R]) -> dict[tuple[Any, ...], R]:
    """Return all rows of a table by key."""
    async with store.snapshot(next(each for each in PROJECTIONS if table in each.tables)) as snapshot:
        rows = [table.row(*each) async for chunk in snapshot.chunks(table) for each in chunk]
        return {table.key_of(row): row for row in rows}


def of(history_id: str, *events: Any) -> list[Told]:
    """Tell events of one history."""
    return [(history_id, event) for event in events]
