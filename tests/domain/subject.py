"""What is true of every aggregate, whatever it is told: checked at each step of the random walks over it.

A ``Subject`` is one aggregate instance with its history. Telling it something checks that

- its events go through the wire and come back the same,
- the state kept event by event is the fold of the history from the beginning,
- the same command again adds nothing, at once and for those with an id of their own for ever.
"""

from typing import Any, Final, Generic, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from adapters.wire import JsonWire
from domain.decider import Decider
from domain.refusal import Refusal

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")

QUICK: Final = settings(
    max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
"""For every run of the suite: all of it within seconds."""

THOROUGH: Final = settings(QUICK, max_examples=1000, stateful_step_count=100)
"""For ``make test-slow``."""

settings.register_profile("thorough", THOROUGH)

depths: Final = pytest.mark.parametrize(
    "depth",
    [
        pytest.param(QUICK, id="quick"),
        pytest.param(THOROUGH, id="thorough", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
"""Runs a random walk twice: shortly each time, and at length when there is time."""

_WIRE: Final = JsonWire()


class Subject(Generic[State, Command, Event]):
    """One aggregate on a random walk."""

    def __init__(self, decider: Decider[State, Command, Event]) -> None:
        self._decider = decider
        self.state = decider.initial
        self.history: list[Event] = []
        self.done: list[Command] = []
        """Accepted commands that carry an id of their own."""

    def tell(self, command: Command, *, named: bool = False, twice: bool = True) -> list[Event]:
        """Return what came of a command, nothing when it was refused.

        ``named``: it has an id of its own. ``twice=False``: only its envelope tells a repetition from a second one.
        """
        events = self.judged(command)
        for event in events:
            self.state = self._decider.evolve(self.state, event)
            topic, written = _WIRE.encode(event)
            assert _WIRE.decode(topic, written) == event
        self.history += events
        if events and named:
            self.done.append(command)
        if events and twice:
            self.repeat(command)
        return events

    def judged(self, command: Command) -> list[Event]:
        """Return what a command would mean now; a refusal means nothing."""
        try:
            return self._decider.decide(self.state, command)
        except Refusal as refusal:
            _recalled(refusal)
            return []

    def repeat(self, command: Command) -> None:
        """Expect that a command that was done is done."""
        again = self.judged(command)
        assert not again, f"said twice, done twice: {command} added {again}"

    def repeat_all(self) -> None:
        """Expect that nothing with an id of its own is ever done again."""
        for command in self.done:
            self.repeat(command)

    def holds(self) -> None:
        """Expect that the state is the fold of the history."""
        assert self._decider.fold(self.history) == self.state

    def of(self, *kinds: type[Any]) -> list[Any]:
        """Return the events of some kinds."""
        return [event for event in self.history if isinstance(event, kinds)]


def _recalled(refusal: Refusal) -> None:
    """Expect that a refusal can be recorded and given again."""
    again = Refusal.recall(refusal.name, refusal.facts)
    assert (type(again), again.facts) == (type(refusal), refusal.facts)
