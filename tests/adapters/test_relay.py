"""The relay, on a real NATS that is stopped, wiped and confused under it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import nats
import pytest
from attrs import evolve
from nats.aio.client import Client
from nats.errors import BadSubjectError
from nats.js.api import RawStreamMsg, StreamConfig

from adapters.announce import LocalAnnouncer
from adapters.clocks import ManualClock
from adapters.cloudevent import SUBJECTS, CloudEvent, cloud_event
from adapters.embedded import EmbeddedNats
from adapters.inspection import Inspected, inspect_nats
from adapters.journal_memory import MemoryJournal
from adapters.nats_link import NatsLink, keep_at
from adapters.pipeline import RefusedError, publish
from adapters.relay import Relay
from adapters.wire import JsonWire
from application.ports import Batch, Draft
from domain.record import Metadata

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENVELOPE = Metadata(
    actor="buyer:b-1", command_id="c-1", command="place_order", ingress_at=DAY, correlation_id="order-1", causation=7
)
WIRE = JsonWire()


async def journal_of(count: int, *, day: datetime = DAY) -> MemoryJournal:
    """A journal of so many records, recorded on a day."""
    journal = MemoryJournal(ManualClock(day))
    await grow(journal, count)
    return journal


async def grow(journal: MemoryJournal, count: int) -> int:
    """Append records to a journal; return its head."""
    head = await journal.head()
    drafts = [draft(position) for position in range(head + 1, head + count + 1)]
    await journal.append(Batch(drafts, {each.history_id: 0 for each in drafts}))
    return head + count


def draft(position: int) -> Draft:
    """Make the draft of the record at a position."""
    return Draft(
        history_id=f"listing-{position}",
        version=1,
        topic="listing.units_reserved.v1",
        state=b'{"quantity":%d}' % position,
        metadata=WIRE.encode_metadata(ENVELOPE),
    )


@asynccontextmanager
async def relaying(journal: MemoryJournal, nats_url: str, announcer: LocalAnnouncer) -> AsyncIterator[Relay]:
    """A relay at work."""
    relay = Relay(journal, WIRE, nats_url, announcer)
    task = asyncio.create_task(relay.run())
    yield relay
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the system under test brings about; the test's time limit ends it."""
    while not condition():
        await asyncio.sleep(0.01)


async def stored(nats_url: str) -> list[RawStreamMsg]:
    """Return all messages of the stream, by sequence."""
    async with await nats.connect(nats_url) as client:
        jetstream = client.jetstream()
        last = (await jetstream.stream_info("LIVETILL")).state.last_seq
        return [await jetstream.get_msg("LIVETILL", sequence) for sequence in range(1, last + 1)]


def positions(messages: Sequence[RawStreamMsg]) -> list[int]:
    """Return the positions that messages speak of."""
    return [json.loads(message.data or b"")["position"] for message in messages]


@pytest.fixture
async def client(nats_server: EmbeddedNats) -> AsyncIterator[Client]:
    """A client of a NATS that stores nothing yet."""
    nats_server.wipe()
    async with await nats.connect(nats_server.ensure()) as connected:
        yield connected


@pytest.mark.usefixtures("client")
async def test_every_record_is_the_message_of_its_position(nats_url: str) -> None:
    """Record N is message N, for records that were there before the relay and for those that came later."""
    journal, announcer = await journal_of(1_200), LocalAnnouncer()
    async with relaying(journal, nats_url, announcer) as relay:
        await until(lambda: relay.relayed == 1_200)
        announcer.appended(await grow(journal, 3))
        await until(lambda: relay.relayed == 1_203)
        assert relay.lag == 0
    messages = await stored(nats_url)
    assert positions(messages) == list(range(1, 1_204))
    assert messages[700].subject == "livetill.listing.units_reserved.listing-701"
    assert (messages[700].headers or {})["Nats-Msg-Id"] == "701"


@pytest.mark.usefixtures("client")
async def test_a_wiped_server_is_filled_again_and_no_position_is_missing(
    nats_server: EmbeddedNats, nats_url: str
) -> None:
    """NATS is stopped in the middle, loses all it stored, and comes back: every position arrives, in order."""
    journal, announcer = await journal_of(5_000), LocalAnnouncer()
    async with relaying(journal, nats_url, announcer) as relay:
        await until(lambda: relay.relayed > 0)
        await asyncio.to_thread(nats_server.wipe)
        announcer.appended(await grow(journal, 100))
        await until(lambda: relay.head == 5_100)
        assert relay.lag > 0
        await asyncio.to_thread(nats_server.ensure)
        await until(lambda: relay.relayed == 5_100)
    assert positions(await stored(nats_url)) == list(range(1, 5_101))


async def test_a_stream_deleted_under_a_live_connection_is_filled_again(client: Client, nats_url: str) -> None:
    """An operator may delete the stream whenever they like."""
    jetstream = client.jetstream()
    async with relaying(await journal_of(10), nats_url, LocalAnnouncer()) as relay:
        await until(lambda: relay.relayed == 10)
        await jetstream.delete_stream("LIVETILL")
        while not await jetstream.streams_info() or (await jetstream.stream_info("LIVETILL")).state.last_seq < 10:
            await asyncio.sleep(0.01)
    assert positions(await stored(nats_url)) == list(range(1, 11))


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(("count", "day"), [(20, DAY + timedelta(days=1)), (4, DAY)], ids=["other", "shorter"])
async def test_a_stream_of_another_journal_is_made_anew(nats_url: str, count: int, day: datetime) -> None:
    """What a restored or another database did not write does not stay in the stream."""
    async with relaying(await journal_of(9), nats_url, LocalAnnouncer()) as before:
        await until(lambda: before.relayed == 9)
    async with relaying(await journal_of(count, day=day), nats_url, LocalAnnouncer()) as relay:
        await until(lambda: relay.relayed == count)
    events = [json.loads(message.data or b"") for message in await stored(nats_url)]
    assert [event["id"] for event in events] == [str(position) for position in range(1, count + 1)]
    assert {datetime.fromisoformat(event["time"]) for event in events} == {day}


@pytest.mark.usefixtures("client")
async def test_two_relays_at_once_write_every_record_once(nats_url: str) -> None:
    """The expected sequence turns away what is already there: a lost lead costs work, not truth."""
    journal = await journal_of(3_000)
    announcer = LocalAnnouncer()
    async with relaying(journal, nats_url, announcer) as one, relaying(journal, nats_url, announcer) as two:
        await until(lambda: one.relayed == two.relayed == 3_000)
    assert positions(await stored(nats_url)) == list(range(1, 3_001))


async def test_a_message_out_of_place_is_not_kept(client: Client, nats_url: str) -> None:
    """Somebody else's message on our subjects shifts the sequence; the stream is made anew without it."""
    jetstream = client.jetstream()
    await jetstream.add_stream(StreamConfig(name="LIVETILL", subjects=[SUBJECTS]))
    await jetstream.publish("livetill.listing.rumour.listing-1", b"not a record")
    async with relaying(await journal_of(5), nats_url, LocalAnnouncer()) as relay:
        await until(lambda: relay.relayed == 5)
    assert positions(await stored(nats_url)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("subject", ["livetill.a b", "livetill.a\r\nPUB"])
async def test_what_cannot_be_a_message_is_not_written_to_the_connection(client: Client, subject: str) -> None:
    """A name that NATS' protocol would take for something else is an error here and not there."""
    events = [CloudEvent(1, subject, b"x"), CloudEvent(2, "livetill.a", b"x")]
    with pytest.raises(BadSubjectError):
        await publish(client, "LIVETILL", events)
    await client.flush()


async def test_a_record_that_is_too_large_for_a_message_says_where_to_read_it(
    client: Client, nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Just below the server's limit, above it and far above it: each has its place, and none stands in the way."""
    journal = await journal_of(2)
    for position, size in enumerate((-2_000, -900, -1, 0, 2**22), 3):
        state = b'{"padding":"%s"}' % (b"x" * (client.max_payload + size))
        await journal.append(Batch([evolve(draft(position), state=state)], {f"listing-{position}": 0}))
    await grow(journal, 2)
    async with relaying(journal, nats_url, LocalAnnouncer()) as relay:
        await until(lambda: relay.relayed == 9)
    messages = [json.loads(message.data or b"") for message in await stored(nats_url)]
    assert [message["id"] for message in messages] == [str(position) for position in range(1, 10)]
    told = {message["position"]: message["dataref"] for message in messages if "data" not in message}
    assert told == {position: f"/v1/journal?after={position - 1}&limit=1" for position in (4, 5, 6, 7)}
    assert caplog.text.count("is too large for NATS") == 4


async def test_a_refused_message_in_the_middle_is_noticed_at_the_end(client: Client) -> None:
    """The last acknowledgement vouches for all: where one is turned away, so are those behind it."""
    await client.jetstream().add_stream(StreamConfig(name="LIVETILL", subjects=[SUBJECTS]))
    events = [CloudEvent(position, "livetill.a.b.c", b"{}") for position in (1, 2, 4, 5)]
    with pytest.raises(RefusedError):
        await publish(client, "LIVETILL", events)
    assert (await client.jetstream().stream_info("LIVETILL")).state.last_seq == 2


async def test_a_record_is_a_cloud_event() -> None:
    """The message has the specification's attributes, ours in lower case, and the event as it is stored."""
    record = (await (await journal_of(701)).read(700, 1))[0]
    assert json.loads(cloud_event(record, ENVELOPE, "livetill/shop-3").body) == {
        "specversion": "1.0",
        "id": "701",
        "source": "livetill/shop-3",
        "type": "listing.units_reserved.v1",
        "subject": "listing-701",
        "time": "2026-03-01T12:00:00Z",
        "datacontenttype": "application/json",
        "position": 701,
        "historyversion": 1,
        "correlationid": "order-1",
        "causationposition": 7,
        "data": {"quantity": 701},
    }


@asynccontextmanager
async def feeding(journal: MemoryJournal, nats_url: str, database: str) -> AsyncIterator[Relay]:
    """The relay of a shop, at work."""
    relay = Relay(journal, WIRE, nats_url, LocalAnnouncer(), database=database)
    task = asyncio.create_task(relay.run())
    yield relay
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("client")
async def test_two_shops_on_one_nats_leave_each_other_s_messages_alone(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever comes later waits, says so once, and takes over when the first is gone."""
    ours, theirs = await journal_of(30), await journal_of(20, day=DAY + timedelta(days=1))
    async with feeding(theirs, nats_url, "database/2") as second:
        async with feeding(ours, nats_url, "database/1") as first:
            await until(lambda: max(first.relayed, second.relayed) > 0)
            holder, waiting = (first, second) if first.relayed else (second, first)
            await until(lambda: "another shop feeds the stream LIVETILL" in caplog.text)
            await until(lambda: holder.lag == 0)
            before = await stored(nats_url)
            assert positions(before) == list(range(1, holder.relayed + 1))
            assert waiting.relayed == 0
            await asyncio.sleep(2.5)  # long enough for several tries
            assert [each.data for each in await stored(nats_url)] == [each.data for each in before]
            assert caplog.text.count("another shop feeds the stream") == 1
        if holder is first:
            await until(lambda: second.relayed == 20)
            assert positions(await stored(nats_url)) == list(range(1, 21))


@pytest.mark.usefixtures("client")
async def test_a_shop_s_next_leader_goes_on_while_the_last_one_still_answers(nats_url: str) -> None:
    """Both are of one database: the lead of it is decided there, not at NATS."""
    journal = await journal_of(10)
    async with feeding(journal, nats_url, "database/1") as first:
        await until(lambda: first.relayed == 10)
        async with feeding(journal, nats_url, "database/1") as second:
            await until(lambda: second.relayed == 10)


@pytest.mark.usefixtures("client")
async def test_a_doctor_sees_whose_stream_it_is(nats_url: str) -> None:
    """Ours, another shop's, or nobody's; asking takes it from nobody."""
    journal = await journal_of(5)
    assert await asyncio.to_thread(inspect_nats, nats_url, "database/1") == Inspected(
        {"address": nats_url.partition("@")[2], "stream": "nobody feeds it at the moment"}
    )
    async with feeding(journal, nats_url, "database/1") as relay:
        await until(lambda: relay.relayed == 5)
        ours = await asyncio.to_thread(inspect_nats, nats_url, "database/1")
        assert (ours.facts["stream"], ours.findings) == ("fed from database database/1", ())
        [finding] = (await asyncio.to_thread(inspect_nats, nats_url, "database/2")).findings
        assert finding == "Another shop feeds the stream on this NATS: give each shop a NATS of its own"
        await grow(journal, 1)
        await until(lambda: relay.relayed == 6)
    [finding] = (await asyncio.to_thread(inspect_nats, nats_url, "database/1", 9)).findings
    assert finding.startswith("The stream on NATS is 3 behind the journal and does not move")


@pytest.mark.usefixtures("client")
async def test_a_doctor_lets_a_relay_catch_up(nats_url: str) -> None:
    """A stream that is behind and comes nearer is in good hands."""
    journal = await journal_of(5)
    async with feeding(journal, nats_url, "database/1") as relay:
        await until(lambda: relay.relayed == 5)
        looking = asyncio.create_task(asyncio.to_thread(inspect_nats, nats_url, "database/1", 10**6))
        while not looking.done():
            await grow(journal, 1)
            await asyncio.sleep(0.01)
    seen = await looking
    assert seen.facts["stream"].endswith(" behind the journal")
    assert seen.findings == ()


async def test_who_does_not_know_the_token_is_not_let_in(nats_url: str) -> None:
    """Another user of the machine finds the port, but neither reads nor writes; a doctor says so in one line."""
    place = nats_url.partition("@")[2]
    for url in (f"nats://{place}", f"nats://guess@{place}"):
        [finding] = (await asyncio.to_thread(inspect_nats, url)).findings
        assert finding.startswith("NATS does not let livetill in, check --nats-url: ")
        assert "\n" not in finding


async def test_who_is_told_twice_to_end_closes_the_connection(nats_url: str) -> None:
    """A second cancellation, while the work ends, does not leave a connection behind."""
    clients: list[Client] = []
    ending = asyncio.Event()

    async def work(client: Client) -> None:
        clients.append(client)
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.1)

    kept = asyncio.create_task(keep_at(NatsLink(nats_url), work, "a test"))
    await until(lambda: bool(clients))
    kept.cancel()
    await ending.wait()
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)
    assert clients[0].is_closed
