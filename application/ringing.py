"""Ringing up: from tickets to decisions, and from decisions to one batch. Nothing here waits for anything."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

from application.desk import Desk, NotLoadedError, Versioned
from application.ports import Batch, Draft, Wire
from application.shop import record_refusal, ring_up
from application.tickets import StaleVersion, Ticket, Verdict
from domain.order.events import OrderRefused, RequestRefused
from domain.record import Metadata
from domain.refusal import Refusal, snake_case
from domain.values import frozen

Find = Callable[[str], Versioned | None]


@define(eq=False)
class Arrival:
    """A ticket in the queue, and who waits for its verdict: its caller, and those who asked with its key meanwhile."""

    ticket: Ticket
    number: int
    """Its number among the till's arrivals: who came first."""
    touches: tuple[str, ...]
    answered: bool = False
    _waiting: "list[asyncio.Future[Verdict]]" = field(factory=list)

    def waiter(self) -> "asyncio.Future[Verdict]":
        """Return what one caller may wait for, or cease to wait for, without a word to the others."""
        waiter: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    def answer(self, verdict: Verdict) -> None:
        """Tell the verdict to all who still wait."""
        self.answered = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(verdict)

    def fail(self, error: Exception) -> None:
        """Tell all who still wait that there is none."""
        self.answered = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)


@frozen
class Rung:
    """What came of ringing up one ticket: its desk, and the refusal or the fault if there was one."""

    arrival: Arrival
    desk: Desk
    refusal: Refusal | None = None
    failure: Exception | None = None

    @property
    def is_silent(self) -> bool:
        """Whether a key's command wrote nothing, so that its append does not find out if it was done before."""
        return self.arrival.ticket.keyed and not self.desk.events and self.failure is None


@frozen
class RungBatch:
    """A batch that was rung up: what was decided, the states that leaves, and what is to be written."""

    decided: Sequence[Rung]
    leaves: Mapping[str, Versioned]
    written: Batch

    @property
    def arrivals(self) -> list[Arrival]:
        """The tickets in it, in their order."""
        return [each.arrival for each in self.decided]


def rung(arrival: Arrival, find: Find) -> Rung:
    """Let the shop decide one ticket; ``NotLoadedError`` when it needs histories that ``find`` has not."""
    ticket = arrival.ticket
    desk = Desk(find, ticket.ingress_at, arrival.number)
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
    desk = Desk(find, ticket.ingress_at, arrival.number)
    if ticket.keyed:
        record_refusal(desk, ticket.command, refused)
    desk.read.update(judged.read)
    return Rung(arrival, desk, refused)


def _require_version(desk: Desk, ticket: Ticket) -> None:
    if ticket.if_match is not None:
        now = desk.versioned(ticket.command.target).version
        if now not in ticket.if_match:
            raise StaleVersion(max(ticket.if_match, default=0), now)


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
    envelope = wire.encode_metadata(_metadata(decided.arrival, till, len(events)))
    drafts = []
    command_id: str | None = ticket.command_id
    for history_id, version, event in events:
        topic, state = wire.encode(event)
        drafts.append(Draft(history_id, version, topic, state, envelope, command_id))
        command_id = None
    return drafts


def _metadata(arrival: Arrival, till: str, records: int) -> Metadata:
    ticket = arrival.ticket
    return Metadata(
        actor=ticket.actor,
        command_id=ticket.command_id,
        command=name_of(ticket.command),
        ingress_at=ticket.ingress_at,
        till=till,
        arrival=arrival.number,
        records=records,
        correlation_id=ticket.correlation_id or ticket.command.target,
        causation=ticket.causation,
        fingerprint=ticket.fingerprint,
    )


def name_of(command: Any) -> str:
    """Return a command's name as the journal writes it: ``place_order``."""
    return snake_case(type(getattr(command, "command", command)))


def verdict_of(decided: Rung, position: int, peek: Find) -> Verdict:
    """Return the answer to a ticket whose records end at ``position``; what it left as it was is peeked at."""
    target_id = decided.arrival.ticket.command.target
    target = decided.desk.changed.get(target_id) or peek(target_id)
    events = tuple([(history_id, event) for history_id, _, event in decided.desk.events])
    state, version = (target.state, target.version) if target else (None, 0)
    return Verdict(events, position, state, version, decided.refusal)


def recorded_refusal(events: Iterable[tuple[str, Any]]) -> Refusal | None:
    """Return the refusal that a recorded command ended in, if it did."""
    for _, event in events:
        if isinstance(event, OrderRefused | RequestRefused):
            return Refusal.recall(event.reason, event.facts)
    return None
