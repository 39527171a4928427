"""A host is live in one show at a time."""

from domain.presence import PRESENCE, Event, GoOffAir, GoOnAir, HostIsLiveElsewhere, HostWentOffAir, HostWentOnAir
from tests.scenario import given


def test_a_host_who_is_free_goes_on_air() -> None:
    """The first claim is granted, and granted again when repeated."""
    given(PRESENCE).when(GoOnAir("stream-1")).then(HostWentOnAir("stream-1"))
    given(PRESENCE, HostWentOnAir("stream-1")).when(GoOnAir("stream-1")).changes_nothing()


def test_a_host_is_not_live_in_two_shows() -> None:
    """The second show is told in which one the host is."""
    given(PRESENCE, HostWentOnAir("stream-1")).when(GoOnAir("stream-2")).refused(
        HostIsLiveElsewhere, stream_id="stream-1"
    )


def test_a_host_who_left_one_show_may_start_another() -> None:
    """Going off air frees the host, once."""
    given(PRESENCE, HostWentOnAir("stream-1")).when(GoOffAir("stream-1")).then(HostWentOffAir("stream-1"))
    left: list[Event] = [HostWentOnAir("stream-1"), HostWentOffAir("stream-1")]
    given(PRESENCE, *left).when(GoOffAir("stream-1")).changes_nothing()
    given(PRESENCE, *left).when(GoOnAir("stream-2")).then(HostWentOnAir("stream-2"))


def test_the_end_of_an_old_show_does_not_take_the_host_off_the_new_one() -> None:
    """A late message about another show changes nothing."""
    given(PRESENCE, HostWentOnAir("stream-2")).when(GoOffAir("stream-1")).changes_nothing()
