"""Garbage: looked for a little at a time while the shop sells, and thoroughly when nobody asks for anything.

What a shop remembers (states, rows, records) is millions of small objects that make no cycles and never die. The
collector of Python looks through the young ones each time so many have come, and through the older ones now and then:
with a million orders in memory that keeps the event loop for seconds. So the young are looked at often and few at a
time, which takes some milliseconds; the old only when the shop has been quiet for a while; and what has been looked
at thoroughly is set aside (``gc.freeze``) and not looked at again. See docs/decisions/0008-garbage.md.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final, NoReturn

QUIET_SECONDS: Final = 60.0
"""A show between two listings is not quiet yet."""
YOUNG: Final = 10_000
"""Objects that are looked at while the shop sells."""
NEVER: Final = 1_000_000
WORTH_IT: Final = 50
"""Looks at the young from which on it is worth looking through what they have left."""


def settle() -> None:
    """Take all that is there for what will stay, and look at the young alone from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, NEVER, NEVER)


async def keep_house(asked: Callable[[], int], quiet_seconds: float = QUIET_SECONDS) -> NoReturn:
    """Settle whenever the shop has been quiet; ``asked`` counts what it was asked so far."""
    settled = _looks()
    while True:
        before = asked()
        await asyncio.sleep(quiet_seconds)
        if asked() == before and _looks() - settled >= WORTH_IT:
            settle()
            settled = _looks()


def _looks() -> int:
    return int(gc.get_stats()[0]["collections"])
