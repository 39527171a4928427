"""What a walk puts away is found again: the attic's collections against those of the standard library."""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.wire import JsonWire
from domain.ids import LISTING, kind_of
from domain.listing import LISTING as LISTING_DECIDER
from domain.listing.state import Listing
from domain.listing.units import Hold, Sale
from projections import attic as attic_module
from projections.attic import Attic, Deadlines, Shelf, units_due
from tests.projections.test_verify import evening

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
keys = st.sampled_from(["a", "b", "c", "d\0", "é"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), keys, st.integers(-(2**70), 2**70)),
        st.tuples(st.just("delete"), keys, st.just(0)),
        st.tuples(st.just("tidy"), st.just(""), st.just(0)),
        st.tuples(st.just("since"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


def shelf_of(attic: Attic, *, marked: bool = True) -> Shelf[int]:
    """Return an empty mapping of an attic."""
    listing = attic.listing(marked=marked)
    assert isinstance(listing.book.bought, Shelf)
    return listing.book.bought


@pytest.fixture
def attic() -> Iterator[Attic]:
    """An attic that puts everything away at once when it is tidied."""
    opened = Attic(kept=0)
    yield opened
    opened.close()


@given(steps)
def test_a_mapping_is_what_it_would_be_in_memory(steps: list[tuple[str, str, int]]) -> None:
    """Whenever things are put away: what is asked for is there, and what has changed since the last time is told."""
    attic = Attic(kept=0)
    shelf, other = shelf_of(attic), shelf_of(attic, marked=False)
    model, before = dict[str, int](), dict[str, int]()
    for step, key, value in steps:
        match step:
            case "set":
                assert shelf.set(key, value) is shelf
                other.set(key, -value)
                model[key] = value
            case "delete":
                assert shelf.delete(key) is shelf
                model.pop(key, None)
            case "tidy":
                attic.tidy()
            case _:
                changed, gone = shelf.since(shelf)
                assert changed == {k: n for k, n in model.items() if k not in before or before[k] != n}
                assert sorted(gone) == sorted(k for k in before if model.get(k) != before[k])
                before = dict(model)
        for each in ("a", "b", "c", "d\0", "é"):
            assert shelf.get(each) == model.get(each)
            assert shelf.get(each, 7) == model.get(each, 7)
            assert (each in shelf) is (each in model)
    for key, number in model.items():
        assert shelf[key] == number
    assert sorted(shelf.walk()) == sorted(model.items())
    attic.close()


def test_what_is_not_there_is_a_key_error(attic: Attic) -> None:
    """Before and after things were put away."""
    shelf = shelf_of(attic).set("a", 1)
    for _ in range(2):
        with pytest.raises(KeyError):
            shelf["b"]
        attic.tidy()
    assert shelf["a"] == 1


def test_a_walked_mapping_is_not_listed(attic: Attic) -> None:
    """It is asked key by key; whoever wants all of it is told, and not given a part."""
    with pytest.raises(TypeError, match="key by key"):
        len(shelf_of(attic))


def test_things_stay_what_they_were(attic: Attic) -> None:
    """A hold and a sale come back with every field, to the microsecond."""
    book = attic.listing(marked=False).book
    hold = Hold("order-1", "buyer-1", "host-1", 3, NOON + timedelta(microseconds=1), 4, 1999, "half")
    sale = Sale("order-2", "buyer-2", "host-2", 2, shipped=True, returns=("r-1", "r-2"))
    book.holds.set("order-1:1", hold)
    book.sales.set("order-2:1", sale)
    attic.tidy()
    assert book.holds["order-1:1"] == hold
    assert book.sales["order-2:1"] == sale


def test_all_that_is_taken_in_counts() -> None:
    """Nothing is put away before there is enough of it, and everything then, from every mapping."""
    roomy = Attic(kept=10)
    shelves = [shelf_of(roomy) for _ in range(2)]
    for number in range(10):
        assert not roomy.has_things
        shelves[number % 2].set(f"{number}", number)
        if number < 9:
            roomy.tidy()
    roomy.tidy()
    assert roomy.has_things
    assert [each._hot for each in shelves] == [{}, {}]
    assert shelves[1]["9"] == 9
    roomy.close()


@pytest.mark.parametrize("page", [1, 3, 1_000])
@pytest.mark.parametrize("seed", range(5))
def test_deadlines_come_in_order(page: int, seed: int, monkeypatch: pytest.MonkeyPatch, attic: Attic) -> None:
    """However they were pushed; and those that have come can be looked at while all stay where they are."""
    monkeypatch.setattr(attic_module, "PAGE", page)
    random, deadlines, model = Random(seed), Deadlines(attic), list[tuple[datetime, str]]()
    for number in range(300):
        if random.random() < 0.7:
            late = 0 if random.random() < 0.8 else random.randrange(50)
            value = (NOON + timedelta(seconds=number // 3 - late), f"{number:03}")
            assert deadlines.push(value) is deadlines
            heapq.heappush(model, value)
        elif model:
            assert deadlines.first == model[0]
            assert deadlines.pop() is deadlines
            heapq.heappop(model)
        now = NOON + timedelta(seconds=random.randrange(100))
        assert sorted(deadlines.upto(now)) == sorted(each for each in model if each[0] <= now)
    while model:
        assert deadlines.first == heapq.heappop(model)
        deadlines.pop()
    assert deadlines.first is None
    assert deadlines.pop().first is None


@pytest.mark.parametrize("seed", [0, 1, 3])
async def test_a_walked_listing_is_the_one_that_is_live(seed: int, attic: Attic) -> None:
    """The same fold over the same records gives the same holds, sales, counts and units due, at every version."""
    shop, wire = await evening(seed, 400), JsonWire()
    lives, walks = dict[str, Listing](), dict[str, Listing]()
    records = [each for each in await shop.records() if kind_of(each.history_id) == LISTING]
    assert len(records) > 50
    for record in records:
        event, history_id = wire.decode(record.topic, record.state), record.history_id
        live = LISTING_DECIDER.evolve(lives.get(history_id, Listing()), event)
        walked = LISTING_DECIDER.evolve(walks.get(history_id) or attic.listing(marked=False), event)
        _same(live, walked)
        for now in (record.recorded_at, record.recorded_at + timedelta(minutes=5)):
            assert units_due(walked, now) == sum(hold.quantity for _, hold in live.book.expired(now))
        attic.tidy()
        lives[history_id], walks[history_id] = live, walked
    assert attic.has_things


def _same(live: Listing, walked: Listing) -> None:
    for name in ("offer", "window", "units", "sold_out", "short"):
        assert getattr(live, name) == getattr(walked, name)
    for name in ("holds", "sales", "bought"):
        mapping, shelf = getattr(live.book, name), getattr(walked.book, name)
        assert {key: shelf[key] for key in mapping} == dict(mapping.items())
