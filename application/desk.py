"""The desk a command is rung up on: the states it sees, and what it decides.

A command works on its own desk above the states that the commands before it in the batch have left. Nothing reaches
them until the command is through, so a refused one leaves no trace. The desk remembers every history it looked at:
the append will demand that none of them has moved, so a refusal is as true at its position as a sale.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from attrs import define, field

from domain.aggregates import DECIDERS
from domain.decider import Decider
from domain.ids import kind_of
from domain.listing.state import Listing
from domain.order.state import Order
from domain.refusal import NotFound, Refusal
from domain.stream.state import Status, Stream
from domain.values import frozen


@frozen
class Versioned:
    """A state and how many records it is made of."""

    state: Any
    version: int


class NotLoadedError(Exception):
    """The desk needs histories that are not in memory; load them and ring the command up again."""

    def __init__(self, history_ids: Iterable[str]) -> None:
        """Name them."""
        super().__init__()
        self.history_ids = tuple(history_ids)


def decider_of(history_id: str) -> Decider[Any, Any, Any]:
    """Return the rules of a history's aggregate."""
    return DECIDERS[kind_of(history_id)]


@define
class Desk:
    """One command's working states."""

    find: Callable[[str], Versioned | None]
    now: datetime
    arrival: int = 0
    events: list[tuple[str, int, Any]] = field(factory=list)
    """What was decided: history id, version, event."""
    changed: dict[str, Versioned] = field(factory=dict)
    read: dict[str, int] = field(factory=dict)
    """Every history looked at, with the version it was judged on."""

    def versioned(self, history_id: str) -> Versioned:
        """Return a history's state and version as this command sees it."""
        found = self.changed.get(history_id)
        if found is None:
            found = self.find(history_id)
            if found is None:
                raise NotLoadedError([history_id])
            self.read[history_id] = found.version
        return found

    def need(self, history_ids: Iterable[str]) -> None:
        """Ask for several histories at once, so that they are loaded in one query."""
        missing = [each for each in history_ids if each not in self.changed and self.find(each) is None]
        if missing:
            raise NotLoadedError(missing)

    def stream(self, stream_id: str) -> Stream:
        """Return a stream; ``NotFound`` when there is none."""
        state = self.versioned(stream_id).state
        if not isinstance(state, Stream) or state.status is Status.UNKNOWN:
            raise NotFound("stream", stream_id)
        return state

    def listing(self, listing_id: str) -> Listing:
        """Return a listing; ``NotFound`` when there is none."""
        state = self.versioned(listing_id).state
        if not isinstance(state, Listing) or not state.exists:
            raise NotFound("listing", listing_id)
        return state

    def order(self, order_id: str) -> Order:
        """Return an order, be it a refused one; ``NotFound`` when there is none."""
        versioned = self.versioned(order_id)
        if not isinstance(versioned.state, Order) or not versioned.version:
            raise NotFound("order", order_id)
        return versioned.state

    def tell(self, history_id: str, command: Any) -> list[Any]:
        """Let an aggregate decide, and go on with what it decided; its refusals are told whose they are."""
        decider, before = decider_of(history_id), self.versioned(history_id)
        try:
            events = decider.decide(before.state, command)
        except Refusal as refused:
            raise _named(refused, history_id) from None
        state, version = before.state, before.version
        for event in events:
            state, version = decider.evolve(state, event), version + 1
            self.events.append((history_id, version, event))
        if events:
            self.changed[history_id] = Versioned(state, version)
        return events

    def attempt(self) -> "Desk":
        """Return a desk on top of this one, for something that may be refused without the command failing."""
        return Desk(self.versioned, self.now, self.arrival)

    def adopt(self, desk: "Desk") -> None:
        """Take over what an attempt decided."""
        self.events += desk.events
        self.changed |= desk.changed


def _named(refused: Refusal, history_id: str) -> Refusal:
    """Fill in the id that an aggregate does not know of itself."""
    for name in ("listing_id", "id"):
        if getattr(refused, name, None) == "":
            setattr(refused, name, history_id)
    return refused
