"""A bad event that came in by the front door: written through the journal, and found by ``livetill verify``."""

import asyncio
import json
from pathlib import Path

from adapters.journal_postgres import PostgresJournal
from application.ports import Appended, Batch, Draft
from domain.record import Metadata
from tests.builders import AIR_TIME, at, units_reserved
from tests.projections.books import WIRE
from tests.rehearsal import LISTING
from tests.stories.shopfront import livetill


async def plant(url: str) -> int:
    """Reserve more units than there are, as no decider would; return the position."""
    journal = PostgresJournal(url)
    await journal.open()
    version = (await journal.load({LISTING: 0}))[-1].version
    topic, state = WIRE.encode(units_reserved(reservation_id="order-bad:1", quantity=10_000, until=at(60)))
    metadata = WIRE.encode_metadata(Metadata("test:test", "planted", "place_order", AIR_TIME))
    draft = Draft(LISTING, version + 1, topic, state, metadata, "planted")
    done = await journal.append(Batch([draft], {LISTING: version}))
    await journal.close()
    assert isinstance(done, Appended)
    return done.first_position


def test_verify_finds_units_that_nobody_had(shop_url: str, tmp_path: Path) -> None:
    """The certificate names the rule and the position, for people and for programs, and the exit code is 1."""
    position = asyncio.run(plant(shop_url))
    place = ("--database-url", shop_url, "--data-dir", str(tmp_path))
    told = livetill("verify", "--journal-only", *place)
    assert told.returncode == 1
    assert f"BREACH at position {position}: every unit is in one bucket" in told.stderr
    found = livetill("verify", "--json", *place)
    breach = json.loads(found.stdout)["breach"]
    assert found.returncode == 1
    assert (breach["position"], breach["rule"]) == (position, "units")
