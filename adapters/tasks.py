"""Ending tasks: a cancellation can get lost on its way, so it is said again."""

import asyncio
from typing import Any, Final

AGAIN_SECONDS: Final = 2.0
"""Long enough for what a task does when it ends, which a second cancellation would cut short."""


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks, and return when all of them have ended, whatever they ended with.

    Before Python 3.12 ``asyncio.wait_for`` drops a cancellation that comes together with what it waits for
    (python/cpython#86296), and the clients of NATS and PostgreSQL call it on every request: now and then a job would
    have gone on for ever.
    """
    while still := [task for task in tasks if not task.done()]:
        for task in still:
            task.cancel()
        await asyncio.wait(still, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
