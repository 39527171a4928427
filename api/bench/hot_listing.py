"""``livetill bench hot-listing``: orders of one listing over HTTP, everything on.

A server as anybody starts it (tokens, idempotency, followers, reactions, messages, metrics), the crowd in a process of
its own, and pgbench on the same PostgreSQL before and after. First the crowd orders as fast as it is answered; then
half that rate is due at random instants, whatever the answers do, and every order is timed from when it was due. Then a
shop front sends 50 orders a request. With viewers there are two more rounds while they watch: a calm one, for how old
their stock is, and one as fast as it goes.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import msgspec
from attrs import evolve

from api.bench.load import Plan, Told, percentile
from api.bench.report import Measured
from api.bench.stage import Served, environment, livetill, open_show, scratch, served, watched, yardstick
from api.bench.viewers import Watch, Watched
from api.commands.troubles import CommandError
from api.compose import Opened, database, opened
from api.services import Settings

CONNECTIONS: Final = 64
OPEN_CONNECTIONS: Final = 512
"""In an open loop an order needs a connection however many are waiting."""
BATCH, BATCH_CONNECTIONS = 50, 16
"""A shop front that orders for its buyers: several orders a request."""
CALM_RATE: Final = 500.0
"""Orders a second that viewers watch."""
WARM_UP_SECONDS: Final = 3.0
STARTING_SECONDS: Final = 2.0
"""A crowd that orders is a process that must start: who watches it stays longer by that."""
LAG_SECONDS: Final = 0.2


async def hot_listing(seconds: float, *, listings: int = 1, viewers: int = 0) -> Measured:
    """Measure orders over HTTP; with viewers, also how old the stock is that they are shown."""
    with scratch() as directory:
        settings = Settings(data_dir=directory)
        async with database(settings) as url:
            measured = Measured("hot-listing", settings={"seconds": seconds, "listings": listings, "viewers": viewers})
            before = await yardstick("hot-row", "--url", url, "--seconds", min(seconds, 5.0))
            async with served(settings) as shop:
                bench = _Bench(shop, Settings(data_dir=directory, database_url=url), measured, seconds)
                await bench.run(listings, viewers)
            after = await yardstick("hot-row", "--url", url, "--seconds", min(seconds, 5.0))
            hot_row = {name: max(before[name], after[name]) for name in before}
            measured.compare("hot-row", hot_row)
            measured.ratio("hot_row", measured.figures["orders_per_s"], hot_row["orders_per_s"])
            measured.ratio("hot_row_batched", measured.figures["batched_orders_per_s"], hot_row["orders_per_s"])
            await asyncio.to_thread(_verify, settings, measured)
    return measured


def _verify(settings: Settings, measured: Measured) -> None:
    """Have the journal and the read models verified as anybody would."""
    code, certificate = livetill(settings, "verify")
    measured.checks["livetill verify: everything holds, read models are what a replay gives"] = (
        code == 0 and certificate["holds"] and all(each["same"] for each in certificate["read_models"])
    )


class _Bench:
    """One server and the crowds in front of it."""

    def __init__(self, shop: Served, settings: Settings, measured: Measured, seconds: float) -> None:
        self._shop, self._settings, self._measured, self._seconds = shop, settings, measured, seconds
        self._acknowledged = 0

    async def run(self, listings: int, viewers: int) -> None:
        """Order in a closed loop, then in an open one; then again with an audience."""
        stream_id, listing_ids = await asyncio.to_thread(open_show, self._shop, listings)
        plan = Plan(
            "127.0.0.1", self._shop.port, self._shop.secret, stream_id, listing_ids, self._seconds,
            warmup_seconds=min(WARM_UP_SECONDS, self._seconds), connections=CONNECTIONS,
        )  # fmt: skip
        async with opened(self._settings) as parts:
            rate = await self._throughput(plan, parts)
            await self._latency(evolve(plan, name="open", rate=rate / 2, connections=OPEN_CONNECTIONS))
            await self._batches(evolve(plan, name="front", batch=BATCH, connections=BATCH_CONNECTIONS))
            if viewers:
                await self._audience(plan, parts, viewers)
            await self._check(parts)

    async def _throughput(self, plan: Plan, parts: Opened) -> float:
        figures = self._measured.figures
        async with watched(self._shop.process.pid) as watch, _lags(parts) as lags:
            told = await self._crowd(plan)
        rate = told.acknowledged / told.seconds
        figures |= {
            "orders_per_s": rate,
            "server_cores": watch.cores,
            "crowd_us_per_order": told.crowd_us,
            "rss_mb": watch.peak_rss_mb,
            "lag_p99_ms": 1e3 * percentile(sorted(lags), 99),
        }
        return rate

    async def _latency(self, plan: Plan) -> None:
        told = await self._crowd(plan)
        self._measured.figures |= {
            "open_loop_orders_per_s": told.acknowledged / told.seconds,
            "p50_ms": told.p50_ms,
            "p99_ms": told.p99_ms,
            "p999_ms": told.p999_ms,
            "worst_ms": told.worst_ms,
        }

    async def _batches(self, plan: Plan) -> None:
        told = await self._crowd(plan)
        self._measured.figures["batched_orders_per_s"] = told.acknowledged / told.seconds

    async def _audience(self, plan: Plan, parts: Opened, viewers: int) -> None:
        """Sell calmly while everybody watches; then as fast as it goes while nobody, everybody and nobody watches."""
        figures = self._measured.figures
        async with watched(self._shop.process.pid) as watch:
            async with self._watching(plan, viewers) as crowd:
                calm = await self._crowd(evolve(plan, name="calm", rate=CALM_RATE, connections=OPEN_CONNECTIONS))
                until = await parts.journal.head()
                seen = await self._seen(crowd)
            before = await self._crowd(evolve(plan, name="before"))
            async with self._watching(plan, viewers) as crowd:
                busy = await self._crowd(evolve(plan, name="busy"))
                await self._seen(crowd)
            after = await self._crowd(evolve(plan, name="after"))
        ages = await _ages_ms(parts, seen.seen, until)
        alone = (before.acknowledged + after.acknowledged) / (before.seconds + after.seconds)
        figures |= {
            "viewers": viewers,
            "stock_age_p50_ms": percentile(ages, 50),
            "stock_age_p99_ms": percentile(ages, 99),
            "calm_p99_ms": calm.p99_ms,
            "unwatched_orders_per_s": alone,
            "watched_orders_per_s": busy.acknowledged / busy.seconds,
            "watched_rss_mb": watch.peak_rss_mb,
            "viewers_us_per_frame": seen.crowd_us,
        }
        self._measured.ratio("watched", busy.acknowledged / busy.seconds, alone)

    @asynccontextmanager
    async def _watching(self, plan: Plan, viewers: int) -> AsyncIterator[asyncio.subprocess.Process]:
        """Have everybody watch while the block lasts."""
        seconds = self._seconds + plan.warmup_seconds + STARTING_SECONDS
        crowd = await _started("viewers", Watch(plan.host, plan.port, plan.stream_id, viewers, seconds))
        assert crowd.stdout is not None
        if await crowd.stdout.readline() != b"watching\n":
            raise CommandError("the viewers could not watch")
        yield crowd
        await crowd.wait()

    async def _seen(self, crowd: asyncio.subprocess.Process) -> Watched:
        """Wait until everybody has watched to the end."""
        assert crowd.stdout is not None
        seen = msgspec.json.decode(await crowd.stdout.read(), type=Watched)
        self._measured.checks["every viewer stayed"] = not seen.hung_up and self._measured.checks.get(
            "every viewer stayed", True
        )
        return seen

    async def _crowd(self, plan: Plan) -> Told:
        process = await _started("load", plan)
        printed, _ = await process.communicate()
        if process.returncode != 0:
            raise CommandError("the crowd could not order")
        told = msgspec.json.decode(printed, type=Told)
        self._acknowledged += told.answered.get("201", 0)
        good = not told.lost and set(told.answered) == {"201"}
        self._measured.checks[f"every order was taken ({plan.name})"] = good
        return told

    async def _check(self, parts: Opened) -> None:
        """Compare what was acknowledged with what is in the journal."""
        placed = 0
        async for records in parts.journal.scan():
            placed += sum(record.topic == _PLACED for record in records)
        self._measured.checks["what was acknowledged is in the journal, and nothing else"] = (
            placed == self._acknowledged
        )


_PLACED: Final = "order.order_placed.v1"


async def _started(module: str, told: Any) -> asyncio.subprocess.Process:
    """Start a crowd and tell it what to do."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"api.bench.{module}"),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(told))
    process.stdin.close()
    return process


@asynccontextmanager
async def _lags(parts: Opened) -> AsyncIterator[list[float]]:
    """Note how old the newest thing is that the read models hold, again and again while the block lasts."""
    lags: list[float] = []

    async def look() -> None:
        while True:
            marks = await parts.store.marks()
            behind = min(mark.position for mark in marks.values())
            now = datetime.now().astimezone()
            unseen = await parts.journal.read(behind, 1)
            lags.append(max(0.0, (now - unseen[0].recorded_at).total_seconds()) if unseen else 0.0)
            await asyncio.sleep(LAG_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield lags
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ages_ms(parts: Opened, seen: Mapping[str, Mapping[str, int]], until: int) -> list[float]:
    """Return how old what each viewer saw had become when more was shown, up to a position; ordered."""
    recorded = await _recorded_ms(parts, {int(before) + 1 for before in seen if int(before) < until})
    ages = [
        max(0.0, int(at) - recorded[int(before) + 1])
        for before, times in seen.items()
        if int(before) + 1 in recorded
        for at, count in times.items()
        for _ in range(count)
    ]
    return sorted(ages)


async def _recorded_ms(parts: Opened, positions: Iterable[int]) -> dict[int, float]:
    """Return when positions were recorded, in milliseconds since the epoch."""
    found = {}
    for position in positions:
        for record in await parts.journal.read(position - 1, 1):
            found[position] = 1e3 * record.recorded_at.timestamp()
    return found
