"""``livetill bench till``: orders a second of the till itself, in one process, each order two records on disk.

2,048 callers, each of which orders again when it has its answer. Nothing but the till and the journal: what HTTP adds
is the business of ``hot-listing``. Then the same records are written once more with nothing to decide: no till is ever
faster than its journal.
"""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from api.bench.floor import floor
from api.bench.report import Measured
from api.bench.scratch import in_scratch, mean_record_bytes
from api.bench.stage import yardstick
from api.compose import Opened
from application.ports import Appended, Batch, Draft
from domain.listing.state import Listing
from domain.record import Record

WARM_UP_ORDERS = 5_000
BATCH_RECORDS = 1_000
"""What the till writes at a time when everybody orders: 500 orders."""


async def till(seconds: float, listings: int = 1) -> Measured:
    """Measure the till, and what plain SQL, the eventsourcing library and UmaDB reach on the same disk."""
    return await in_scratch(lambda parts, directory: _till(parts, directory, seconds, listings))


async def _till(parts: Opened, directory: Path, seconds: float, listings: int) -> Measured:
    measured = Measured("till", settings={"seconds": seconds, "listings": listings, "records_an_order": 2})
    async with floor(parts, listings=listings) as opened:
        warm_up = await opened.sell(orders=WARM_UP_ORDERS)
        sold = await opened.sell(seconds=seconds)
        counts = opened.till.counts
        states: list[Listing] = [(await opened.till.look(each)).state for each in opened.listing_ids]
    record_bytes = await mean_record_bytes(parts)
    measured.figures |= {
        "orders_per_s": sold.orders_per_s,
        "records_per_s": 2 * sold.orders_per_s,
        "p50_ms": sold.p50_ms,
        "p99_ms": sold.p99_ms,
        "processor_us_per_order": 1e6 * sold.used_seconds / sold.orders,
        "orders_a_batch": (warm_up.orders + sold.orders) / counts.batches,
        "record_bytes": record_bytes,
    }
    reserved = sum(each.units.reserved for each in states)
    measured.checks["every order acknowledged is in the journal"] = reserved == warm_up.orders + sold.orders
    measured.checks["no unit is promised twice"] = all(each.units.conserved for each in states)
    alone = await _written_again(parts, seconds)
    measured.figures["journal_alone_records_per_s"] = alone
    measured.ratio("journal_alone", measured.figures["records_per_s"], alone)
    await _compare(measured, parts.url, directory, seconds)
    return measured


async def _written_again(parts: Opened, seconds: float) -> float:
    """Append the last records again and again as those of other orders; return records a second of the append alone."""
    head = await parts.journal.head()
    records = await parts.journal.read(max(0, head - BATCH_RECORDS), BATCH_RECORDS)
    versions = Counter({each.history_id: each.version for each in records if each.version > 1})
    spent, written = 0.0, 0
    for again in count(1):
        batch = _of_others(records, versions, again)
        began = time.perf_counter()
        outcome = await parts.journal.append(batch)
        spent, written = spent + time.perf_counter() - began, written + len(records)
        assert isinstance(outcome, Appended)
        if spent >= seconds:
            break
    return written / spent


def _of_others(records: Sequence[Record], versions: Counter[str], again: int) -> Batch:
    """Make a batch like one that was written: every history that began there is a new one, the others go on."""
    expected, drafts = dict[str, int](versions), list[Draft]()
    for each in records:
        history_id, version = each.history_id, 1
        if history_id in versions:
            versions[history_id] += 1
            version = versions[history_id]
        else:
            history_id = f"{history_id}-{again}"
            expected[history_id] = 0
        command_id = each.command_id and f"{each.command_id}-{again}"
        drafts.append(Draft(history_id, version, each.topic, each.state, each.metadata, command_id))
    return Batch(drafts, expected)


async def _compare(measured: Measured, url: str, directory: Path, seconds: float) -> None:
    figures, record_bytes = measured.figures, round(measured.figures["record_bytes"])
    bulk = await yardstick("bulk", "--url", url, "--seconds", seconds, "--record-bytes", record_bytes)
    library = await yardstick("stock-library", "--url", url, "--seconds", seconds)
    uma = ("--directory", directory / "umadb", "--seconds", seconds, "--record-bytes", record_bytes)
    umadb = await yardstick("umadb", *uma)
    for name, found in (("bulk", bulk), ("stock library", library), ("umadb", umadb)):
        measured.compare(name, found)
    measured.ratio("bulk", figures["records_per_s"], bulk["rows_per_s"])
    measured.ratio("stock_library", figures["orders_per_s"], library["orders_per_s"])
    measured.ratio("umadb", figures["orders_per_s"], umadb.get("orders_per_s"))
    measured.ratio("umadb_batched", figures["orders_per_s"], umadb.get("batched_orders_per_s"))
