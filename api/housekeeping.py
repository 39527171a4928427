"""Garbage: looked for in samples while the shop sells, and thoroughly when nobody asks for anything.

What a shop remembers (states, rows, records) is millions of small objects that make no cycles and never die. The
collector of Python looks through the young ones each time so many have come, and through the older ones now and then:
with a million orders in memory that keeps the event loop for seconds, and the young alone take a fifth of the till's
time. So while the shop sells one lot of the young in so many is looked at; the others are set aside (``gc.freeze``) and
not looked at again. When there was garbage in one, all that follow are for a while. The old are looked at only when the
shop has been quiet. See docs/decisions/0008-garbage.md.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Any, Final, NoReturn

QUIET_SECONDS: Final = 60.0
"""A show between two listings is not quiet yet."""
YOUNG: Final = 10_000
"""Objects in a lot."""
SAMPLED: Final = 16
"""One lot in so many is looked at while there is no garbage."""
DOUBTED: Final = 32
"""So many are looked at, one after the other, when there was some, and at first."""
NEVER: Final = 1_000_000
OLDEST: Final = 2
WORTH_IT: Final = 50
"""Lots from which on it is worth looking through what they have left."""


class Samples:
    """Decides which lots are looked at: one of ``gc.callbacks``, which are told before and after each look.

    What is set aside before the look is not looked at, so there is none.
    """

    def __init__(self) -> None:
        """Begin in doubt: a process that has just started does many things for the first time."""
        self._doubted, self._left_out, self._looking = DOUBTED, 0, True

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        """Set a lot aside, or see what a look has found."""
        if info["generation"] == OLDEST:
            return  # somebody asked for a look at everything
        if phase == "start":
            self._begin()
        elif self._looking and info["collected"]:
            self._doubted = DOUBTED

    def _begin(self) -> None:
        self._looking = self._doubted > 0 or self._left_out == SAMPLED - 1
        if self._looking:
            self._doubted, self._left_out = max(0, self._doubted - 1), 0
        else:
            self._left_out += 1
            gc.freeze()


_samples: Final = Samples()


def settle() -> None:
    """Take all that is there for what will stay, and look at samples of the young alone from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, NEVER, NEVER)
    if _samples not in gc.callbacks:
        gc.callbacks.append(_samples)


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
