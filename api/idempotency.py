"""Said twice, done once: what a request is called in the journal.

A client that did not hear our answer asks again with the same ``Idempotency-Key`` and is told the first answer. The
key counts per principal, so nobody meets another's keys. A request without a key gets a name of its own.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from domain.refusal import Refusal, refusal

_CHANCE_BYTES, _DRAWN_TOGETHER = 10, 256
KEY: Final = re.compile(r"[ -~]{1,255}")


@refusal
class IdempotencyKeyRequired(Refusal):
    """Doing this twice would cost somebody: send an Idempotency-Key header, 1 to 255 printable ASCII characters."""


@refusal
class IdempotencyKeyMalformed(Refusal):
    """An Idempotency-Key header has 1 to 255 printable ASCII characters."""


def command_id(actor: str, key: str | None) -> str:
    """Name a request: the same principal and key make the same name; without a key it happens once only."""
    if key is None:
        return f"once-{secrets.token_hex(20)}"
    return "key-" + hashlib.sha256(f"{actor}\n{key}".encode()).hexdigest()[:40]


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Sum a request up, to tell a repeated key from a reused one."""
    return hashlib.sha256(f"{method} {path}\n".encode() + body).hexdigest()


def key_in(header: bytes | None) -> str | None:
    """Read the header; ``IdempotencyKeyMalformed`` when it is none that we take."""
    if header is None:
        return None
    key = header.decode("latin-1").strip(" \t")
    if not KEY.fullmatch(key):
        raise IdempotencyKeyMalformed
    return key


def new_id(kind: str, now: datetime) -> str:
    """Name a new thing so that later ones sort after it: milliseconds, then chance, as in a UUID of version 7."""
    return f"{kind}-{int(now.timestamp() * 1000):012x}{next(_chances)}"


def _drawn() -> Iterator[str]:
    """Draw chance for many ids at a time: asking the system for each took a twentieth of the till's time."""
    digits = 2 * _CHANCE_BYTES
    while True:
        drawn = secrets.token_hex(_CHANCE_BYTES * _DRAWN_TOGETHER)
        for begin in range(0, len(drawn), digits):
            yield drawn[begin : begin + digits]


_chances = _drawn()


def part_id(kind: str, of_command: str) -> str:
    """Name something that a command brings about, so that repeating the command names the same."""
    return f"{kind}-{of_command.rpartition('-')[2]}"
