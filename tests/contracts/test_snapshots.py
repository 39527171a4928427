"""What every store of snapshots promises, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from attrs import evolve

from adapters.installation import install
from adapters.snapshots_memory import MemorySnapshots
from adapters.snapshots_postgres import PostgresSnapshots
from application.ports import Snapshot, Snapshots


@pytest.fixture(params=["memory", "postgres"])
async def snapshots(request: pytest.FixtureRequest) -> AsyncIterator[Snapshots]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemorySnapshots()
        return
    url = request.getfixturevalue("database_url")
    await asyncio.to_thread(install, url)
    postgres = PostgresSnapshots(url)
    await postgres.open()
    yield postgres
    await postgres.close()


def snapshot(history_id: str, version: int, topic: str = "thing.v1") -> Snapshot:
    """A snapshot with bytes of its own."""
    return Snapshot(history_id, version, topic, b"\x00\xff" + f"{history_id} {version}".encode())


async def test_snapshots_come_back_by_version(snapshots: Snapshots) -> None:
    """Of one history, one topic, after a version, and no more than asked for."""
    for each in (snapshot("a", 30), snapshot("a", 10), snapshot("b", 20), snapshot("a", 20), snapshot("a", 40, "x.v2")):
        await snapshots.write(each)
    assert await snapshots.read("a", "thing.v1", 0, 9) == [snapshot("a", 10), snapshot("a", 20), snapshot("a", 30)]
    assert await snapshots.read("a", "thing.v1", 10, 1) == [snapshot("a", 20)]
    assert await snapshots.read("a", "thing.v1", 30, 9) == []
    assert await snapshots.read("c", "thing.v1", 0, 9) == []


async def test_the_histories_of_a_topic_are_known(snapshots: Snapshots) -> None:
    """Each once, in order."""
    for each in (snapshot("b", 10), snapshot("a", 10), snapshot("a", 20), snapshot("c", 10, "x.v2")):
        await snapshots.write(each)
    assert await snapshots.histories("thing.v1") == ["a", "b"]
    assert await snapshots.histories("y.v1") == []


async def test_a_snapshot_takes_the_place_of_the_one_before(snapshots: Snapshots) -> None:
    """Of whatever topic it was, so that a torn or outdated one is put right by writing it again."""
    await snapshots.write(snapshot("a", 10, "x.v2"))
    await snapshots.write(evolve(snapshot("a", 10), state=b"torn"))
    await snapshots.write(snapshot("a", 10))
    assert await snapshots.read("a", "thing.v1", 0, 9) == [snapshot("a", 10)]
    assert await snapshots.histories("x.v2") == []


async def test_the_same_snapshot_may_be_written_at_once(snapshots: Snapshots) -> None:
    """Several servers pass the same record."""
    await asyncio.gather(*(snapshots.write(snapshot("a", 10)) for _ in range(20)))
    assert await snapshots.read("a", "thing.v1", 0, 9) == [snapshot("a", 10)]


async def test_a_large_state_is_kept_whole(snapshots: Snapshots) -> None:
    """Byte by byte."""
    large = evolve(snapshot("a", 10), state=bytes(range(256)) * 4_000)
    await snapshots.write(large)
    assert await snapshots.read("a", "thing.v1", 0, 1) == [large]
