"""What can be asked of a listing that takes more than the listing."""

from datetime import timedelta

from application.commands import CloseWindow, CreateListing, OpenWindow, Period
from application.desk import Desk
from domain.ids import StreamId
from domain.listing import commands as listing
from domain.refusal import Invalid, NotAllowedNow
from domain.stream.state import Status, Stream


def create(desk: Desk, command: CreateListing) -> None:
    """Offer a product in a show that is still to end, in the show's currency."""
    show = _show_to_come(desk, command.listing.stream_id, "create_listing")
    if command.listing.currency != show.currency:
        raise Invalid("price.currency", f"must be {show.currency}, the currency of the show")
    _require_components(desk, command.listing)
    desk.tell(command.target, command.listing)
    if command.discount is not None:
        desk.tell(command.target, listing.ScheduleDiscount(command.discount))
    if command.period is not None:
        _schedule(desk, command.target, command.period)


def _show_to_come(desk: Desk, stream_id: StreamId, action: str) -> Stream:
    """Return a show that is still to end. Having been looked at, it may not end in the same moment either."""
    show = desk.stream(stream_id)
    if show.status in (Status.ENDED, Status.CANCELLED):
        raise NotAllowedNow(action, show.status)
    return show


def _require_components(desk: Desk, command: listing.CreateListing) -> None:
    for component in command.components:
        part = desk.listing(component.listing_id)
        if part.offer.stream_id != command.stream_id or part.offer.components:
            raise Invalid("components", "must be listings of the same show, and no looks themselves")


def open_window(desk: Desk, command: OpenWindow) -> None:
    """Open the listing's window now, or start its countdown, in a show that is still to end."""
    _show_to_come(desk, desk.listing(command.target).offer.stream_id, "open_window")
    opens_at = desk.now + timedelta(seconds=command.countdown_seconds)
    _schedule(desk, command.target, Period(opens_at, command.closes_at, command.countdown_seconds))


def _schedule(desk: Desk, listing_id: str, period: Period) -> None:
    planned = listing.ScheduleWindow(period.opens_at, period.closes_at, period.countdown_seconds, desk.now)
    desk.tell(listing_id, planned)


def close_window(desk: Desk, command: CloseWindow) -> None:
    """Close the listing's window; in the name of the show's end only when the show has ended or was called off."""
    offer = desk.listing(command.target).offer
    if not command.because_stream_ended:
        desk.tell(command.target, listing.CloseWindow("host", desk.now))
    elif not desk.stream(offer.stream_id).sells(desk.now):
        desk.tell(command.target, listing.CloseWindow("stream_ended", desk.now))
