"""``livetill bench till``: orders a second of the till itself, in one process, each order two records on disk.

2,048 callers, each of which orders again when it has its answer. Nothing but the till and the journal: what HTTP adds
is the business of ``hot-listing``, and so is how long an order takes, for in a closed loop that only says how many
callers there are. The till sells before and after the yardsticks are measured, for machines change their pace.
"""

from collections.abc import Mapping
from pathlib import Path

from api.bench.floor import floor
from api.bench.journal_alone import written_again
from api.bench.report import Measured
from api.bench.scratch import in_scratch, mean_record_bytes, placed_orders
from api.bench.stage import watched, yardstick
from api.compose import Opened, till_on
from domain.listing.state import Listing

WARM_UP_ORDERS = 5_000
RECORDS_AN_ORDER = 2


async def till(seconds: float, listings: int = 1) -> Measured:
    """Measure the till, and what plain SQL, the eventsourcing library and UmaDB reach on the same disk."""
    return await in_scratch(lambda parts, directory: _till(parts, directory, seconds, listings))


async def _till(parts: Opened, directory: Path, seconds: float, listings: int) -> Measured:
    measured = Measured(
        "till", settings={"seconds": seconds, "listings": listings, "records_an_order": RECORDS_AN_ORDER}
    )
    async with floor(parts, listings=listings) as opened:
        warm_up = await opened.sell(orders=WARM_UP_ORDERS)
        async with watched() as watch:
            before = await opened.sell(seconds=seconds)
            record_bytes = await mean_record_bytes(parts)
            beside = await _yardsticks(parts.url, directory, seconds, round(record_bytes))
            after = await opened.sell(seconds=seconds)
        cold = till_on(parts)
        states: list[Listing] = [(await cold.look(each)).state for each in opened.listing_ids]
    orders = before.orders + after.orders
    orders_per_s = orders / (before.seconds + after.seconds)
    orders_a_batch = orders / (before.batches + after.batches)
    placed = await placed_orders(parts)
    alone = await written_again(parts, seconds, RECORDS_AN_ORDER * round(orders_a_batch))
    measured.figures |= {
        "orders_per_s": orders_per_s,
        "records_per_s": RECORDS_AN_ORDER * orders_per_s,
        "processor_us_per_order": 1e6 * (before.used_seconds + after.used_seconds) / orders,
        "orders_a_batch": orders_a_batch,
        "record_bytes": record_bytes,
        "rss_mb": watch.peak_rss_mb,
        "journal_alone_records_per_s": alone,
    }
    reserved = sum(each.units.reserved for each in states)
    acknowledged = warm_up.orders + orders
    measured.checks["what was acknowledged is in the journal, and nothing else"] = placed == reserved == acknowledged
    measured.checks["no unit is promised twice"] = all(each.units.conserved for each in states)
    measured.ratio("journal_alone", measured.figures["records_per_s"], alone)
    _compare(measured, beside)
    return measured


async def _yardsticks(url: str, directory: Path, seconds: float, record_bytes: int) -> dict[str, dict[str, float]]:
    uma = ("--directory", directory / "umadb", "--seconds", seconds, "--record-bytes", record_bytes)
    return {
        "bulk": await yardstick("bulk", "--url", url, "--seconds", seconds, "--record-bytes", record_bytes),
        "stock library": await yardstick("stock-library", "--url", url, "--seconds", seconds),
        "umadb": await yardstick("umadb", *uma),
    }


def _compare(measured: Measured, beside: Mapping[str, dict[str, float]]) -> None:
    figures, umadb = measured.figures, beside["umadb"]
    for name, found in beside.items():
        measured.compare(name, found)
    measured.ratio("bulk", figures["records_per_s"], beside["bulk"]["rows_per_s"])
    measured.ratio("stock_library", figures["orders_per_s"], beside["stock library"]["orders_per_s"])
    measured.ratio("umadb", figures["orders_per_s"], umadb.get("orders_per_s"))
    measured.ratio("umadb_batched", figures["orders_per_s"], umadb.get("batched_orders_per_s"))
