"""``livetill bench replay``: a whole journal verified and every read model replayed, by ``livetill verify`` itself."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from api.bench.floor import floor
from api.bench.follow import PAID_EVERY, RECORDS_AN_ORDER
from api.bench.report import Measured
from api.bench.scratch import in_scratch, mean_record_bytes, read_per_s
from api.bench.stage import environment, watched, yardstick
from api.compose import Opened, follower_on

RECORDS_PER_S = 60_000
"""How many records are worth a second of measuring, roughly."""


async def replay(seconds: float, records: int = 0) -> Measured:
    """Measure verifying a journal of ``records``; unless told, of as many as take about ``seconds``."""
    wanted = records or round(seconds * RECORDS_PER_S)
    return await in_scratch(lambda parts, directory: _replay(parts, directory, wanted, seconds))


async def _replay(parts: Opened, directory: Path, records: int, seconds: float) -> Measured:
    measured = Measured("replay", settings={"paid_orders": f"1 in {PAID_EVERY}"})
    async with floor(parts) as opened:
        await opened.sell(orders=round(records / RECORDS_AN_ORDER), paid_every=PAID_EVERY)
    await follower_on(parts).catch_up()
    certificate, peak_rss_mb = await _verified(parts.url)
    position = certificate["position"]
    measured.figures |= {
        "records_per_s": position / certificate["seconds"],
        "records": position,
        "rss_mb": peak_rss_mb,
    }
    measured.checks["everything holds"] = certificate["holds"]
    compared = [each["same"] for each in certificate["read_models"]]
    measured.checks["every read model is what its replay is"] = bool(compared) and all(compared)
    measured.checks["the whole journal was verified"] = position == await parts.journal.head()
    scanned_per_s = await read_per_s(parts)
    measured.compare("reading alone", {"records_per_s": scanned_per_s})
    measured.ratio("reading", measured.figures["records_per_s"], scanned_per_s)
    record_bytes = round(await mean_record_bytes(parts))
    options = ("--directory", directory / "umadb", "--seconds", min(seconds, 5.0), "--record-bytes", record_bytes)
    umadb = await yardstick("umadb", *options)
    measured.compare("umadb", umadb)
    measured.ratio("umadb_read", measured.figures["records_per_s"], umadb.get("read_events_per_s"))
    return measured


async def _verified(url: str) -> tuple[dict[str, Any], float]:
    """Run the command as anybody would; return what it says, and the memory of its largest process at the worst."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "verify", "--json", "--database-url", url),
        env=environment(),
        stdout=subprocess.PIPE,
    )
    async with watched(process.pid, family=True) as usage:
        printed, _ = await process.communicate()
    certificate: dict[str, Any] = json.loads(printed)
    return certificate, usage.peak_rss_mb
