"""``livetill bench growth``: whether the millionth order is as quick as the first, and how a big listing starts."""

import time

from api.bench.floor import Floor, floor
from api.bench.report import Measured
from api.bench.scratch import in_scratch
from api.compose import Opened, Usage, till_on

SIZES = (10_000, 100_000, 1_000_000)


async def growth(seconds: float, sizes: tuple[int, ...] = SIZES) -> Measured:
    """Measure the till with ever more orders in one listing's history, and the start of another till on it."""
    return await in_scratch(lambda parts, _: _growth(parts, seconds, sizes))


async def _growth(parts: Opened, seconds: float, sizes: tuple[int, ...]) -> Measured:
    measured = Measured("growth", settings={"seconds": seconds, "sizes": list(sizes)})
    figures, usage = measured.figures, Usage()
    async with floor(parts) as opened:
        done = 0
        for size in sizes:
            if size > done:
                await opened.sell(orders=size - done)
            figures[f"rss_mb_at_{size}"] = usage.look() and usage.peak_rss_mb
            figures[f"cold_start_s_at_{size}"] = await _cold_start(parts, opened, measured)
            sold = await opened.sell(seconds=seconds)
            figures[f"orders_per_s_at_{size}"] = sold.orders_per_s
            figures[f"processor_us_per_order_at_{size}"] = 1e6 * sold.used_seconds / sold.orders
            done = max(done, size) + sold.orders
    if len(sizes) > 1:
        measured.ratio("growth", figures[f"orders_per_s_at_{sizes[-1]}"], figures[f"orders_per_s_at_{sizes[0]}"])
    return measured


async def _cold_start(parts: Opened, opened: Floor, measured: Measured) -> float:
    """Let a till that knows nothing look at the listing; return how long that takes."""
    began = time.perf_counter()
    cold = await till_on(parts).look(opened.listing_ids[0])
    spent = time.perf_counter() - began
    warm = await opened.till.look(opened.listing_ids[0])
    same = cold.version == warm.version and cold.state.units == warm.state.units
    measured.checks["a cold start knows what the warm one knows"] = same
    return spent
