"""A journal in a scratch directory, on an embedded PostgreSQL of its own with everything that makes it durable."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from api.bench.report import Measured
from api.bench.stage import scratch
from api.compose import Opened, database, opened, server_settings
from api.housekeeping import settle
from api.services import Settings

SAMPLE: Final = 5_000
PLACED: Final = "order.order_placed.v1"


async def in_scratch(work: Callable[[Opened, Path], Awaitable[Measured]]) -> Measured:
    """Measure something on a fresh journal."""
    with scratch() as directory:
        settings = Settings(data_dir=directory)
        async with database(settings) as url, opened(Settings(data_dir=directory, database_url=url)) as parts:
            settle()  # as the server does
            measured = await work(parts, directory)
            measured.durable(await asyncio.to_thread(server_settings, url))
            return measured


async def placed_orders(parts: Opened) -> int:
    """Count the orders that are in the journal."""
    placed = 0
    async for records in parts.journal.scan():
        placed += sum(record.topic == PLACED for record in records)
    return placed


async def mean_record_bytes(parts: Opened) -> float:
    """Return how large our records are: what an append sends for one."""
    head = await parts.journal.head()
    records = await parts.journal.read(max(0, head - SAMPLE), SAMPLE)
    sizes = (
        len(each.history_id) + len(each.topic) + len(each.state) + len(each.metadata) + len(each.command_id or "") + 16
        for each in records
    )
    return sum(sizes) / len(records)


async def read_per_s(parts: Opened) -> float:
    """Return how many records a second are read when nothing is done with them: what no reader can exceed."""
    began, read = time.perf_counter(), 0
    async for records in parts.journal.scan():
        read += len(records)
    return read / (time.perf_counter() - began)
