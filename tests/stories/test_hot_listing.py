"""Two thousand buyers, one thousand units, two servers, one database."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import aiohttp
import httpx

from tests.stories.shopfront import Buyers, Client, eventually, livetill, serving

BUYERS, UNITS = 2_000, 1_000


async def test_the_last_unit_is_sold_once_however_many_want_it(tmp_path: Path) -> None:
    """Given 1,000 units and 2,000 buyers on two servers, exactly 1,000 are served and every refusal is on record."""
    with serving(tmp_path, servers=2) as servers:
        async with (
            httpx.AsyncClient(timeout=60) as http,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as crowd,
        ):
            client = Client(servers[0].url, http)
            stream_id, (listing_id,) = await client.show(UNITS)
            buyers = Buyers(stream_id, listing_id)
            answers = await asyncio.gather(
                *(
                    buyers.one(crowd, servers[number % 2].url, f"buyer-{number}", f"key-{number}")
                    for number in range(BUYERS)
                )
            )
            statuses = Counter(answer.status for answer in answers)
            assert statuses == {201: UNITS, 409: BUYERS - UNITS}
            refused = [answer.body for answer in answers if answer.status == httpx.codes.CONFLICT]
            assert {problem["type"].rpartition(":")[2] for problem in refused} == {"sold_out"}
            await _the_journal_agrees(client, listing_id)
            await _live_stock_is_empty(client, stream_id)
        _live_equals_rebuilt(tmp_path)


async def _the_journal_agrees(client: Client, listing_id: str) -> None:
    records = await client.journal()
    assert [record["position"] for record in records] == list(range(1, len(records) + 1))
    topics = Counter(record["topic"] for record in records)
    assert topics["order.order_placed.v1"] == UNITS
    assert topics["order.order_refused.v1"] == BUYERS - UNITS
    reserved = [
        r["data"] for r in records if r["topic"] == "listing.units_reserved.v1" and r["history_id"] == listing_id
    ]
    assert sum(event["quantity"] for event in reserved) == UNITS
    # A thousand orders are two batches: which of the tills comes first with them is chance, but both answer.
    tills = {record["metadata"]["till"] for record in records if record["topic"].startswith("order.")}
    assert len(tills) == 2


async def _live_stock_is_empty(client: Client, stream_id: str) -> None:
    async def sold_out() -> bool:
        stock = (await client.get(f"/v1/streams/{stream_id}/stock"))["listings"][0]
        return (stock["available"], stock["reserved"]) == (0, UNITS)

    await eventually(sold_out)


def _live_equals_rebuilt(data_dir: Path) -> None:
    before = livetill("digest", "--data-dir", str(data_dir))
    rebuilt = livetill("rebuild", "--all", "--data-dir", str(data_dir))
    after = livetill("digest", "--data-dir", str(data_dir))
    assert (before.returncode, rebuilt.returncode, after.returncode) == (0, 0, 0), rebuilt.stderr
    assert before.stdout == after.stdout
    verified = livetill("verify", "--json", "--data-dir", str(data_dir))
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["holds"]
