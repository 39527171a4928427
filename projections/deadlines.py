"""Deadlines: what falls due when, for the timers that make it visible.

A deadline guards nothing: decisions are made by the recorded times. It says when somebody should send the command
that writes down what time has already decided, and it is gone once that is written.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any

from attrs import define

from domain.listing import events as li
from domain.order import events as o
from domain.stream import events as s
from projections.projection import DROPPED, Fact, Fate, Handler, Projection, change, drop, put
from projections.tables import Key, Table


class Due(StrEnum):
    """What is to be done when the time has come."""

    EXPIRE_ORDER = "expire_order"
    ANNOUNCE_WINDOW = "announce_window"
    CLOSE_RETURN_WINDOW = "close_return_window"
    END_INTERRUPTED_STREAM = "end_interrupted_stream"


@define
class DeadlineRow:
    """Something that is due, once for each history and kind."""

    history_id: str
    kind: str
    due_at: datetime
    number: int = 0
    """Of the window, when it is one."""
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    """When the window closes, if that is planned: what is due after it has opened."""
    position: int = 0


DEADLINES = Table("deadlines", DeadlineRow, key=("history_id", "kind"), indexes=(("due_at", "history_id", "kind"),))


def _key_of(kind: Due) -> Any:
    name = kind.value
    return lambda record, _: (record.history_id, name)


def _begins(kind: Due, moment: str) -> Handler:
    """Handle an event that says in a field of its own when something is due."""
    name, due_at = kind.value, attrgetter(moment)

    def start(_: Key, record: Fact, event: Any) -> DeadlineRow:
        return DeadlineRow(record.history_id, name, due_at(event))

    return put(DEADLINES, start, _key_of(kind))


def _ends(kind: Due) -> Handler:
    return drop(DEADLINES, _key_of(kind))


def _window(step: Any) -> Handler:
    return change(DEADLINES, step, _key_of(Due.ANNOUNCE_WINDOW))


def _planned(_: Key, record: Fact, event: li.WindowScheduled) -> DeadlineRow:
    due_at = event.opens_at - timedelta(seconds=event.countdown_seconds)
    return DeadlineRow(
        record.history_id, Due.ANNOUNCE_WINDOW.value, due_at, event.number, event.opens_at, event.closes_at
    )


def _counting_down(row: DeadlineRow, _: Fact, event: li.CountdownStarted) -> None:
    row.due_at = event.opens_at


def _opened(row: DeadlineRow, _: Fact, __: Any) -> Fate | None:
    """Wait for its end; one without an end is closed by hand or with the show."""
    if row.closes_at is None:
        return DROPPED
    row.due_at = row.closes_at
    return None


def _extended(row: DeadlineRow, _: Fact, event: li.WindowExtended) -> None:
    if row.due_at == row.closes_at:
        row.due_at = event.closes_at
    row.closes_at = event.closes_at


PROJECTION = Projection(
    "deadlines",
    (DEADLINES,),
    {
        o.OrderPlaced: _begins(Due.EXPIRE_ORDER, "hold_expires_at"),
        o.PaymentCaptured: _ends(Due.EXPIRE_ORDER),
        o.OrderExpired: _ends(Due.EXPIRE_ORDER),
        o.OrderCancelled: _ends(Due.EXPIRE_ORDER),
        o.OrderDelivered: _begins(Due.CLOSE_RETURN_WINDOW, "return_window_ends_at"),
        o.OrderCompleted: _ends(Due.CLOSE_RETURN_WINDOW),
        li.WindowScheduled: put(DEADLINES, _planned, _key_of(Due.ANNOUNCE_WINDOW)),
        li.CountdownStarted: _window(_counting_down),
        li.WindowOpened: _window(_opened),
        li.WindowExtended: _window(_extended),
        li.WindowClosed: _ends(Due.ANNOUNCE_WINDOW),
        s.StreamInterrupted: _begins(Due.END_INTERRUPTED_STREAM, "until"),
        s.StreamResumed: _ends(Due.END_INTERRUPTED_STREAM),
        s.StreamRestarted: _ends(Due.END_INTERRUPTED_STREAM),
        s.StreamEnded: _ends(Due.END_INTERRUPTED_STREAM),
    },
)
