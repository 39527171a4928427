"""A journal in a scratch directory, on an embedded PostgreSQL of its own with everything that makes it durable."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from api.bench.stage import scratch
from api.compose import Opened, database, opened
from api.housekeeping import settle
from api.services import Settings

T = TypeVar("T")
SAMPLE = 5_000


async def in_scratch(work: Callable[[Opened, Path], Awaitable[T]]) -> T:
    """Do some work on a fresh journal."""
    with scratch() as directory:
        settings = Settings(data_dir=directory)
        async with database(settings) as url, opened(Settings(data_dir=directory, database_url=url)) as parts:
            settle()  # as the server does
            return await work(parts, directory)


async def mean_record_bytes(parts: Opened) -> float:
    """Return how large our records are: what an append sends for one."""
    head = await parts.journal.head()
    records = await parts.journal.read(max(0, head - SAMPLE), SAMPLE)
    sizes = (
        len(each.history_id) + len(each.topic) + len(each.state) + len(each.metadata) + len(each.command_id or "") + 16
        for each in records
    )
    return sum(sizes) / len(records)
