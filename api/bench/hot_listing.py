"""``livetill bench hot-listing``: orders of one listing over HTTP, everything on.

A server as anybody starts it (tokens, idempotency, followers, reactions, messages, metrics), the crowd in a process of
its own, and pgbench on the same PostgreSQL before and after. First the crowd orders as fast as it is answered; then
half that rate is due at random instants, whatever the answers do, and every order is timed from when it was due. Then a
shop front sends 50 orders a request. With viewers there are more rounds: a calm one, for how old what they see is, and
three as fast as it goes, of which they watch the second. At last everybody wants the same few units.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final

import msgspec
from attrs import evolve

from api.bench.load import Plan, Told, percentile
from api.bench.report import Measured
from api.bench.scratch import placed_orders
from api.bench.stage import Served, environment, livetill, offered, open_show, scratch, served, watched, yardstick
from api.bench.viewers import Watch, Watched, age_percentile, ages_ms
from api.commands.troubles import CommandError
from api.compose import Opened, database, opened, server_settings
from api.services import Settings

CONNECTIONS: Final = 64
OPEN_CONNECTIONS: Final = 512
"""In an open loop an order needs a connection however many are waiting."""
BATCH, BATCH_CONNECTIONS = 50, 16
"""A shop front that orders for its buyers: several orders a request."""
CALM_RATE: Final = 500.0
"""Orders a second that viewers watch."""
WARM_UP_SECONDS: Final = 3.0
CATCHING_UP_SECONDS: Final = 2.0
"""Within this every viewer has been shown the last order."""
SCARCE_UNITS: Final = 200
RUSH_SECONDS: Final = 2.0
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
            measured.durable(await asyncio.to_thread(server_settings, url))
            await asyncio.to_thread(_verify, settings, measured)
    return measured


def _verify(settings: Settings, measured: Measured) -> None:
    """Have the journal and the read models verified as anybody would."""
    code, certificate = livetill(settings, "verify")
    compared = [each["same"] for each in certificate["read_models"]]
    holds = code == 0 and certificate["holds"] and bool(compared) and all(compared)
    measured.checks["livetill verify: everything holds, read models are what a replay gives"] = holds


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
            await self._rush(plan)
            await self._check(parts)

    async def _throughput(self, plan: Plan, parts: Opened) -> float:
        figures = self._measured.figures
        async with watched(self._shop.process.pid) as watch, _lags(parts) as lags:
            told = await self._crowd(plan)
        rate = told.acknowledged / told.seconds
        figures |= {
            "orders_per_s": rate,
            "server_us_per_order": 1e6 * watch.used_seconds / max(1, sum(told.answered.values())),
            "crowd_us_per_order": told.crowd_us,
            "rss_mb": watch.peak_rss_mb,
            "lag_p99_ms": 1e3 * percentile(sorted(lags), 99),
        }
        return rate

    async def _latency(self, plan: Plan) -> None:
        told = await self._crowd(plan)
        self._measured.figures |= {
            "offered_orders_per_s": told.acknowledged / told.seconds,
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
        async with watched(self._shop.process.pid) as watch:
            async with self._watching(plan, viewers) as audience:
                calm = await self._crowd(evolve(plan, name="calm", rate=CALM_RATE, connections=OPEN_CONNECTIONS))
                head = await parts.journal.head()
                await asyncio.sleep(CATCHING_UP_SECONDS)
            before = await self._crowd(evolve(plan, name="before"))
            async with self._watching(plan, viewers) as rush:
                busy = await self._crowd(evolve(plan, name="busy"))
            after = await self._crowd(evolve(plan, name="after"))
        seen = audience[0]
        recorded = await _recorded_ms(parts, {position + 1 for position, *_ in seen.shown if position < head})
        ages = ages_ms(seen.shown, recorded, calm.ended_ms - round(1e3 * plan.seconds), calm.ended_ms)
        alone = (before.acknowledged + after.acknowledged) / (before.seconds + after.seconds)
        self._measured.figures |= {
            "viewers": viewers,
            "stock_age_p50_ms": age_percentile(ages, 50),
            "stock_age_p99_ms": age_percentile(ages, 99),
            "calm_p99_ms": calm.p99_ms,
            "unwatched_orders_per_s": alone,
            "watched_orders_per_s": busy.acknowledged / busy.seconds,
            "watched_rss_mb": watch.peak_rss_mb,
            "viewers_us_per_frame": seen.crowd_us,
        }
        self._measured.ratio("watched", busy.acknowledged / busy.seconds, alone)
        self._measured.checks["every viewer stayed"] = not any(each.hung_up for each in (*audience, *rush))
        self._measured.checks["every viewer was shown the last order"] = seen.position >= head

    @asynccontextmanager
    async def _watching(self, plan: Plan, viewers: int) -> AsyncIterator[list[Watched]]:
        """Have everybody watch while the block lasts; what they saw is in the list after it."""
        process = await _started("viewers", Watch(plan.host, plan.port, plan.stream_id, viewers), to_its_end=False)
        assert process.stdin is not None
        assert process.stdout is not None
        seen: list[Watched] = []
        try:
            if await process.stdout.readline() != b"watching\n":
                raise CommandError("the viewers could not watch")
            yield seen
        finally:
            process.stdin.close()
            told = await process.stdout.read()
            await process.wait()
        seen.append(msgspec.json.decode(told, type=Watched))

    async def _rush(self, plan: Plan) -> None:
        """Let everybody want a few units at once: each is sold, once, and the rest are told so."""
        scarce = await asyncio.to_thread(offered, self._shop, plan.stream_id, "scarce", SCARCE_UNITS)
        told = await self._ordered(evolve(plan, name="rush", listing_ids=[scarce], seconds=RUSH_SECONDS))
        sold, refused = told.answered.pop("201", 0), told.answered.pop("409", 0)
        good = sold == SCARCE_UNITS and refused > 0 and not told.answered and not told.lost
        self._measured.checks[f"of {SCARCE_UNITS} units {SCARCE_UNITS} were sold, and the rest was refused"] = good

    async def _crowd(self, plan: Plan) -> Told:
        told = await self._ordered(plan)
        good = not told.lost and set(told.answered) == {"201"}
        self._measured.checks[f"every order was taken ({plan.name})"] = good
        return told

    async def _ordered(self, plan: Plan) -> Told:
        """Have a crowd order as planned, and count what it was promised."""
        process = await _started("load", plan)
        printed, _ = await process.communicate()
        if process.returncode != 0:
            raise CommandError("the crowd could not order")
        told = msgspec.json.decode(printed, type=Told)
        self._acknowledged += told.answered.get("201", 0)
        return told

    async def _check(self, parts: Opened) -> None:
        """Compare what was acknowledged with what is in the journal."""
        same = await placed_orders(parts) == self._acknowledged
        self._measured.checks["what was acknowledged is in the journal, and nothing else"] = same


async def _started(module: str, told: Any, *, to_its_end: bool = True) -> asyncio.subprocess.Process:
    """Start a crowd and tell it what to do; one that goes on until it is told to stop has its input left open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"api.bench.{module}"),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(told) + b"\n")
    if to_its_end:
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
        with suppress(asyncio.CancelledError):
            await task


async def _recorded_ms(parts: Opened, positions: Iterable[int]) -> dict[int, float]:
    """Return when positions were recorded, in milliseconds since the epoch."""
    found = {}
    for position in positions:
        for record in await parts.journal.read(position - 1, 1):
            found[position] = 1e3 * record.recorded_at.timestamp()
    return found
