"""Clocks: the one of the system, and one that stands until it is moved."""

from datetime import UTC, datetime, timedelta


class SystemClock:
    """The time of the machine, in UTC."""

    def now(self) -> datetime:
        """Return the current instant."""
        return datetime.now(UTC)


class ManualClock:
    """A clock for rehearsals and tests: it stands still until it is moved."""

    def __init__(self, instant: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._instant = instant

    def now(self) -> datetime:
        """Return the instant it stands at."""
        return self._instant

    def advance(self, seconds: float) -> datetime:
        """Move it on and return the new instant."""
        self._instant += timedelta(seconds=seconds)
        return self._instant
