"""How events are written: what was ever stored is readable for ever."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final, get_args

import attrs
import pytest

from adapters.wire import RESERVED, TOPICS, UPCASTS, JsonWire
from domain import presence
from domain.aggregates import DECIDERS
from domain.commission import facts as commission_facts
from domain.listing import events as listing_events
from domain.order import events as order_events
from domain.record import Metadata, UnreadableError
from domain.stream import events as stream_events
from tests.builders import at, order_placed, units_reserved

GOLDEN: Final = Path(__file__).parents[1] / "golden"
SAMPLES: Final = {
    name.removesuffix(".json"): digest
    for digest, _, name in (line.partition("  ") for line in (GOLDEN / "SAMPLES.sha256").read_text().splitlines())
}
"""Every sample there ever was, by topic, with the digest of its file. Lines are only added (``sha256sum *.json``)."""

UNIONS: Final[dict[str, Any]] = {
    "stream": stream_events.Event,
    "presence": presence.Event,
    "listing": listing_events.Event,
    "order": order_events.Event,
    "commission": commission_facts.Event,
}

topics = pytest.mark.parametrize("topic", sorted(TOPICS))
samples = pytest.mark.parametrize("topic", sorted(SAMPLES))


def sample(topic: str) -> bytes:
    """Return what a journal may hold under a topic."""
    return (GOLDEN / f"{topic}.json").read_bytes()


# golden samples


@samples
def test_a_sample_once_written_stays_what_it_is(topic: str) -> None:
    """Journals out there hold it: it is neither removed nor edited; a new version of an event gets a new sample."""
    assert hashlib.sha256(sample(topic)).hexdigest() == SAMPLES[topic]


def test_every_sample_is_listed() -> None:
    """So that none can vanish unseen."""
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(SAMPLES)


@topics
def test_every_topic_has_a_sample(topic: str) -> None:
    """With every field that has no default, and none that the event does not know."""
    written = json.loads(sample(topic))
    fields = attrs.fields(TOPICS[topic])
    required = {field.name for field in fields if field.default is attrs.NOTHING}
    assert required <= set(written) <= {field.name for field in fields}


@samples
def test_every_sample_loads(topic: str) -> None:
    """As the event of its topic, or by its upcasts as the event that replaced it."""
    event = JsonWire().decode(topic, sample(topic))
    assert type(event) in TOPICS.values()
    assert topic not in TOPICS or type(event) is TOPICS[topic]


@topics
def test_a_sample_is_written_again_as_it_was(topic: str) -> None:
    """The same topic and the same JSON value; a field that was added since may follow with its default."""
    wire = JsonWire()
    written, state = wire.encode(wire.decode(topic, sample(topic)))
    assert written == topic
    assert _known_to(json.loads(sample(topic)), json.loads(state)) == json.loads(sample(topic))


def _known_to(old: Any, new: Any) -> Any:
    """Return the new value without the fields that the old one could not know."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _known_to(old[key], value) for key, value in new.items() if key in old}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_known_to(before, after) for before, after in zip(old, new, strict=True)]
    return new


# topics


@pytest.mark.parametrize("aggregate", sorted(UNIONS))
def test_every_event_of_an_aggregate_has_one_topic(aggregate: str) -> None:
    """Under the aggregate's own name, and no topic is left over."""
    told = [event for topic, event in TOPICS.items() if topic.startswith(f"{aggregate}.")]
    assert sorted(event.__name__ for event in told) == sorted(event.__name__ for event in get_args(UNIONS[aggregate]))
    assert len(set(told)) == len(told)


def test_every_topic_belongs_to_an_aggregate_that_can_be_folded() -> None:
    """The first word of a topic finds the decider."""
    assert {topic.partition(".")[0] for topic in TOPICS} == set(DECIDERS) == set(UNIONS)


@topics
def test_a_topic_names_the_aggregate_the_event_and_the_version_of_its_fields(topic: str) -> None:
    """In one shape, so that subjects, files and SQL can be made of it."""
    assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*\.v[1-9][0-9]*", topic)


def test_reserved_names_are_not_taken() -> None:
    """They are promised to facts that are not written yet."""
    assert not {topic.rpartition(".")[0] for topic in TOPICS} & set(RESERVED)
    assert len(set(RESERVED)) == len(RESERVED)
    assert {name.partition(".")[0] for name in RESERVED} <= set(DECIDERS)


def test_an_upcast_leads_from_an_old_topic_to_a_known_one() -> None:
    """Nothing that is written today is rewritten when read."""
    assert not set(UPCASTS) & set(TOPICS)
    assert {newer for newer, _ in UPCASTS.values()} <= set(TOPICS) | set(UPCASTS)


# reading and writing


def test_an_event_comes_back_as_it_was() -> None:
    """Nested values, instants and absent options included."""
    wire = JsonWire()
    for event in (order_placed(), units_reserved(discount_id="flash"), units_reserved()):
        assert wire.decode(*wire.encode(event)) == event


def test_the_state_of_a_record_is_json_that_an_auditor_can_read() -> None:
    """Amounts are integers, instants are RFC 3339 in UTC."""
    _, state = JsonWire().encode(units_reserved())
    written = json.loads(state)
    assert written["amount_minor"] == 1999
    assert written["until"] == "2026-03-07T20:11:00Z"


def test_upcasts_are_applied_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the oldest version over the next to the one of today."""
    monkeypatch.setitem(
        UPCASTS, "listing.price_cut.v1", ("listing.price_cut.v2", lambda old: {"cents": old["euro"] * 100})
    )
    monkeypatch.setitem(
        UPCASTS, "listing.price_cut.v2", ("listing.price_set.v1", lambda old: {"price_minor": old["cents"]})
    )
    assert JsonWire().decode("listing.price_cut.v1", b'{"euro":19}') == listing_events.PriceSet(1900)


def test_a_field_that_a_newer_livetill_added_is_no_obstacle() -> None:
    """An older program reads on: it does not need what it does not know."""
    state = b'{"price_minor":1900,"reason":"from the future"}'
    assert JsonWire().decode("listing.price_set.v1", state) == listing_events.PriceSet(1900)


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("listing.price_sung.v1", b"{}"),
        ("listing.price_set.v99", b'{"price_minor":1}'),
        ("listing.price_set.v1", b"{}"),
        ("listing.price_set.v1", b'{"price_minor":19.99}'),
        ("listing.price_set.v1", b'{"price_minor":"1999"}'),
        ("listing.price_set.v1", b'{"price_minor":'),
        ("listing.price_set.v1", b""),
        ("listing.listing_withdrawn.v1", b'{"reason":"\xff"}'),
        ("stream.stream_ended.v1", b'{"reason":"boredom","ended_at":"2026-03-07T20:00:00Z"}'),
    ],
)
def test_what_cannot_be_read_is_said_to_be_unreadable(topic: str, state: bytes) -> None:
    """An unknown topic, a missing field, a broken text, and never a float for money; the topic is named."""
    with pytest.raises(UnreadableError, match=re.escape(topic)):
        JsonWire().decode(topic, state)


def test_an_envelope_comes_back_as_it_was() -> None:
    """Who, which command, why."""
    wire = JsonWire()
    envelope = Metadata(
        "host:host-1", "command-1", "place_order", at(60), till="till-1", arrival=7, records=2,
        correlation_id="order-1", causation=41, fingerprint="ab12",
    )  # fmt: skip
    assert wire.decode_metadata(wire.encode_metadata(envelope)) == envelope
    with pytest.raises(UnreadableError, match="envelope"):
        wire.decode_metadata(b'{"actor":"host:host-1"}')
