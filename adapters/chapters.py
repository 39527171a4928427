"""How the chapters of a listing are written: what has changed of its state, in MessagePack.

A chapter holds the small core of the state as it is at its end (offer, window, units) and of the growing collections
only what the stretch has touched, with values as they are at its end, so all chapters of a history together are as long
as the history and no longer. Holds and sales stay in pages and packed when they are read (``chapter_pages``), for a
listing with a million of them needs none to sell the next unit; of buyers' counts all are needed (``chapter_counts``).

The topic names the shape of the state's classes, so chapters of another livetill's state are left alone by themselves.
When an event comes to *mean* something else for the same fields, ``VERSION`` must be raised; the golden chapter in
``tests/golden`` says so.
"""

import sys
import zlib
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import compress
from struct import pack
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import attrs
import msgspec

from adapters.chapter_counts import CountRows, Counts
from adapters.chapter_pages import Page, Pages, Rows, pages_of
from domain.ids import LISTING as LISTING_KIND
from domain.listing.offer import Window
from domain.listing.state import Listing, Offer
from domain.listing.units import Book, Hold, Sale, Units
from domain.persistent import Heap, Map, PackedMap
from domain.record import UnreadableError

VERSION: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CHECKSUM_BYTES: Final = 4


class ListingChapter(msgspec.Struct, array_like=True):
    """What a stretch of a listing's history has changed."""

    bond: bytes
    offer: Offer
    window: Window | None
    units: Units
    sold_out: bool
    short: int
    holds: Rows
    """By deadline."""
    deadlines: bytes
    """Of these, in microseconds, eight bytes each."""
    due: str
    """The hold that the first of the deadlines is of."""
    sales: Rows
    bought: CountRows
    discounted: CountRows
    references: CountRows


class ListingChapters:
    """How a listing's chapters are bound."""

    def __init__(self) -> None:
        """Name the format after the shape of the state."""
        self.topic = f"{LISTING_KIND}.chapter.v{VERSION}.{sha256(shape(Listing).encode()).hexdigest()[:8]}"
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(ListingChapter).decode

    def bind(self, before: Listing, now: Listing, bond: bytes) -> bytes:
        """Write what has changed from one state to a later one; equal states give the same bytes."""
        holds, holds_gone = now.book.holds.since(before.book.holds)
        by_deadline = sorted([(_microseconds(hold.until), key) for key, hold in holds.items()])
        sales, sales_gone = now.book.sales.since(before.book.sales)
        content = ListingChapter(
            bond, now.offer, now.window, now.units, now.sold_out, now.short,
            Rows.of({key: _hold_row(key, holds[key], until) for until, key in by_deadline}, holds_gone),
            _pack_deadlines([until for until, _ in by_deadline]),
            by_deadline[0][1] if by_deadline else "",
            Rows.of({key: _sale_row(key, sales[key]) for key in sorted(sales)}, sales_gone),
            CountRows.of(*now.book.bought.since(before.book.bought)),
            CountRows.of(*now.discounted.since(before.discounted)),
            CountRows.of(*now.references.since(before.references)),
        )  # fmt: skip
        written = self._encode(content)
        return zlib.crc32(written).to_bytes(_CHECKSUM_BYTES) + written

    def open(self, state: bytes) -> ListingChapter:
        """Read a chapter; ``UnreadableError`` when it is torn."""
        written = memoryview(state)[_CHECKSUM_BYTES:]
        if zlib.crc32(written) != int.from_bytes(state[:_CHECKSUM_BYTES]):
            raise UnreadableError("a chapter's checksum does not fit")
        try:
            return self._decode(written)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableError(f"a chapter cannot be read: {error}") from error

    def merging(self) -> "ListingMerging":
        """Begin with the state before the first event."""
        return ListingMerging()


class ListingMerging:
    """Makes a listing of its chapters."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._last: ListingChapter | None = None
        self._holds: list[Rows] = []
        self._due: list[tuple[bytes, str]] = []
        """Of the holds of each chapter the deadlines, and which is the first."""
        self._sales: list[Rows] = []
        self._bought = Counts()
        self._discounted = Counts()
        self._references = Counts()

    def add(self, chapter: ListingChapter) -> None:
        """Take the next chapter, as ``open`` gave it."""
        self._last = chapter
        self._holds.append(chapter.holds)
        self._due.append((chapter.deadlines, chapter.due))
        self._sales.append(chapter.sales)
        self._bought.merge(chapter.bought)
        self._discounted.merge(chapter.discounted)
        self._references.merge(chapter.references)

    async def state(self) -> Listing:
        """Return the listing after the last chapter; nothing may be added any more."""
        last = self._last
        if last is None:
            return Listing()
        holds = await pages_of(self._holds)
        runs = [_Run.of(page, *due) for page, due in zip(holds, self._due, strict=True) if len(page)]
        sales = await pages_of(self._sales)
        return Listing(
            offer=last.offer,
            window=last.window,
            units=last.units,
            book=Book(
                holds=PackedMap(Pages(holds), _hold),
                sales=PackedMap(Pages(sales), _sale),
                bought=Map.over(self._bought),
                deadlines=Heap.of_runs(runs),
            ),
            sold_out=last.sold_out,
            short=last.short,
            discounted=Map.over(self._discounted),
            references=Map.over(self._references),
        )


@attrs.frozen
class _Run(Sequence[tuple[datetime, str]]):
    """The deadlines of one chapter's holds, earliest first; an instant is made when somebody looks.

    The first is known without opening the page.
    """

    page: Page
    deadlines: "array[int]"
    due: str

    @classmethod
    def of(cls, page: Page, packed: bytes, due: str) -> "_Run":
        """Leave out the holds that later chapters have closed, or all of them would be waded through one day."""
        deadlines = _unpack_deadlines(packed)
        if page.still is None:
            return cls(page, deadlines, due)
        return cls(page, array("q", compress(deadlines, page.still)), page.keys[0])

    def __len__(self) -> int:
        return len(self.deadlines)

    def __getitem__(self, index: Any) -> Any:
        return _instant(self.deadlines[index]), self.page.keys[index] if index else self.due


def _pack_deadlines(microseconds: Sequence[int]) -> bytes:
    return pack(f"<{len(microseconds)}q", *microseconds)


def _unpack_deadlines(packed: bytes) -> "array[int]":
    deadlines = array("q", packed)
    if sys.byteorder != "little":  # pragma: no cover - no such machine is at hand
        deadlines.byteswap()
    return deadlines


def _hold_row(key: str, hold: Hold, until: int) -> tuple[Any, ...]:
    return (
        _named_by(key, hold.order_id), hold.buyer_id, hold.host_id, hold.quantity, until, hold.reserved_quantity,
        hold.reserved_amount_minor, hold.discount_id,
    )  # fmt: skip


_hold_fields = msgspec.msgpack.Decoder(tuple[str | None, str, str, int, int, int, int, str | None]).decode


def _hold(key: str, packed: Any) -> Hold:
    if type(packed) is Hold:
        return packed
    order_id, buyer_id, host_id, quantity, until, reserved, amount_minor, discount_id = _hold_fields(packed)
    return Hold(
        _order_id(key, order_id), buyer_id, host_id, quantity, _instant(until), reserved, amount_minor, discount_id
    )


def _sale_row(key: str, sale: Sale) -> tuple[Any, ...]:
    return (
        _named_by(key, sale.order_id), sale.buyer_id, sale.host_id, sale.quantity, sale.shipped, sale.returns,
        sale.discount_id,
    )  # fmt: skip


_sale_fields = msgspec.msgpack.Decoder(tuple[str | None, str, str, int, bool, tuple[str, ...], str | None]).decode


def _sale(key: str, packed: Any) -> Sale:
    if type(packed) is Sale:
        return packed
    order_id, buyer_id, host_id, quantity, shipped, returns, discount_id = _sale_fields(packed)
    return Sale(_order_id(key, order_id), buyer_id, host_id, quantity, shipped, returns, discount_id)


def _named_by(reservation_id: str, order_id: str) -> str | None:
    """Leave an order's id out where the reservation's says it, as it does."""
    return None if reservation_id.rpartition(":")[0] == order_id else order_id


def _order_id(reservation_id: str, order_id: str | None) -> str:
    return reservation_id.rpartition(":")[0] if order_id is None else order_id


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def shape(kind: type) -> str:
    """Describe a state's class, and the classes of its fields: what changes when a field does."""
    seen: dict[str, str] = {}
    _describe(kind, seen)
    return "\n".join(f"{name}({seen[name]})" for name in sorted(seen))


def _describe(kind: Any, seen: dict[str, str]) -> None:
    if attrs.has(kind) and kind.__name__ not in seen:
        hints = get_type_hints(kind)
        seen[kind.__name__] = ", ".join(f"{each.name}: {_name(hints[each.name])}" for each in attrs.fields(kind))
        for hint in hints.values():
            _describe(hint, seen)
    for argument in get_args(kind):
        _describe(argument, seen)


def _name(hint: Any) -> str:
    """Name a type as every version of Python would."""
    names = [_name(each) for each in get_args(hint)]
    if get_origin(hint) is UnionType:
        return " | ".join(names)
    name: str = getattr(hint, "__name__", "...")
    return f"{name}[{', '.join(names)}]" if names else name
