"""What can be asked of a show that takes more than the show."""

from application.commands import EndStream, PinListing, StartStream
from application.desk import Desk
from domain.ids import HostId, StreamId, presence_id
from domain.presence import GoOffAir, GoOnAir, Presence
from domain.refusal import NotFound
from domain.stream import commands as stream
from domain.stream.state import Stream


def tell(desk: Desk, stream_id: StreamId, command: stream.Command) -> None:
    """Tell a show something; whoever that brings on air is claimed, whoever it takes off air is let go.

    Everything that a show is told comes by here, so in whatever way it ends, it keeps nobody.
    """
    before = _presenters(desk, stream_id)
    desk.tell(stream_id, command)
    after = _presenters(desk, stream_id)
    for host_id in before:
        if host_id not in after:
            desk.tell(presence_id(host_id), GoOffAir(stream_id))
    for host_id in after:
        if host_id not in before:
            _claim(desk, host_id, stream_id)


def _presenters(desk: Desk, stream_id: StreamId) -> tuple[HostId, ...]:
    show: Stream = desk.versioned(stream_id).state
    return show.presenters


def _claim(desk: Desk, host_id: HostId, stream_id: StreamId) -> None:
    """Claim a host, if no other show has it; a claim that outlived its show, as early journals have them, is none."""
    presence: Presence = desk.versioned(presence_id(host_id)).state
    claimed_by = presence.stream_id
    if claimed_by is not None and host_id not in _presenters(desk, claimed_by):
        desk.tell(presence_id(host_id), GoOffAir(claimed_by))
    desk.tell(presence_id(host_id), GoOnAir(stream_id))


def start(desk: Desk, command: StartStream) -> None:
    """Put a show on air, if its host is not in another; one that comes back needs whoever was on air, too."""
    told = stream.RestartStream(desk.now) if command.restart else stream.StartStream(desk.now)
    tell(desk, command.target, told)


def end(desk: Desk, command: EndStream) -> None:
    """Take a show off air; its windows close by a reaction, and no order is taken from this append on."""
    tell(desk, command.target, stream.EndStream(command.reason, desk.now))


def pin(desk: Desk, command: PinListing) -> None:
    """Pin a listing of this show that is not withdrawn."""
    desk.stream(command.target)
    listing = desk.listing(command.listing_id)
    if listing.offer.stream_id != command.target or listing.offer.withdrawn:
        raise NotFound("listing", command.listing_id)
    tell(desk, command.target, stream.PinListing(command.listing_id))
