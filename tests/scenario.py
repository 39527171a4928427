"""One sentence shape for every test of a rule.

``given(LISTING, *events).when(command).then(*events)``, or ``.refused(SoldOut, available=0)``, or
``.changes_nothing()``. Whatever was decided is folded as well, so ``.leaves({"units.available": 3})`` can follow.
After E. Andreasen's and emmett's ``given/when/then``; a failure shows both sides field by field.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import unified_diff
from operator import attrgetter
from typing import Any, Generic, NoReturn, TypeVar

import attrs

from domain.decider import Decider
from domain.refusal import Refusal

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


def given(decider: Decider[State, Command, Event], *events: Event) -> "Given[State, Command, Event]":
    """Start a sentence with what has already happened."""
    return Given(decider, events)


def told(decider: Decider[State, Command, Event], *commands: Command) -> list[Event]:
    """Return the history that commands make, one after another: for a ``given`` that is long to spell out."""
    history: list[Event] = []
    state = decider.initial
    for command in commands:
        events = decider.decide(state, command)
        state = decider.fold(events, state)
        history += events
    return history


@attrs.frozen
class Given(Generic[State, Command, Event]):
    """A history, waiting for a command."""

    decider: Decider[State, Command, Event]
    history: Sequence[Event]

    def when(self, command: Command) -> "Outcome[State, Event]":
        """Tell the aggregate to do something."""
        state = self.decider.fold(self.history)
        try:
            events = self.decider.decide(state, command)
        except Refusal as refusal:
            return Outcome([], refusal, state)
        return Outcome(events, None, self.decider.fold(events, state))


@attrs.frozen
class Outcome(Generic[State, Event]):
    """What came of a command: events or a refusal, and the state after it."""

    events: Sequence[Event]
    refusal: Refusal | None
    state: State

    def then(self, *events: Event) -> "Outcome[State, Event]":
        """Expect exactly these events, in this order."""
        self._accepted()
        if list(self.events) != list(events):
            _differ("the events differ", [_shown(each) for each in events], [_shown(each) for each in self.events])
        return self

    def changes_nothing(self) -> "Outcome[State, Event]":
        """Expect that it was already true: no event, no refusal."""
        return self.then()

    def refused(self, refusal: type[Refusal], **facts: object) -> "Outcome[State, Event]":
        """Expect a refusal of this kind that carries at least these facts."""
        if self.refusal is None:
            _differ(f"not refused with {refusal.name}", [], [_shown(each) for each in self.events])
        told_facts = {name: getattr(self.refusal, name, "(no such fact)") for name in facts}
        expected, actual = _fields(refusal.__name__, facts), _fields(type(self.refusal).__name__, told_facts)
        if type(self.refusal) is not refusal or told_facts != facts:
            _differ("the refusal differs", [expected], [actual])
        return self

    def leaves(self, facts: Mapping[str, object]) -> "Outcome[State, Event]":
        """Expect facts of the state afterwards, named by their path: ``units.available``."""
        actual = {path: attrgetter(path)(self.state) for path in facts}
        if actual != dict(facts):
            _differ("the state differs", [_fields("state", facts)], [_fields("state", actual)])
        return self

    def gives(self, read: Callable[[State], object], expected: object) -> "Outcome[State, Event]":
        """Expect what a function reads from the state afterwards."""
        if (actual := read(self.state)) != expected:
            _differ("the state answers differently", [repr(expected)], [repr(actual)])
        return self

    def _accepted(self) -> None:
        if self.refusal is not None:
            raise AssertionError(f"refused: {self.refusal!r}") from self.refusal


def _shown(event: Any) -> str:
    fields = {field.name: getattr(event, field.name) for field in attrs.fields(type(event))}
    return _fields(type(event).__name__, fields)


def _fields(name: str, fields: Mapping[str, object]) -> str:
    lines = [f"    {field}={fields[field]!r}," for field in fields]
    return "\n".join([f"{name}(", *lines, ")"]) if lines else f"{name}()"


def _differ(what: str, expected: Sequence[str], actual: Sequence[str]) -> NoReturn:
    left, right = ("\n".join(side or ["(nothing)"]).splitlines() for side in (expected, actual))
    diff = "\n".join(unified_diff(left, right, "expected", "actual", lineterm="", n=20))
    raise AssertionError(f"{what}\n{diff}")
