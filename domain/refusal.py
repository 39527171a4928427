"""The shop says no, politely and with facts.

A refusal is an answer, not a fault: it names a rule and carries what a client needs in order to react. Its name is
part of the public interface (``SoldOut`` is ``sold_out`` in the API and in the journal), so it can be recorded and
given again word for word. A machine that broke raises an ``…Error`` instead.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, TypeVar

import attrs


def snake_case(cls: type) -> str:
    """Return the public name of a class: ``PlaceOrder`` is ``place_order``."""
    return _snake_case(cls.__name__)


@cache
def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A command is not allowed; the attributes are the facts."""

    known: ClassVar[dict[str, type["Refusal"]]] = {}
    name: ClassVar[str]

    def __init_subclass__(cls, name: str = "") -> None:
        """Register the refusal under its public name: its own in snake case unless told."""
        cls.name = name or snake_case(cls)
        Refusal.known[cls.name] = cls

    @property
    def facts(self) -> dict[str, Any]:
        """What the client is told besides the name, as plain as the journal keeps it."""
        facts = attrs.asdict(self)  # type: ignore[arg-type]  # every refusal is an attrs class
        return {name: _plain(fact) for name, fact in facts.items()}

    @staticmethod
    def recall(name: str, facts: Mapping[str, Any]) -> "Refusal":
        """Rebuild a recorded refusal, so that a repeated command gets its first answer."""
        cls = Refusal.known[name]
        return cls(**{name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()})


def _plain(fact: object) -> object:
    """Write instants as RFC 3339, so that a recorded refusal and a fresh one read the same."""
    if isinstance(fact, datetime):
        return fact.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(fact) if isinstance(fact, str) else fact


R = TypeVar("R", bound=type[Refusal])


def refusal(cls: R) -> R:
    """Make a refusal out of a class body that lists its facts."""
    return attrs.define(cls, auto_exc=True, slots=False)


@refusal
class NotFound(Refusal):
    """There is no such thing."""

    what: str
    id: str


@refusal
class AlreadyExists(Refusal):
    """An id can be given to one thing only."""

    what: str
    id: str


@refusal
class Invalid(Refusal):
    """A value that no state of the shop would accept; ``problem`` says what to send instead."""

    field: str
    problem: str


@refusal
class NotAllowedNow(Refusal):
    """The thing exists, but where it stands does not allow this."""

    action: str
    status: str
