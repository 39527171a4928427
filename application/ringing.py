"""Ringing up: from tickets to decisions, and from decisions to one batch. Nothing here waits for anything."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, frozen

from application.desk import Desk, NotLoadedError, Versioned
from application.ports import Batch, Draft, Wire
from application.shop import record_refusal, ring_up
from application.tickets import StaleVersion, Ticket, Verdict
from domain.order.events import OrderRefused, RequestRefused
from domain.record import Metadata
from domain.refusal import Refusal, snake_case

Find = Callable[[str], Versioned | None]


@define(eq=False)
class Arrival:
    """A ticket in the queue, and who waits for its verdict."""

    ticket: Ticket
    answer: "asyncio.Future[Verdict]"


@frozen
class Rung:
    """What came of ringing up one ticket: its desk, and the refusal or the fault if there was one."""

    arrival: Arrival
    desk: Desk
    refusal: Refusal | None = None
    failure: Exception | None = None


def rung(arrival: Arrival, find: Find) -> Rung:
    """Let the shop decide one ticket; ``NotLoadedError`` when it needs histories that ``find`` has not."""
    ticket = arrival.ticket
    desk = Desk(find, ticket.ingress_at, ticket.arrival)
    try:
        _require_version(desk, ticket)
        ring_up(desk, ticket.command)
    except Refusal as refused:
        return _refused(arrival, find, desk, refused)
    except NotLoadedError:
        raise
    except Exception as error:  # noqa: BLE001 - a fault must fail one command, never its whole batch
        return Rung(arrival, Desk(find, ticket.ingress_at), failure=error)
    return Rung(arrival, desk)


def _refused(arrival: Arrival, find: Find, judged: Desk, refused: Refusal) -> Rung:
    """Write a refusal down on a clean desk, which demands that what it was judged on has not moved."""
    ticket = arrival.ticket
    desk = Desk(find, ticket.ingress_at, ticket.arrival)
    if ticket.keyed:
        record_refusal(desk, ticket.command, refused)
    desk.read |= judged.read
    return Rung(arrival, desk, refused)


def _require_version(desk: Desk, ticket: Ticket) -> None:
    if ticket.if_match is not None:
        now = desk.versioned(ticket.command.target).version
        if now != ticket.if_match:
            raise StaleVersion(ticket.if_match, now)


def batch_of(decided: Iterable[Rung], wire: Wire, till: str) -> Batch:
    """Write what was decided as one batch: every history at the version the first to look at it saw."""
    drafts: list[Draft] = []
    expected: dict[str, int] = {}
    for each in decided:
        for history_id, version in each.desk.read.items():
            expected.setdefault(history_id, version)
        if each.desk.events:
            drafts += _drafts(each, wire, till)
    return Batch(drafts, expected)


def _drafts(decided: Rung, wire: Wire, till: str) -> list[Draft]:
    """One envelope for all records of a command; the command id stands on the first."""
    ticket, events = decided.arrival.ticket, decided.desk.events
    envelope = wire.encode_metadata(_metadata(ticket, till, len(events)))
    drafts = []
    command_id: str | None = ticket.command_id
    for history_id, version, event in events:
        topic, state = wire.encode(event)
        drafts.append(Draft(history_id, version, topic, state, envelope, command_id))
        command_id = None
    return drafts


def _metadata(ticket: Ticket, till: str, records: int) -> Metadata:
    return Metadata(
        actor=ticket.actor,
        command_id=ticket.command_id,
        command=name_of(ticket.command),
        ingress_at=ticket.ingress_at,
        till=till,
        arrival=ticket.arrival,
        records=records,
        correlation_id=ticket.correlation_id or ticket.command.target,
        causation=ticket.causation,
        fingerprint=ticket.fingerprint,
    )


def name_of(command: Any) -> str:
    """Return a command's name as the journal writes it: ``place_order``."""
    return snake_case(type(getattr(command, "command", command)))


def verdict_of(decided: Rung, position: int, known: Versioned | None) -> Verdict:
    """Return the answer to a ticket whose records end at ``position``."""
    target = decided.desk.changed.get(decided.arrival.ticket.command.target) or known
    events = tuple((history_id, event) for history_id, _, event in decided.desk.events)
    state, version = (target.state, target.version) if target else (None, 0)
    return Verdict(events, position, state, version, decided.refusal)


def recorded_refusal(events: Iterable[tuple[str, Any]]) -> Refusal | None:
    """Return the refusal that a recorded command ended in, if it did."""
    for _, event in events:
        if isinstance(event, OrderRefused | RequestRefused):
            return Refusal.recall(event.reason, event.facts)
    return None
