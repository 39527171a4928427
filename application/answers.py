"""Who is told what: each ticket its verdict, once, and a repeated key the verdict that was given first."""

import asyncio
from collections.abc import Iterable, Sequence

from attrs import define, evolve

from application.cache import Cache
from application.histories import Histories
from application.ports import Journal, Wire
from application.ringing import Arrival, Rung, recorded_refusal
from application.tickets import IdempotencyConflict, Ticket, Verdict
from domain.ids import kind_of


@define
class TillCounts:
    """What the till has done since it was opened, for metrics."""

    accepted: int = 0
    refused: int = 0
    replayed: int = 0
    failures: int = 0
    batches: int = 0
    records: int = 0
    conflicts: int = 0
    unknown: int = 0
    outages: int = 0
    append_seconds: float = 0.0


class Answers:
    """The tickets that wait for their verdict, and the keys that were answered here not long ago."""

    def __init__(self, journal: Journal, wire: Wire, histories: Histories, counts: TillCounts, limit: int) -> None:
        """Start with nobody waiting."""
        self._journal, self._wire, self._histories, self._counts = journal, wire, histories, counts
        self._waiting: dict[str, Arrival] = {}
        self._answered: Cache[bool] = Cache(limit)

    def __contains__(self, command_id: str) -> bool:
        """Tell whether a command waits here, or was answered here."""
        return command_id in self._waiting or command_id in self._answered

    def expect(self, arrival: Arrival) -> "asyncio.Future[Verdict]":
        """Note that somebody waits for a verdict; the future brings it."""
        self._waiting[arrival.ticket.command_id] = arrival
        return arrival.waiter()

    async def first(self, ticket: Ticket) -> Verdict | None:
        """Give the answer to a key that waits or was answered here; others are found out by the append."""
        first = self._waiting.get(ticket.command_id)
        if first is None:
            return await self.recall(ticket)
        verdict = await first.waiter()
        same = first.ticket.fingerprint == ticket.fingerprint
        return evolve(verdict, replayed=True) if same else _conflicting(verdict.position)

    async def recall(self, ticket: Ticket) -> Verdict | None:
        """Give the first answer of a command that the journal holds; None when it holds none."""
        records = await self._journal.of_commands([ticket.command_id])
        if not records:
            return None
        self._counts.replayed += 1
        position = records[-1].position
        if self._wire.decode_metadata(records[0].metadata).fingerprint != ticket.fingerprint:
            return _conflicting(position)
        events = tuple((record.history_id, self._wire.decode(record.topic, record.state)) for record in records)
        kind = kind_of(ticket.command.target)
        told = next((record for record in reversed(records) if kind_of(record.history_id) == kind), records[-1])
        target = await self._histories.at_version(self._journal, told.history_id, told.version)
        return Verdict(events, position, target.state, target.version, recorded_refusal(events), replayed=True)

    async def give_first_answers(self, arrivals: Iterable[Arrival]) -> None:
        """Answer the commands that the journal already holds."""
        asked = {arrival.ticket.command_id: arrival for arrival in arrivals}
        records = await self._journal.of_commands(asked) if asked else ()
        for command_id in dict.fromkeys(record.command_id for record in records if record.command_id):
            if (verdict := await self.recall(asked[command_id].ticket)) is not None:
                self.give(asked[command_id], verdict)

    async def give_repeated(self, decided: Sequence[Rung]) -> None:
        """Give their first answer to keys whose command had nothing left to do, because it was done before.

        Commands that write are found out by the append; these wrote nothing, so the journal is asked.
        """
        await self.give_first_answers([each.arrival for each in decided if each.is_silent])

    def give(self, arrival: Arrival, verdict: Verdict) -> None:
        """Tell a verdict."""
        if verdict.refusal is None:
            self._counts.accepted += 1
        else:
            self._counts.refused += 1
        ticket = arrival.ticket
        if ticket.keyed and verdict.events:
            self._answered.put(ticket.command_id, value=True)
        self._waiting.pop(ticket.command_id, None)
        arrival.answer(verdict)

    def fail(self, arrivals: Iterable[Arrival], error: Exception) -> None:
        """Tell that there is no verdict."""
        for arrival in arrivals:
            self._counts.failures += 1
            self._waiting.pop(arrival.ticket.command_id, None)
            arrival.fail(error)

    def fail_all(self, error: Exception) -> None:
        """Tell everybody who waits that there will be no verdict."""
        self.fail(list(self._waiting.values()), error)


def _conflicting(position: int) -> Verdict:
    return Verdict((), position, refusal=IdempotencyConflict())
