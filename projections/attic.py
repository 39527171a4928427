"""The attic: where a walk over the journal puts what it has not touched for long, so that its memory does not grow.

A listing remembers each hold, sale and buyer of its history, for units may come back after weeks. Whoever folds the
journal once, from the first record to the last, needs no older version of a state: the collections here look like
those of ``domain.persistent`` and change in place. What is new is in memory. When all of them together have taken in a
certain number of entries, everything is put away in a nameless SQLite database that is gone with the process, and is
looked up there by its key. A filter (B. H. Bloom, 1970) knows what was surely never put away, so new keys need no
look-up.
"""

import marshal
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final, TypeVar

from domain.listing.state import Listing
from domain.listing.units import Book, Hold, Sale
from domain.persistent import Heap, Map

V = TypeVar("V")
D = TypeVar("D")
Deadline = tuple[datetime, str]

KEPT: Final = 150_000
"""Entries that may be taken in before everything is put away: some fifty megabytes."""
PAGE: Final = 1_000
"""Deadlines that are put away together."""
_FILTER_BITS: Final = 27
_MASK: Final = 2**_FILTER_BITS - 1
_SETTINGS: Final = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "cache_size = -16000")
"""Nothing in the file outlives the process, so nothing in it is worth protecting."""
_PUT: Final = "INSERT OR REPLACE INTO thing VALUES (?, ?, ?)"
_FIND: Final = "SELECT value FROM thing WHERE shelf = ? AND key = ?"
_ALL: Final = "SELECT key, value FROM thing WHERE shelf = ?"
_DROP: Final = "DELETE FROM thing WHERE shelf = ? AND key = ?"
_ABSENT: Final[Any] = object()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Attic:
    """The file, and the collections that put things there."""

    def __init__(self, kept: int = KEPT) -> None:
        """Start empty; the file is made when it is first needed."""
        self.taken_in = 0
        """Entries since everything was last put away."""
        self.has_things = False
        """Whether anything ever was."""
        self._kept = kept
        self._shelves: list[Shelf[Any]] = []
        self._pages = 0
        self._opened: sqlite3.Connection | None = None
        self._filter = bytearray()

    def listing(self, *, marked: bool) -> Listing:
        """Return the state before the first event of a listing that is only walked; ``marked``: see ``Shelf.since``."""
        holds, sales = (
            Shelf(self, _hold_put, _hold_taken, marked=marked),
            Shelf(self, _sale_put, _sale_taken, marked=marked),
        )
        counts: list[Shelf[Any]] = [Shelf(self, marshal.dumps, marshal.loads, marked=marked) for _ in range(3)]
        bought, discounted, references = counts
        return Listing(book=Book(holds, sales, bought, Deadlines(self)), discounted=discounted, references=references)

    def tidy(self) -> None:
        """Put everything away if enough has been taken in; to be called between two records."""
        if self.taken_in < self._kept:
            return
        if not self.has_things:
            self._filter, self.has_things = bytearray(2 ** (_FILTER_BITS - 3)), True
        file = self._file()
        file.execute("BEGIN")
        for shelf in self._shelves:
            shelf.put_away(file, self._filter)
        file.execute("COMMIT")
        self.taken_in = 0

    def close(self) -> None:
        """Give the disk its room back."""
        if self._opened is not None:
            self._opened.close()

    def add(self, shelf: "Shelf[Any]") -> int:
        """Take a collection in, and number it."""
        self._shelves.append(shelf)
        return len(self._shelves)

    def find(self, shelf: int, key: str) -> Any:
        """Return what was put away under a key of a collection, as it was written."""
        if not self._may_have(shelf, key):
            return _ABSENT
        found = self._file().execute(_FIND, (shelf, key)).fetchone()
        return _ABSENT if found is None else found[0]

    def walk(self, shelf: int) -> Iterator[tuple[str, Any]]:
        """Yield everything that was put away of a collection, as it was written."""
        if self.has_things:
            yield from self._file().execute(_ALL, (shelf,))

    def drop(self, shelf: int, key: str) -> None:
        """Throw away what was put away under a key, if anything was."""
        if self._may_have(shelf, key):
            self._file().execute(_DROP, (shelf, key))

    def _may_have(self, shelf: int, key: str) -> bool:
        place = hash((shelf, key)) & _MASK
        return bool(self._filter[place >> 3] >> (place & 7) & 1)

    def put_page(self, deadlines: list[Deadline]) -> int:
        """Put deadlines away together; return the page's number."""
        self._pages += 1
        written = marshal.dumps([(_microseconds(until), key) for until, key in deadlines])
        self._file().execute("INSERT INTO page VALUES (?, ?)", (self._pages, written))
        return self._pages

    def page(self, number: int) -> list[Deadline]:
        """Return a page of deadlines."""
        [(written,)] = self._file().execute("SELECT deadlines FROM page WHERE number = ?", (number,))
        return [(_instant(until), key) for until, key in marshal.loads(written)]  # noqa: S302 - what we wrote ourselves

    def drop_page(self, number: int) -> None:
        """Throw a page away."""
        self._file().execute("DELETE FROM page WHERE number = ?", (number,))

    def _file(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = sqlite3.connect("", isolation_level=None)
            for setting in _SETTINGS:
                self._opened.execute(f"PRAGMA {setting}")
            self._opened.execute("CREATE TABLE thing (shelf, key, value, PRIMARY KEY (shelf, key)) WITHOUT ROWID")
            self._opened.execute("CREATE TABLE page (number INTEGER PRIMARY KEY, deadlines)")
        return self._opened


class Shelf(Map[str, V]):
    """A mapping that changes in place; to whoever folds it looks like one that does not."""

    __slots__ = ("_attic", "_changed", "_hot", "_number", "_put", "_taken", "gone")

    def __init__(self, attic: Attic, put: Callable[[V], Any], taken: Callable[[Any], V], *, marked: bool) -> None:
        """Start empty. ``put`` makes of a value what SQLite can hold, ``taken`` makes the value of it again."""
        self._attic, self._put, self._taken = attic, put, taken
        self._hot: dict[str, V] = {}
        self._changed: dict[str, V] | None = {} if marked else None
        """By key: what it was when ``since`` was last asked."""
        self._number = attic.add(self)
        self.gone: V | None = None
        """What was taken away last: there is no older version in which it could be looked up."""

    def get(self, key: str, default: D = None) -> V | D:  # type: ignore[assignment]  # None unless told
        """Return the value of ``key`` or ``default``."""
        found = self._hot.get(key, _ABSENT)
        if found is _ABSENT and self._attic.has_things:
            found = self._found(key)
        return default if found is _ABSENT else found

    def __getitem__(self, key: str) -> V:
        """Return the value of ``key``; ``KeyError`` when there is none."""
        found = self._found(key)
        if found is _ABSENT:
            raise KeyError(key)
        return found  # type: ignore[no-any-return]

    def __contains__(self, key: object) -> bool:
        """Tell whether ``key`` has a value."""
        return self._found(key) is not _ABSENT

    def set(self, key: str, value: V) -> "Shelf[V]":
        """Give ``key`` a value."""
        changed = self._changed
        if changed is not None and key not in changed:
            changed[key] = self._found(key)
        self._hot[key] = value
        self._attic.taken_in += 1
        return self

    def delete(self, key: str) -> "Shelf[V]":
        """Take the value of ``key`` away, if it has one."""
        found = self._found(key)
        if found is not _ABSENT:
            self.gone = found
            if self._changed is not None:
                self._changed.setdefault(key, found)
            self._hot.pop(key, None)
            if self._attic.has_things:
                self._attic.drop(self._number, key)
        return self

    def walk(self) -> Iterator[tuple[str, V]]:
        """Yield all pairs, in no order, without having them in memory."""
        yield from self._hot.items()
        for key, written in self._attic.walk(self._number):
            if key not in self._hot:
                yield key, self._taken(written)

    def since(self, older: Map[str, V]) -> tuple[dict[str, V], list[str]]:
        """Return what has changed since this was last asked: pairs that are new or different, keys of values gone."""
        before = self._changed
        assert older is self, "a walked mapping has no older versions"
        assert before is not None, "it was not told to note what changes"
        self._changed = {}
        now = {key: value for key in before if (value := self._found(key)) != before[key]}
        changed = {key: value for key, value in now.items() if value is not _ABSENT}
        return changed, [key for key in now if before[key] is not _ABSENT]

    def put_away(self, file: sqlite3.Connection, known: bytearray) -> None:
        """Write everything to the file, and note it in the filter."""
        number, put, hot = self._number, self._put, self._hot
        for key in hot:
            place = hash((number, key)) & _MASK
            known[place >> 3] |= 1 << (place & 7)
        file.executemany(_PUT, [(number, key, put(hot[key])) for key in sorted(hot)])
        hot.clear()

    def _found(self, key: Any) -> Any:
        found = self._hot.get(key, _ABSENT)
        if found is not _ABSENT or not self._attic.has_things:
            return found
        written = self._attic.find(self._number, key)
        return _ABSENT if written is _ABSENT else self._taken(written)

    def _rooted(self) -> dict[str, V]:
        raise TypeError("a walked mapping is asked key by key")


class Deadlines(Heap[Deadline]):
    """A priority queue that changes in place. Deadlines nearly always come in order, so its middle is put away."""

    __slots__ = ("_attic", "_back", "_early", "_front", "_latest", "_pages")

    def __init__(self, attic: Attic) -> None:
        """Start empty."""
        self._attic = attic
        self._front: deque[Deadline] = deque()
        self._pages: deque[int] = deque()
        self._back: list[Deadline] = []
        self._latest = _EPOCH
        self._early: list[Deadline] = []
        """Those that came out of order: of late payments, which get their units only to keep them."""

    @property
    def first(self) -> Deadline | None:
        """The smallest; None when empty."""
        front = self._in_front()
        if self._early and (not front or self._early[0] < front[0]):
            return self._early[0]
        return front[0] if front else None

    def push(self, value: Deadline) -> "Deadlines":
        """Take one in."""
        if value[0] < self._latest:
            heappush(self._early, value)
            return self
        self._latest = value[0]
        self._back.append(value)
        if len(self._back) >= 2 * PAGE:
            self._pages.append(self._attic.put_page(self._back[:PAGE]))
            del self._back[:PAGE]
        return self

    def pop(self) -> "Deadlines":
        """Take the smallest out."""
        first = self.first
        if self._early and first is self._early[0]:
            heappop(self._early)
        elif first is not None:
            self._front.popleft()
        return self

    def upto(self, now: datetime) -> Iterator[Deadline]:
        """Walk those that have come, leaving all where they are."""
        yield from (each for each in self._early if each[0] <= now)
        for page in self._in_order():
            for each in page:
                if each[0] > now:
                    return
                yield each

    def _in_front(self) -> deque[Deadline]:
        """Return the first of the queue, brought to hand."""
        if not self._front and self._pages:
            number = self._pages.popleft()
            self._front.extend(self._attic.page(number))
            self._attic.drop_page(number)
        elif not self._front:
            self._front.extend(self._back)
            self._back.clear()
        return self._front

    def _in_order(self) -> Iterator[Any]:
        yield self._in_front()
        yield from map(self._attic.page, self._pages)
        yield self._back


def units_due(listing: Listing, now: datetime) -> int:
    """Return how many units of a walked listing are held beyond their deadline: they are for sale again."""
    deadlines = listing.book.deadlines
    assert isinstance(deadlines, Deadlines)
    quantities = {
        key: hold.quantity
        for until, key in deadlines.upto(now)
        if (hold := listing.book.holds.get(key)) is not None and hold.until == until
    }  # one that was made anew at the same instant is there twice
    return sum(quantities.values())


def released(listing: Listing, reservation_id: str) -> Hold:
    """Return the hold of a walked listing of which units were released just now; perhaps it is gone with them."""
    holds = listing.book.holds
    assert isinstance(holds, Shelf)
    hold: Hold | None = holds.get(reservation_id) or holds.gone
    assert hold is not None, "a hold from which nothing could be released"
    return hold


def _hold_put(hold: Hold) -> bytes:
    return marshal.dumps((
        hold.order_id, hold.buyer_id, hold.host_id, hold.quantity, _microseconds(hold.until), hold.reserved_quantity,
        hold.reserved_amount_minor, hold.discount_id,
    ))  # fmt: skip


def _hold_taken(written: bytes) -> Hold:
    order_id, buyer_id, host_id, quantity, until, *reserved = marshal.loads(written)  # noqa: S302 - what we wrote
    return Hold(order_id, buyer_id, host_id, quantity, _instant(until), *reserved)


def _sale_put(sale: Sale) -> bytes:
    return marshal.dumps((
        sale.order_id, sale.buyer_id, sale.host_id, sale.quantity, sale.shipped, sale.returns, sale.discount_id,
    ))  # fmt: skip


def _sale_taken(written: bytes) -> Sale:
    return Sale(*marshal.loads(written))  # noqa: S302 - what we wrote ourselves


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
