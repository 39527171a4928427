"""What can be asked of a show that takes more than the show."""

from application.commands import EndStream, PinListing, StartStream
from application.desk import Desk
from domain.ids import presence_id
from domain.presence import GoOffAir, GoOnAir
from domain.refusal import NotFound
from domain.stream import commands as stream


def start(desk: Desk, command: StartStream) -> None:
    """Put a show on air, if its host is not in another."""
    show = desk.stream(command.target)
    told = stream.RestartStream(desk.now) if command.restart else stream.StartStream(desk.now)
    if desk.tell(command.target, told):
        desk.tell(presence_id(show.host_id), GoOnAir(command.target))


def end(desk: Desk, command: EndStream) -> None:
    """Take a show off air; its windows close by a reaction, and no order is taken from this append on."""
    show = desk.stream(command.target)
    if desk.tell(command.target, stream.EndStream(command.reason, desk.now)):
        desk.tell(presence_id(show.host_id), GoOffAir(command.target))


def pin(desk: Desk, command: PinListing) -> None:
    """Pin a listing of this show that is not withdrawn."""
    desk.stream(command.target)
    listing = desk.listing(command.listing_id)
    if listing.offer.stream_id != command.target or listing.offer.withdrawn:
        raise NotFound("listing", command.listing_id)
    desk.tell(command.target, stream.PinListing(command.listing_id))
