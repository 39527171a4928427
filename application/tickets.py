"""What goes into the till and what comes out of it: a ticket a command, a verdict a ticket."""

from datetime import datetime
from typing import Any, Protocol

from attrs import field

from domain.refusal import Refusal, refusal
from domain.values import frozen


class Command(Protocol):
    """Something the shop can be asked to do."""

    @property
    def target(self) -> str:
        """The history the answer is about."""

    @property
    def touches(self) -> tuple[str, ...]:
        """The histories known from the start to be looked at; more may turn up on the way."""

    @property
    def creates(self) -> tuple[str, ...]:
        """Histories with fresh ids: taken to be empty without looking, which the append verifies."""


@frozen
class Ticket:
    """A command with who asked, when and why."""

    command: Command
    actor: str
    command_id: str
    """Unique for what is to happen once: made from the principal and its idempotency key, or random."""
    ingress_at: datetime
    """The ``now`` it is judged by."""
    keyed: bool = False
    """Whether the client may ask again and must then get the first answer."""
    fingerprint: str = ""
    correlation_id: str = ""
    causation: int | None = None
    if_match: tuple[int, ...] | None = None
    """The version of the target that the client saw; refused when it has moved since."""


@frozen
class Verdict:
    """The till's answer to one ticket; what it says is durable."""

    events: tuple[tuple[str, Any], ...]
    """What happened, as pairs of history id and event."""
    position: int
    """The journal's position from which on the answer holds."""
    state: Any = None
    """The target after the command."""
    version: int = 0
    refusal: Refusal | None = None
    replayed: bool = field(default=False, kw_only=True)
    """Whether this is the first answer given again."""


@refusal
class IdempotencyConflict(Refusal):
    """The key was used before for another request; use a new one."""


@refusal
class StaleVersion(Refusal):
    """The thing has changed since the client read it; read again, then decide."""

    seen: int
    now: int


class OverloadedError(Exception):
    """The till has more work than it can do in time; try again in ``retry_after`` seconds."""

    def __init__(self, retry_after: int = 1) -> None:
        """Say when to come again."""
        super().__init__(f"the till is overloaded, try again in {retry_after} s")
        self.retry_after = retry_after
