"""A host's presence: in which show a host is on air, so that it is never in two.

A rule between shows needs a history of its own: the claim and what puts the host on air are one append, and two shows
that want a host at once meet on the claim's version.
"""

from typing import Final

from domain.decider import Decider
from domain.ids import StreamId
from domain.refusal import Refusal, refusal
from domain.values import frozen


@frozen
class GoOnAir:
    """Claim the host for a show."""

    stream_id: StreamId


@frozen
class GoOffAir:
    """Give the claim of a show up."""

    stream_id: StreamId


Command = GoOnAir | GoOffAir


@frozen
class HostWentOnAir:
    """The host is in this show."""

    stream_id: StreamId


@frozen
class HostWentOffAir:
    """The host left this show."""

    stream_id: StreamId


Event = HostWentOnAir | HostWentOffAir


@frozen
class Presence:
    """The show the host is in, if any."""

    stream_id: StreamId | None = None


@refusal
class HostIsLiveElsewhere(Refusal):
    """A host is live in one show at a time."""

    stream_id: str


def decide(state: Presence, command: Command) -> list[Event]:
    """Return what a claim means for a host."""
    match command:
        case GoOnAir(stream_id) if state.stream_id is None:
            return [HostWentOnAir(stream_id)]
        case GoOnAir(stream_id) if state.stream_id != stream_id:
            raise HostIsLiveElsewhere(state.stream_id or "")
        case GoOffAir(stream_id) if state.stream_id == stream_id:
            return [HostWentOffAir(stream_id)]
        case _:
            return []


def evolve(_state: Presence, event: Event) -> Presence:
    """Return the host's presence after an event."""
    match event:
        case HostWentOnAir(stream_id):
            return Presence(stream_id)
        case HostWentOffAir():
            return Presence()


PRESENCE: Final = Decider[Presence, Command, Event](Presence(), decide, evolve)
