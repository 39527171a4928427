"""What the chapters of a collection have written, left as it is until somebody asks for one of its values.

Merging a million keys into one dict was half of a cold start: each lands where no cache holds it. So the pages stay
apart, as in a log-structured merge tree (P. O'Neil et al., 1996), each with the range of its keys. Ids begin with their
time: a new one lies beyond all pages, which one comparison tells, and an old one is nearly always in the range of one.
Whatever keys are like, what is found is right; those in no order only cost more pages to look into.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from itertools import accumulate, compress
from operator import attrgetter
from typing import Any, Final

import msgspec

_ABSENT: Final[Any] = object()
_GONE: Final[Any] = object()
_packed = msgspec.msgpack.Encoder().encode
_keys_in = msgspec.msgpack.Decoder(list[str]).decode
_rows_in = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class Rows(msgspec.Struct, array_like=True):
    """What became of a collection: the values that are new or have changed, and the keys whose older ones are gone."""

    count: int
    low: str
    high: str
    keys: bytes
    rows: bytes
    """Values in the order of the keys; both still packed."""
    gone: list[str]

    @classmethod
    def of(cls, rows: dict[str, Any], gone: list[str]) -> "Rows":
        """Pack values in their order."""
        low, high = (min(rows), max(rows)) if rows else ("", "")
        return cls(len(rows), low, high, _packed([*rows]), _packed([*rows.values()]), sorted(gone))


class Page:
    """The values that one chapter has written and that still count."""

    __slots__ = ("_count", "_keys", "_rows", "_values", "high", "low", "still")

    def __init__(self, rows: Rows) -> None:
        """Have all of them; nothing is opened."""
        self.low, self.high = rows.low, rows.high
        self._count, self._rows = rows.count, rows.rows
        self._keys: list[str] | bytes = rows.keys
        self._values: dict[str, msgspec.Raw] | None = None
        self.still: list[bool] | None = None
        """For each of the keys whether it still counts; None when all do."""

    def leave_out(self, gone: set[str]) -> set[str]:
        """Do without what later chapters have made away with, before anybody asks; return which keys these were."""
        if not gone or not self._count:
            return set()
        keys = self.keys
        left_out = gone.intersection(keys)
        if left_out:
            self.still = [each not in left_out for each in keys]
            self._keys = [*compress(keys, self.still)]
            self._count = len(self._keys)
        return left_out

    def __len__(self) -> int:
        """Count the keys."""
        return self._count

    @property
    def keys(self) -> list[str]:
        """Return the keys in the order in which they were written."""
        if type(self._keys) is bytes:
            self._keys = _keys_in(self._keys)
        return self._keys  # type: ignore[return-value]  # it is a list by now

    @property
    def packed(self) -> bool:
        """Whether nobody has asked for a value yet."""
        return self._values is None

    def get(self, key: str) -> Any:
        """Return the value of a key, still packed, or ``_ABSENT``. The first question opens the page."""
        if self._values is None:
            rows = _rows_in(self._rows)
            self._values = dict(zip(self.keys, compress(rows, self.still) if self.still else rows, strict=True))
            self._rows = b""
        return self._values.get(key, _ABSENT)


async def pages_of(chapters: Sequence[Rows]) -> list[Page]:
    """Return a page a chapter, each without what later ones have made away with; others get their turn meanwhile."""
    pages, gone = [], set[str]()
    for rows in reversed(chapters):
        page = Page(rows)
        gone -= page.leave_out(gone)
        gone.update(rows.gone)
        pages.append(page)
        await asyncio.sleep(0)
    return pages[::-1]


class Pages(MutableMapping[str, Any]):
    """Pages, no key of which is in two of them, and on top of them whatever has changed since."""

    __slots__ = ("_beyond", "_covered", "_held", "_lows", "_pages", "_reach", "_top")

    def __init__(self, pages: Iterable[Page]) -> None:
        """Begin with what the pages hold."""
        self._pages = sorted((page for page in pages if len(page)), key=attrgetter("low"))
        self._lows = [page.low for page in self._pages]
        self._reach = [*accumulate([page.high for page in self._pages], max)]
        self._beyond = self._reach[-1] if self._reach else ""
        self._held = sum(map(len, self._pages))
        self._covered = 0
        """Values of pages that are gone, or that lie under others on top; and what is gone counts once more."""
        self._top: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key or ``default``."""
        found = self._top.get(key, _ABSENT)
        if found is _ABSENT and key <= self._beyond:
            found = self._paged(key)
        return default if found is _ABSENT or found is _GONE else found

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key."""
        found = self.get(key, _ABSENT)
        if found is _ABSENT:
            raise KeyError(key)
        return found

    def __contains__(self, key: object) -> bool:
        """Tell whether a key has a value."""
        return self.get(key, _ABSENT) is not _ABSENT  # type: ignore[arg-type]  # keys are texts

    def __setitem__(self, key: str, value: Any) -> None:
        """Give a key a value."""
        if key <= self._beyond:
            self._cover(key)
        self._top[key] = value

    def __delitem__(self, key: str) -> None:
        """Take the value of a key away."""
        if key not in self:
            raise KeyError(key)
        if key <= self._beyond:
            self._cover(key)
            self._top[key] = _GONE
            self._covered += 1
        else:
            del self._top[key]

    def _cover(self, key: str) -> None:
        """Note that something comes to lie on top of what a page may have."""
        below = self._top.get(key, _ABSENT)
        if below is _GONE or (below is _ABSENT and self._paged(key) is not _ABSENT):
            self._covered += 1 if below is _ABSENT else -1

    def __len__(self) -> int:
        """Count the keys."""
        return self._held + len(self._top) - self._covered

    def __iter__(self) -> Iterator[str]:
        """Walk the keys."""
        yield from (key for key, value in self._top.items() if value is not _GONE)
        for page in self._pages:
            yield from (key for key in page.keys if key not in self._top)

    def _paged(self, key: str) -> Any:
        """Look into the pages whose range the key lies in."""
        place = bisect_right(self._lows, key)
        while place and key <= self._reach[place - 1]:
            place -= 1
            page = self._pages[place]
            if key <= page.high:
                found = page.get(key)
                if found is not _ABSENT:
                    return found
        return _ABSENT
