"""The whole theory of an aggregate on one page.

An aggregate is three things: the state it starts from, ``decide`` (what a command means, given the state) and
``evolve`` (what an event changes). A history is the events ever decided; its state is their fold. ``decide`` may
refuse, ``evolve`` may not: a fact has already happened. See J. Chassaing, "Functional Event Sourcing Decider" (2021).
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from domain.values import frozen

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


@frozen
class Decider(Generic[State, Command, Event]):
    """One aggregate's rules: pure functions and the state before the first event."""

    initial: State
    decide: Callable[[State, Command], list[Event]]
    evolve: Callable[[State, Event], State]

    def fold(self, events: Iterable[Event], state: State | None = None) -> State:
        """Return the state after ``events``, from ``state`` or from the beginning."""
        current = self.initial if state is None else state
        for event in events:
            current = self.evolve(current, event)
        return current
