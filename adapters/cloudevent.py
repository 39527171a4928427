"""A record as a CloudEvent 1.0 in JSON (structured mode): what other systems receive.

``id`` is the position, so a consumer sees a hole and knows a repetition. ``data`` is the event as the journal holds it,
byte for byte. Extension attributes have lower-case names, as the specification asks: ``position``, ``historyversion``,
``correlationid`` and ``causationposition``, the last two only where there is something to say.

A record that is too large for a message goes without ``data``. It says in ``dataref``, the specification's extension of
that name, where the API gives it out.
"""

from typing import Any

from msgspec import Raw, json

from domain.record import Metadata, Record
from domain.values import frozen

CONTENT_TYPE = "application/cloudevents+json"
SUBJECTS = "livetill.*.*.*"
"""All subjects of records: ``livetill.<aggregate>.<event>.<history>``."""


@frozen
class CloudEvent:
    """A message, ready to be sent."""

    position: int
    subject: str
    body: bytes


def cloud_event(record: Record, metadata: Metadata, source: str) -> CloudEvent:
    """Write a record as a CloudEvent; ``source`` names the journal among journals."""
    attributes: dict[str, object] = {
        "specversion": "1.0",
        "id": str(record.position),
        "source": source,
        "type": record.topic,
        "subject": record.history_id,
        "time": record.recorded_at,
        "datacontenttype": "application/json",
        "position": record.position,
        "historyversion": record.version,
    }
    if metadata.correlation_id:
        attributes["correlationid"] = metadata.correlation_id
    if metadata.causation is not None:
        attributes["causationposition"] = metadata.causation
    attributes["data"] = Raw(record.state)
    return CloudEvent(record.position, subject_of(record), json.encode(attributes))


def by_reference(event: CloudEvent) -> CloudEvent:
    """Return an event that says where its data is to be read, instead of the data."""
    attributes: dict[str, Any] = json.decode(event.body)
    del attributes["data"]
    attributes["dataref"] = f"/v1/journal?after={event.position - 1}&limit=1"
    return CloudEvent(event.position, event.subject, json.encode(attributes))


def subject_of(record: Record) -> str:
    """Return where a record is published: ``livetill.listing.units_reserved.listing-01j…``, without the version."""
    aggregate, event, *_ = record.topic.split(".")
    return f"livetill.{aggregate}.{event}.{record.history_id}"


def is_of(body: bytes, record: Record, source: str) -> bool:
    """Tell whether a message was made of this very record, whatever version of livetill wrote it."""
    try:
        found = json.decode(body)
        expected = json.decode(json.encode(record.recorded_at))
        said = (found["source"], found["id"], found["type"], found["subject"], found["time"])
    except (ValueError, KeyError, TypeError):
        return False
    return said == (source, str(record.position), record.topic, record.history_id, expected)
