"""Ending tasks: a cancellation can get lost on its way, so it is said again.

Before Python 3.12 ``asyncio.wait_for`` drops a cancellation that comes together with what it waits for
(python/cpython#86296), and the clients of NATS and PostgreSQL call it on every request: now and then a job would go on
for ever. ``asyncio.TaskGroup`` and ``asyncio.timeout`` say it once.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 2.0
"""Long enough for what a task does when it ends, which a second cancellation would cut short."""


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks, and return when all of them have ended, whatever they ended with.

    Who is cancelled while waiting here tells the tasks once more, and still waits for them: nothing is left behind.
    """
    interrupted: asyncio.CancelledError | None = None
    while still := [task for task in tasks if not task.done()]:
        for task in still:
            task.cancel()
        try:
            await asyncio.wait(still, timeout=AGAIN_SECONDS)
        except asyncio.CancelledError as error:
            interrupted = error
        for task in still:
            if not task.done():
                log.info("%s has not ended yet and is told again", task.get_name())
    for task in tasks:
        if not task.cancelled():
            task.exception()  # mark it seen
    if interrupted is not None:
        raise interrupted


async def together(*jobs: Coroutine[Any, Any, object]) -> None:
    """Do jobs at the same time until all are done; when one fails or we are cancelled, the others are ended."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await ended(*tasks)
