"""How chapters of a listing are written: what was written down and read again is the listing itself."""

import asyncio
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from adapters.chapters import ListingChapters, shape
from domain.listing import LISTING
from domain.listing import commands as lc
from domain.listing import events as li
from domain.listing.state import Listing
from domain.listing.units import Book, Disposition
from domain.persistent import Heap
from domain.record import UnreadableError
from domain.refusal import Refusal
from tests.builders import at, create_listing
from tests.domain.subject import Subject, depths
from tests.domain.test_listing_walk import FLASH, ListingWalk

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "listing.chapter"
TOPIC: Final = "listing.chapter.v3.7e4afb84"
BOND: Final = bytes(16)


def merged(*chapters: bytes) -> Listing:
    """Return the listing that chapters make."""
    binding = ListingChapters()
    merging = binding.merging()
    for chapter in chapters:
        merging.add(binding.open(chapter))
    listing: Listing = asyncio.run(merging.state())
    return listing


def plain(listing: Listing) -> Listing:
    """Leave out deadlines of holds that are gone: some are forgotten earlier than others, and all mean nothing."""
    holds = dict(listing.book.holds.items())
    deadlines = sorted(
        {each for each in listing.book.deadlines if each[1] in holds and holds[each[1]].until == each[0]}
    )
    heap: Heap[Any] = Heap.of_runs([[tuple(each) for each in deadlines]])
    return evolve(listing, book=evolve(listing.book, deadlines=heap))


class Twins(Subject[Listing, lc.Command, li.Event]):
    """A listing and its twin, which was once or more often read from chapters: both must always decide the same."""

    def __init__(self) -> None:
        super().__init__(LISTING)
        self._twin = Listing()
        self._told = 0
        self.chapters: list[bytes] = []
        self.cut, self.cut_at = Listing(), 0
        """The state at the end of the last chapter, and how many events it is made of."""

    @property
    def twin(self) -> Listing:
        """The twin, told whatever has happened."""
        self._twin = LISTING.fold(self.history[self._told :], self._twin)
        self._told = len(self.history)
        return self._twin

    @property
    def tail(self) -> list[li.Event]:
        """What came after the last chapter."""
        return self.history[self.cut_at :]

    def judged(self, command: lc.Command) -> list[li.Event]:
        """Expect the same decision, or the same refusal, of both."""
        assert _decided(self.twin, command) == _decided(self.state, command)
        return super().judged(command)

    def write(self) -> None:
        """Begin a new chapter here."""
        self.chapters.append(ListingChapters().bind(self.cut, self.state, BOND))
        self.cut, self.cut_at = self.state, len(self.history)

    def restart(self) -> None:
        """Read the twin from its chapters and fold what came after."""
        self._twin, self._told = merged(*self.chapters), self.cut_at


def _decided(state: Listing, command: lc.Command) -> Any:
    try:
        return LISTING.decide(state, command)
    except Refusal as refusal:
        return type(refusal), refusal.facts


class ChapterWalk(ListingWalk):
    """An evening on which chapters are written and listings start from them at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.listing: Twins = Twins()

    @rule(restart=st.booleans())
    def write(self, restart: bool) -> None:
        """A chapter ends, however little happened in it; perhaps a till starts right then."""
        self.listing.write()
        if restart:
            self.listing.restart()

    @rule()
    def start(self) -> None:
        """A till starts in the midst of a chapter."""
        self.listing.restart()

    @invariant()
    def twins_are_alike(self) -> None:
        """In everything that a decision can rest on."""
        assert plain(self.listing.twin) == plain(self.listing.state)

    def teardown(self) -> None:
        """Whoever writes from the same records writes the same bytes: from a listing that was read, or folded."""
        start = merged(*self.listing.chapters)
        again = ListingChapters().bind(start, LISTING.fold(self.listing.tail, start), BOND)
        assert again == ListingChapters().bind(self.listing.cut, self.listing.state, BOND)


@depths
def test_a_listing_read_from_chapters_decides_as_the_one_that_was_folded(depth: settings) -> None:
    """Cut at random points and started at random moments, again and again."""
    run_state_machine_as_test(ChapterWalk, settings=depth)


def test_no_chapters_are_the_listing_before_the_first_event() -> None:
    """There is nothing to know."""
    assert merged() == Listing()


def evening() -> list[Listing]:
    """Return a listing at three moments of an evening in which everything happened that a chapter can tell."""
    listing: Subject[Listing, lc.Command, li.Event] = Subject(LISTING)
    moments = []
    listing.tell(create_listing(allotment=20, purchase_limit=9), twice=False)
    listing.tell(lc.ScheduleWindow(at(0), at(3000), 60, at(0)))
    listing.tell(lc.ScheduleDiscount(FLASH["fixed"]))
    listing.tell(lc.ScheduleDiscount(FLASH["half"]))
    for number in range(1, 5):
        wants = (lc.Want(f"order-{number}:1", number, None, None),)
        listing.tell(lc.ReserveUnits(wants, f"order-{number}", f"buyer-{number}", "host-1", at(500 + number)))
    listing.tell(lc.CommitUnits("order-1:1", at(520)))
    listing.tell(lc.CommitUnits("order-2:1", at(521)))
    moments.append(listing.state)
    listing.tell(lc.ShipUnits("order-1:1"))
    listing.tell(lc.ReturnUnits("order-2:1", "return-1", 1, Disposition.DAMAGED, show_is_over=False))
    listing.tell(lc.ReleaseUnits("order-3:1", "cancelled", 0))
    listing.tell(lc.ReleaseUnits("order-4:1", "cancelled", 3))
    listing.tell(lc.AllotStock(5, "note-1"))
    listing.tell(lc.EndDiscount("half"))
    moments.append(listing.state)
    listing.tell(lc.CommitUnits("order-4:1", at(530)))
    listing.tell(lc.WithdrawListing("recall"))
    return [*moments, listing.state]


def test_chapters_are_written_as_they_ever_were() -> None:
    """If this fails, fields have changed or events mean something else: raise ``VERSION`` and write the sample anew.

    Chapters out there are then left alone, and written again from the journal; read as they are they would be wrong.
    """
    binding, written, before = ListingChapters(), [], Listing()
    for moment in evening():
        written.append(binding.bind(before, moment, BOND).hex())
        before = moment
    assert binding.topic == TOPIC
    assert (GOLDEN / f"{TOPIC}.txt").read_text().split() == written


def test_a_sample_reads_as_the_evening_it_was() -> None:
    """Every moment of it."""
    written = [bytes.fromhex(each) for each in (GOLDEN / f"{TOPIC}.txt").read_text().split()]
    for number, moment in enumerate(evening(), 1):
        assert plain(merged(*written[:number])) == plain(moment)


@pytest.mark.parametrize("damage", ["cut short", "empty", "one bit", "no chapter"])
def test_a_torn_chapter_is_told(damage: str) -> None:
    """Nothing of it is believed."""
    binding = ListingChapters()
    whole = binding.bind(Listing(), evening()[0], BOND)
    middle = len(whole) // 2
    torn = {
        "cut short": whole[:middle],
        "empty": b"",
        "one bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "no chapter": b"\x00\x00\x00\x00",
    }
    with pytest.raises(UnreadableError):
        binding.open(torn[damage])


def test_a_chapter_tells_all_that_a_listing_knows() -> None:
    """A field that is added to a listing or its book must be written as well; ``ListingChapters`` names each."""
    assert {each.name for each in attrs.fields(Listing)} == {
        "offer", "window", "units", "book", "sold_out", "short", "discounted", "references",
    }  # fmt: skip
    assert {each.name for each in attrs.fields(Book)} == {"holds", "sales", "bought", "deadlines"}


def test_the_shape_names_every_class_and_field() -> None:
    """So that a field with another type is another topic, wherever it is."""
    lines = shape(Listing).splitlines()
    assert [line.partition("(")[0] for line in lines] == [
        "Book", "Component", "Discount", "Hold", "Listing", "Offer", "Sale", "Units", "Window",
    ]  # fmt: skip
    assert "host_id: str, quantity: int, until: datetime" in lines[3]
    assert "closes_at: datetime | None" in lines[8]
