"""Whether a server outside is there, said once when it is not and once when it is again."""

import logging

log = logging.getLogger(__name__)


class Link:
    """What is known of a server by those who talk to it."""

    connected = False

    def __init__(self, away: str, there: str, *, level: int = logging.WARNING) -> None:
        """Begin with nothing known; ``level`` is that of what is said: of several links one is enough to say it."""
        self._away, self._there, self._level = away, there, level
        self._missed = False

    def made(self) -> None:
        """Note that it is there."""
        if self._missed:
            log.log(self._level, "%s", self._there)
        self.connected, self._missed = True, False

    def lost(self, reason: str) -> None:
        """Note that it is not."""
        if not self._missed:
            log.log(self._level, "%s: %s", self._away, reason)
        self.connected, self._missed = False, True
