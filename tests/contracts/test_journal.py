"""What every journal promises, in memory and on PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from adapters.installation import install
from adapters.journal_memory import MemoryJournal
from adapters.journal_postgres import CHUNK, PostgresJournal
from adapters.journal_recent import RecentJournal
from application.ports import Appended, Batch, Conflict, Draft, Journal, JournalRejectedError
from domain.record import Record


@pytest.fixture(params=["memory", "recent", "postgres"])
async def journal(request: pytest.FixtureRequest) -> AsyncIterator[Journal]:
    """An empty journal of each kind."""
    if request.param == "memory":
        yield MemoryJournal()
        return
    if request.param == "recent":
        yield RecentJournal(MemoryJournal(), int)
        return
    url = request.getfixturevalue("database_url")
    await asyncio.to_thread(install, url)
    postgres = PostgresJournal(url)
    await postgres.open()
    yield postgres
    await postgres.close()


def draft(history_id: str, version: int, command_id: str | None = None, of: str = "") -> Draft:
    """A draft; ``of`` names the command when its id stands on another draft."""
    metadata = f'{{"command_id":"{command_id or of}"}}'.encode()
    return Draft(history_id, version, "thing.happened.v1", b'{"n":%d}' % version, metadata, command_id)


async def append(journal: Journal, *drafts: Draft, **expected: int) -> Appended:
    """Append drafts that are expected to fit: each history at the version before its first draft."""
    for item in reversed(drafts):
        expected[item.history_id] = item.version - 1
    outcome = await journal.append(Batch(drafts, expected))
    assert isinstance(outcome, Appended)
    return outcome


async def everything(journal: Journal) -> list[Record]:
    """All records."""
    return [record for chunk in [chunk async for chunk in journal.scan()] for record in chunk]


def places(records: Sequence[Record]) -> list[tuple[str, int]]:
    """History and version of each record."""
    return [(record.history_id, record.version) for record in records]


async def test_positions_begin_at_one_and_have_no_gaps(journal: Journal) -> None:
    """A batch takes the positions after the one before it, in the order of its drafts."""
    assert await journal.head() == 0
    assert (await append(journal, draft("b", 1), draft("a", 1), draft("b", 2))).first_position == 1
    assert (await append(journal, draft("a", 2))).first_position == 4
    assert await journal.head() == 4
    assert [record.position for record in await everything(journal)] == [1, 2, 3, 4]
    assert places(await everything(journal)) == [("b", 1), ("a", 1), ("b", 2), ("a", 2)]


async def test_a_record_comes_back_as_it_was_written(journal: Journal) -> None:
    """Bytes are kept as they are, JSON or not; text is any text."""
    written = Draft("stream-ü✓", 1, "stream.ended.v2", b"\x00\xff not json", b"", "key of 名")
    appended = await append(journal, written)
    assert await journal.read(0, 10) == [
        Record(
            position=1,
            history_id=written.history_id,
            version=1,
            topic=written.topic,
            state=written.state,
            recorded_at=appended.recorded_at,
            metadata=written.metadata,
            command_id=written.command_id,
        )
    ]
    assert appended.recorded_at.utcoffset() == timedelta(0)


async def test_a_history_that_exists_cannot_be_begun(journal: Journal) -> None:
    """Version 0 means: must not exist. The answer tells where the history is, and nothing is written."""
    await append(journal, draft("a", 1), draft("a", 2))
    outcome = await journal.append(Batch([draft("b", 1), draft("a", 1)], {"a": 0, "b": 0}))
    assert outcome == Conflict(moved={"a": 2})
    assert await journal.head() == 2


async def test_a_history_that_was_only_read_must_not_have_moved(journal: Journal) -> None:
    """A decision rests on everything it was made on, not only on what it writes."""
    await append(journal, draft("terms", 1))
    await append(journal, draft("terms", 2))
    outcome = await journal.append(Batch([draft("order", 1)], {"order": 0, "terms": 1, "absent": 0, "gone": 3}))
    assert outcome == Conflict(moved={"terms": 2, "gone": 0})
    assert await journal.load({"order": 0}) == []


async def test_a_batch_may_only_check(journal: Journal) -> None:
    """Without drafts nothing is written, and what moved is told all the same."""
    await append(journal, draft("a", 1))
    assert isinstance(await journal.append(Batch([], {"a": 1})), Appended)
    assert await journal.append(Batch([], {"a": 0})) == Conflict(moved={"a": 1})
    assert await journal.head() == 1


async def test_a_known_command_is_seen(journal: Journal) -> None:
    """A command id stands in the journal once: the second batch is told which it was, and writes nothing."""
    await append(journal, draft("a", 1, "first"))
    batch = Batch([draft("b", 1, "second"), draft("c", 1, "first")], {"a": 0, "b": 0, "c": 0})
    assert await journal.append(batch) == Conflict(moved={"a": 1}, seen=frozenset({"first"}))
    assert await journal.head() == 1


async def test_load_returns_tails_by_history_and_version(journal: Journal) -> None:
    """Each history after the version that the caller knows; what is unknown has no records."""
    await append(journal, draft("b", 1), draft("B", 1), draft("a", 1), draft("a", 2), draft("a", 3), draft("z", 1))
    loaded = await journal.load({"b": 0, "a": 1, "B": 0, "z": 1, "unknown": 0})
    assert places(loaded) == [("B", 1), ("a", 2), ("a", 3), ("b", 1)]
    assert await journal.load({}) == []


async def test_a_command_is_found_with_all_its_records(journal: Journal) -> None:
    """The id stands on the first record; the others follow it and are told apart from the next command's."""
    await append(
        journal,
        *(draft("a", 1, "one"), draft("b", 1, of="one"), draft("a", 2, of="one")),
        *(draft("a", 3, "two"), draft("b", 2, of="two")),
    )
    await append(journal, draft("c", 1, of="nobody"), draft("c", 2, "three"))
    found = await journal.of_commands(["three", "one", "unknown", "one"])
    assert [record.position for record in found] == [1, 2, 3, 7]
    assert [record.position for record in await journal.of_commands(["two"])] == [4, 5]
    assert await journal.of_commands([]) == []


async def test_read_goes_on_after_a_position(journal: Journal) -> None:
    """Pages are cut by position; after the end there is nothing."""
    await append(journal, *(draft("a", version) for version in range(1, 8)))
    assert [record.position for record in await journal.read(2, 3)] == [3, 4, 5]
    assert [record.position for record in await journal.read(5, 3)] == [6, 7]
    assert await journal.read(7, 3) == []


async def test_scan_walks_in_chunks_to_where_the_head_was(journal: Journal) -> None:
    """What is appended during the walk is not part of it, and the bounds are kept."""
    size = 1_500
    for first in range(1, CHUNK + 1_000, size):
        await append(journal, *(draft("a", version) for version in range(first, first + size)))
    head = await journal.head()
    chunks = []
    async for chunk in journal.scan(after=3):
        chunks.append(chunk)
        await append(journal, draft(f"late-{len(chunks)}", 1))
    assert [len(chunk) for chunk in chunks] == [CHUNK, head - 3 - CHUNK]
    assert [record.position for chunk in chunks for record in chunk] == list(range(4, head + 1))
    assert [[record.position for record in chunk] async for chunk in journal.scan(after=4, upto=6)] == [[5, 6]]
    assert [chunk async for chunk in journal.scan(after=6, upto=6)] == []


async def test_position_at_an_instant_is_the_last_one_recorded_by_then(journal: Journal) -> None:
    """An instant includes what was recorded at it; before the first record there is nothing."""
    assert await journal.position_at((await append(journal, draft("a", 1))).recorded_at) == 1
    second = await append(journal, draft("a", 2), draft("a", 3))
    instant = timedelta(microseconds=1)
    [first, *_] = await journal.read(0, 1)
    assert await journal.position_at(first.recorded_at - instant) == 0
    assert await journal.position_at(second.recorded_at) == 3
    assert await journal.position_at(second.recorded_at + timedelta(days=1)) == 3


async def test_times_never_fall(journal: Journal) -> None:
    """All records of a batch have one time, and no batch an earlier one than the batch before."""
    for version in range(1, 20, 2):
        await append(journal, draft("a", version), draft("a", version + 1))
    times = [record.recorded_at for record in await everything(journal)]
    assert times == sorted(times)
    assert times[::2] == times[1::2]


async def test_a_turn_is_one_load_and_one_append_that_nothing_comes_between(journal: Journal) -> None:
    """What is loaded inside is what the append is checked against; it sees itself, others see it afterwards."""
    await append(journal, draft("a", 1))
    async with journal.turn() as held:
        assert places(await held.load({"a": 0})) == [("a", 1)]
        outcome = await held.append(Batch([draft("a", 2, "mine")], {"a": 1}))
        assert isinstance(outcome, Appended)
        assert places(await held.of_commands(["mine"])) == [("a", 2)]
        assert (await held.head(), await journal.head()) == (2, 1)
        assert await journal.read(1, 10) == []
    assert places(await journal.of_commands(["mine"])) == [("a", 2)]


async def test_other_appends_wait_for_the_turn(journal: Journal) -> None:
    """The append that came during the turn takes its position after the turn's."""
    async with journal.turn() as held:
        waiting = asyncio.create_task(append(journal, draft("b", 1)))
        await held.append(Batch([draft("a", 1)], {"a": 0}))
        assert await journal.head() == 0
        assert not waiting.done()
    assert (await waiting).first_position == 2


async def test_a_turn_that_fails_has_not_happened(journal: Journal) -> None:
    """An error inside rolls everything back, and leaves neither a gap nor a lock."""
    with pytest.raises(LookupError):
        await _fail_after_append(journal)
    assert await journal.head() == 0
    assert await journal.of_commands(["lost"]) == []
    assert (await append(journal, draft("a", 1, "lost"))).first_position == 1


async def _fail_after_append(journal: Journal) -> None:
    async with journal.turn() as held:
        assert isinstance(await held.append(Batch([draft("a", 1, "lost")], {"a": 0})), Appended)
        raise LookupError


async def test_a_conflict_inside_a_turn_leaves_it_usable(journal: Journal) -> None:
    """Nothing was written, so the turn can be decided anew."""
    await append(journal, draft("a", 1))
    async with journal.turn() as held:
        assert await held.append(Batch([draft("a", 1)], {"a": 0})) == Conflict(moved={"a": 1})
        assert isinstance(await held.append(Batch([draft("a", 2)], {"a": 1})), Appended)
    assert await journal.head() == 2


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (Batch([draft("a", 2)], {"a": 0}), "version 0 to 2"),
        (Batch([draft("a", 1), draft("a", 1)], {"a": 0}), "version 1 to 1"),
        (Batch([draft("a", 1)], {}), "without an expected version"),
        (Batch([draft("a", 1, "c"), draft("a", 2, "c")], {"a": 0}), "more than one draft"),
    ],
)
async def test_a_batch_that_contradicts_itself_is_rejected(journal: Journal, batch: Batch, reason: str) -> None:
    """A hole in a history, or a command twice, would be there for ever."""
    with pytest.raises(JournalRejectedError, match=reason):
        await journal.append(batch)
    assert await journal.head() == 0


async def test_of_appends_at_once_to_one_version_one_wins(journal: Journal) -> None:
    """The others learn where the history is now; other histories are not in their way."""
    batches = [Batch([draft("hot", 1), draft(f"own-{n}", 1)], {"hot": 0, f"own-{n}": 0}) for n in range(10)]
    outcomes = await asyncio.gather(*(journal.append(batch) for batch in batches))
    assert sum(isinstance(outcome, Appended) for outcome in outcomes) == 1
    assert [outcome for outcome in outcomes if isinstance(outcome, Conflict)] == [Conflict(moved={"hot": 1})] * 9
    assert await journal.head() == 2


async def test_any_sequence_of_batches_ends_as_it_would_in_a_list(journal: Journal) -> None:
    """A model of a dozen lines agrees with the journal on every outcome and on the records at the end."""
    chance = random.Random(11)
    versions: dict[str, int] = {}
    commands: set[str] = set()
    rows: list[tuple[str, int]] = []
    for _ in range(150):
        expected = {
            name: max(0, versions.get(name, 0) + chance.choice([0, 0, 0, -1, 1])) for name in chance.sample("abcde", 3)
        }
        command = f"c{chance.randrange(200)}"
        first, second, _ = expected
        drafts = [draft(first, expected[first] + 1, command), draft(second, expected[second] + 1, of=command)]
        outcome = await journal.append(Batch(drafts, expected))
        moved = {name: versions.get(name, 0) for name in expected if versions.get(name, 0) != expected[name]}
        if moved or command in commands:
            assert outcome == Conflict(moved, frozenset({command} & commands))
            continue
        assert isinstance(outcome, Appended)
        assert outcome.first_position == len(rows) + 1
        rows += [(item.history_id, item.version) for item in drafts]
        versions |= {item.history_id: item.version for item in drafts}
        commands.add(command)
    assert len(rows) > 50
    assert places(await everything(journal)) == rows


async def test_a_tail_may_be_read_in_pages(journal: Journal) -> None:
    """No more than so many records of each history; a full page says that there may be more."""
    await append(journal, *(draft("a", n) for n in range(1, 6)), *(draft("b", n) for n in range(1, 3)))
    assert places(await journal.load({"b": 0, "a": 1}, 3)) == [("a", 2), ("a", 3), ("a", 4), ("b", 1), ("b", 2)]
    assert places(await journal.load({"a": 4}, 3)) == [("a", 5)]
    assert places(await journal.load({"a": 5}, 3)) == []


async def test_records_are_found_by_their_version(journal: Journal) -> None:
    """Those that are there, by version."""
    await append(journal, *(draft("a", n) for n in range(1, 6)), draft("b", 1))
    assert places(await journal.at("a", [4, 2, 9])) == [("a", 2), ("a", 4)]
    assert places(await journal.at("c", [1])) == []
    assert places(await journal.at("a", [])) == []
    async with journal.turn() as held:
        assert places(await held.at("a", [5])) == [("a", 5)]
