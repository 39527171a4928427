"""An event with its envelope: what the journal holds and everybody else reads."""

from datetime import datetime

from domain.values import frozen


@frozen
class Record:
    """An event as the journal holds it, with its envelope."""

    position: int
    """Its place in the journal: 1, 2, 3 … without gaps, in commit order."""
    history_id: str
    version: int
    """Its place in its history: 1, 2, 3 …"""
    topic: str
    """The stored name of the event and its version: ``listing.units_reserved.v1``."""
    state: bytes
    """The event itself, as JSON."""
    recorded_at: datetime
    """When it was appended, UTC; never earlier than the record before."""
    metadata: bytes
    """Who, which command, why: JSON of ``Metadata``."""
    command_id: str | None = None
    """On the first record of each command only; unique in the journal."""


@frozen
class Metadata:
    """Why a record exists; the same for all records of one command."""

    actor: str
    """``role:subject`` of the principal, or ``reaction:name``."""
    command_id: str
    command: str
    """The command's name, such as ``place_order``."""
    ingress_at: datetime
    """When the command reached the till: the ``now`` it was judged by."""
    till: str = ""
    """Which till rang it up."""
    arrival: int = 0
    """Its number among that till's arrivals: who came first."""
    records: int = 1
    """How many records the command made; their positions follow each other."""
    correlation_id: str = ""
    """What belongs together over commands: an order's id, a stream's."""
    causation: int | None = None
    """The position of the record that this reacts to; always smaller than its own."""
    fingerprint: str = ""
    """SHA-256 of the request, to tell a repeated key from a reused one."""


class UnreadableError(Exception):
    """A stored record that this version of livetill cannot read."""
