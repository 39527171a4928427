"""How the chapters of a listing are written: what has changed of its state, in MessagePack.

A chapter holds the small core of the state as it is at its end (offer, window, units) and of the growing collections
only what the stretch has touched, with values as they are at its end: merging is ``dict.update``, and all chapters of
a history together are as long as the history and no longer. Holds and sales stay packed when they are read, for a
listing with a million of them needs none to sell the next unit.

The topic names the shape of the state's classes, so chapters of another livetill's state are left alone by themselves.
When an event comes to *mean* something else for the same fields, ``VERSION`` must be raised; the golden chapter in
``tests/golden`` says so.
"""

import asyncio
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

from domain.ids import LISTING as LISTING_KIND
from domain.listing.offer import Window
from domain.listing.state import Listing, Offer
from domain.listing.units import Book, Hold, Sale, Units
from domain.persistent import Heap, Map, PackedMap
from domain.record import UnreadableError

VERSION: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CHECKSUM_BYTES: Final = 4


class _Rows(msgspec.Struct, array_like=True):
    """What became of values: those that are new or have changed, and the keys that are gone."""

    keys: list[str]
    rows: bytes
    """Their values in the same order, still packed."""
    gone: list[str]


class _Counts(msgspec.Struct, array_like=True):
    """What became of counts."""

    now: dict[str, int]
    gone: list[str]


class ListingChapter(msgspec.Struct, array_like=True):
    """What a stretch of a listing's history has changed."""

    bond: bytes
    offer: Offer
    window: Window | None
    units: Units
    sold_out: bool
    short: int
    holds: _Rows
    """By deadline."""
    deadlines: bytes
    """Of these, in microseconds, eight bytes each."""
    sales: _Rows
    bought: _Counts
    discounted: _Counts
    references: _Counts


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
            self._rows({key: _hold_row(key, holds[key], until) for until, key in by_deadline}, holds_gone),
            _pack_deadlines([until for until, _ in by_deadline]),
            self._rows({key: _sale_row(key, sales[key]) for key in sorted(sales)}, sales_gone),
            _counts(now.book.bought, before.book.bought),
            _counts(now.discounted, before.discounted),
            _counts(now.references, before.references),
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

    def _rows(self, rows: dict[str, Any], gone: list[str]) -> _Rows:
        return _Rows([*rows], self._encode([*rows.values()]), sorted(gone))

    def merging(self) -> "ListingMerging":
        """Begin with the state before the first event."""
        return ListingMerging()


class ListingMerging:
    """Makes a listing of its chapters."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._last: ListingChapter | None = None
        self._holds: dict[str, Any] = {}
        self._sales: dict[str, Any] = {}
        self._bought: dict[str, int] = {}
        self._discounted: dict[str, int] = {}
        self._references: dict[str, int] = {}
        self._runs: list[tuple[_Run, list[str]]] = []
        """Of each chapter, the deadlines of its holds, and those before it that it has closed."""

    def add(self, chapter: ListingChapter) -> None:
        """Take the next chapter, as ``open`` gave it."""
        self._last = chapter
        _merge(self._holds, _pages(chapter.holds), chapter.holds.gone)
        _merge(self._sales, _pages(chapter.sales), chapter.sales.gone)
        _merge(self._bought, chapter.bought.now, chapter.bought.gone)
        _merge(self._discounted, chapter.discounted.now, chapter.discounted.gone)
        _merge(self._references, chapter.references.now, chapter.references.gone)
        self._runs.append((_Run(chapter.holds.keys, _unpack_deadlines(chapter.deadlines)), chapter.holds.gone))

    async def state(self) -> Listing:
        """Return the listing after the last chapter; nothing may be added any more."""
        last = self._last
        if last is None:
            return Listing()
        deadlines = await _open(self._runs)
        return Listing(
            offer=last.offer,
            window=last.window,
            units=last.units,
            book=Book(
                holds=PackedMap(self._holds, _hold),
                sales=PackedMap(self._sales, _sale),
                bought=Map.over(self._bought),
                deadlines=Heap.of_runs(deadlines),
            ),
            sold_out=last.sold_out,
            short=last.short,
            discounted=Map.over(self._discounted),
            references=Map.over(self._references),
        )


@attrs.frozen
class _Run(Sequence[tuple[datetime, str]]):
    """The deadlines of one chapter's holds, earliest first; an instant is made when somebody looks."""

    ids: list[str]
    deadlines: "array[int]"

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        return _instant(self.deadlines[index]), self.ids[index]

    def without(self, gone: set[str]) -> "_Run":
        """Leave out the holds that later chapters have closed, or all of them would be waded through one day."""
        if gone.isdisjoint(self.ids):
            return self
        still = [each not in gone for each in self.ids]
        return _Run([*compress(self.ids, still)], array("q", compress(self.deadlines, still)))


async def _open(runs: Sequence[tuple[_Run, list[str]]]) -> list[_Run]:
    """Return the deadlines of holds that are still open at the end of the last run."""
    still, gone = [], set[str]()
    for run, closed in reversed(runs):
        still.append(run.without(gone))
        gone.update(closed)
        await asyncio.sleep(0)
    return still


class _Page:
    """The values of one chapter, packed all together: the first that is asked for opens it."""

    __slots__ = ("_keys", "_rows", "_values")

    def __init__(self, changes: _Rows) -> None:
        self._keys, self._rows = changes.keys, changes.rows
        self._values: dict[str, msgspec.Raw] | None = None

    def __getitem__(self, key: str) -> msgspec.Raw:
        if self._values is None:
            self._values = dict(zip(self._keys, _opened_rows(self._rows), strict=True))
        return self._values[key]


_opened_rows = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def _pages(changes: _Rows) -> dict[str, Any]:
    return dict.fromkeys(changes.keys, _Page(changes))


def _merge(into: dict[str, Any], now: dict[str, Any], gone: list[str]) -> None:
    into.update(now)
    for key in gone:
        into.pop(key, None)


def _counts(now: Map[str, int], before: Map[str, int]) -> _Counts:
    changed, gone = now.since(before)
    return _Counts(dict(sorted(changed.items())), sorted(gone))


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
    order_id, buyer_id, host_id, quantity, until, reserved, amount_minor, discount_id = _hold_fields(packed[key])
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
    order_id, buyer_id, host_id, quantity, shipped, returns, discount_id = _sale_fields(packed[key])
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
