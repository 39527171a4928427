"""What is wrong though it came in by the front door: written through the journal, and found by ``livetill verify``."""

import asyncio
import json
from pathlib import Path

import pytest
from attrs import evolve

from adapters.journal_postgres import PostgresJournal
from adapters.tables_postgres import PostgresStore
from application.ports import Appended, Batch, Draft
from domain.listing.events import PriceSet, UnitsReleased
from domain.record import Metadata
from projections.bookmarks import StoreBookmarks
from tests.builders import (
    AIR_TIME,
    at,
    line,
    live_show,
    open_listing,
    order_placed,
    payment_captured,
    units_committed,
    units_reserved,
)
from tests.projections.books import WIRE, of, ring_up, write
from tests.rehearsal import LISTING
from tests.stories.shopfront import livetill


async def plant(url: str) -> int:
    """Reserve more units than there are, as no decider would, and go on; return the position."""
    journal = PostgresJournal(url)
    await journal.open()
    version = (await journal.load({LISTING: 0}))[-1].version
    too_many = units_reserved(reservation_id="order-bad:1", quantity=10_000, until=at(60))
    metadata = WIRE.encode_metadata(Metadata("test:test", "planted", "place_order", AIR_TIME, records=2))
    drafts = [
        Draft(LISTING, version + 1, *WIRE.encode(too_many), metadata, "planted"),
        Draft(LISTING, version + 2, *WIRE.encode(PriceSet(1)), metadata),
    ]
    done = await journal.append(Batch(drafts, {LISTING: version}))
    await journal.close()
    assert isinstance(done, Appended)
    return done.first_position


async def lose_a_reaction(url: str) -> int:
    """Sell a scarf in a show of its own, and say that it was reacted to; return the payment's position."""
    journal, store = PostgresJournal(url), PostgresStore(url)
    await journal.open()
    await store.open()
    moved = {"reservation_id": "order-lost:1", "order_id": "order-lost"}
    placed = order_placed(evolve(line(), listing_id="listing-lost"), stream_id="stream-lost")
    sold = [
        *of("listing-lost", units_reserved(**moved)),
        *of("order-lost", placed),
        *of("listing-lost", units_committed(**moved, stream_id="stream-lost")),
        *of("order-lost", payment_captured(captured_at=at(60))),
    ]
    show, listing = of("stream-lost", *live_show()), of("listing-lost", *open_listing(stream_id="stream-lost"))
    await ring_up(journal, show, listing, sold)
    position = await journal.head()
    await StoreBookmarks(store).set("reactions", position)
    await store.close()
    await journal.close()
    return position


def test_verify_names_the_commission_that_nobody_was_credited(shop_url: str, tmp_path: Path) -> None:
    """A reaction was lost: the line says which commission, of which line, and the exit code is 1."""
    position = asyncio.run(lose_a_reaction(shop_url))
    place = ("--database-url", shop_url, "--data-dir", str(tmp_path))
    told = livetill("verify", "--journal-only", *place)
    assert told.returncode == 1
    assert (
        "livetill: commission commission-lost-1-host-1-percent must stand on 1999, as line 1 of order-lost does since "
        f"position {position}: livetill parked may say why it does not" in told.stderr
    )
    found = json.loads(livetill("verify", "--journal-only", "--json", *place).stdout)
    assert not found["holds"]
    assert found["breach"] is None
    assert found["owed"] == [
        {
            "commission_id": "commission-lost-1-host-1-percent",
            "order_id": "order-lost",
            "line_id": "1",
            "base_minor": 1999,
            "position": position,
        }
    ]


def test_verify_finds_units_that_nobody_had(shop_url: str, tmp_path: Path) -> None:
    """The certificate names the rule and the position, for people and for programs, and the exit code is 1."""
    position = asyncio.run(plant(shop_url))
    place = ("--database-url", shop_url, "--data-dir", str(tmp_path))
    told = livetill("verify", "--journal-only", *place)
    assert told.returncode == 1
    assert f"BREACH at position {position}: every unit is in one bucket" in told.stderr
    found = livetill("verify", "--json", *place)
    document = json.loads(found.stdout)
    breach = document["breach"]
    assert found.returncode == 1
    assert (breach["position"], breach["rule"]) == (position, "units")
    assert document["counts"]["records"] == document["position"] == position
    assert document["counts"]["commands"] > 0
    assert livetill("rebuild", "live_stock", *place).returncode == 0
    models = json.loads(livetill("verify", "--json", *place).stdout)["read_models"]
    [stock] = [each for each in models if each["name"] == "live_stock"]
    assert (stock["position"], stock["behind"], stock["same"]) == (position + 1, 0, None)
    assert all(each["behind"] == position + 1 - each["position"] for each in models)


async def tear(url: str, listing_id: str, last: object) -> int:
    """Give a listing a last record that nobody can make anything of; return its position."""
    journal = PostgresJournal(url)
    await journal.open()
    await write(journal, *of(listing_id, *open_listing()), (listing_id, last))
    position = await journal.head()
    await journal.close()
    return position


@pytest.mark.parametrize(
    ("listing_id", "last", "found"),
    [
        ("listing-torn", ("listing.price_set.v1", b'{"price_minor":'), "a record of topic listing.price_set.v1 cannot"),
        ("listing-odd", UnitsReleased("order-9:1", 1, "expired"), "listing.units_released.v1 does not follow from"),
    ],
)
def test_replay_says_which_record_it_can_make_nothing_of(
    shop_url: str, tmp_path: Path, listing_id: str, last: object, found: str
) -> None:
    """Torn, or of another story: one line with the position and what tells more. Before it all is as it was."""
    position = asyncio.run(tear(shop_url, listing_id, last))
    asked = ("replay", "--listing", listing_id, "--database-url", shop_url, "--data-dir", str(tmp_path))
    told = livetill(*asked)
    assert told.returncode == 1
    assert told.stderr.startswith(f"livetill: position {position}: {found}")
    assert told.stderr.endswith(": livetill verify tells what else is wrong\n")
    assert livetill(*asked, "--as-of", str(position - 1)).returncode == 0
