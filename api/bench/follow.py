"""``livetill bench follow``: from the journal to all read models, exactly once, rows on disk."""

import time

from api.bench.floor import floor
from api.bench.report import Measured
from api.bench.scratch import in_scratch, read_per_s
from api.bench.stage import watched
from api.compose import Opened, follower_on

RECORDS_PER_S = 30_000
"""For how many records a second of measuring is needed, roughly."""
PAID_EVERY = 4
"""One order in so many is paid and earns a commission: five records instead of two."""
RECORDS_AN_ORDER = 2 + 3 / PAID_EVERY


async def follow(seconds: float) -> Measured:
    """Measure the follower catching up with a journal of orders, a part of them paid."""
    return await in_scratch(lambda parts, _: _follow(parts, seconds))


async def _follow(parts: Opened, seconds: float) -> Measured:
    measured = Measured("follow", settings={"seconds": seconds, "paid_orders": f"1 in {PAID_EVERY}"})
    follower = follower_on(parts)
    async with floor(parts) as opened:
        await opened.sell(orders=2_000, paid_every=PAID_EVERY)
        before = await follower.catch_up()
        await opened.sell(orders=round(seconds * RECORDS_PER_S / RECORDS_AN_ORDER), paid_every=PAID_EVERY)
    async with watched() as watch:
        began = time.perf_counter()
        head = await follower.catch_up()
        spent = time.perf_counter() - began
    scanned_per_s = await read_per_s(parts)
    measured.figures |= {
        "records_per_s": (head - before) / spent,
        "processor_us_per_record": 1e6 * watch.used_seconds / (head - before),
        "records": head - before,
        "rss_mb": watch.peak_rss_mb,
    }
    measured.compare("reading alone", {"records_per_s": scanned_per_s})
    measured.ratio("reading", measured.figures["records_per_s"], scanned_per_s)
    measured.checks["the read models hold the whole journal"] = head == await parts.journal.head()
    measured.checks["nothing had to be parked"] = not await follower.parked()
    return measured
