"""What the composition root itself does: jobs that need a lead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.compose import _led
from application.ports import LeadershipLostError


class FallingLeadership:
    """A lead that is lost when its job is being done for the first time."""

    fallen = False

    @asynccontextmanager
    async def lead(self, name: str) -> AsyncIterator[None]:
        """Lose the lead once."""
        yield
        if not self.fallen:
            self.fallen = True
            raise LeadershipLostError(f"The lead of {name} is lost: the connection was closed")


async def test_a_lost_lead_is_one_line_and_is_stood_for_again(caplog: pytest.LogCaptureFixture) -> None:
    """It is what happens when a database is restarted, and no fault of the program's: no traceback."""
    done = asyncio.Event()
    leadership = FallingLeadership()

    async def job() -> None:
        if leadership.fallen:
            done.set()
            await asyncio.Event().wait()

    led = asyncio.create_task(_led(leadership, "relay", job))
    async with asyncio.timeout(20):
        await done.wait()
    led.cancel()
    await asyncio.gather(led, return_exceptions=True)
    (line,) = caplog.records
    assert line.exc_info is None
    assert line.getMessage().startswith("relay stopped, standing again: The lead of relay is lost")
