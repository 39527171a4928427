"""Finds out whether a key came twice among more keys than memory holds.

Eight bytes of a keyed hash are noted for each, sorted and set aside on disk a page at a time, so memory does not grow.
Equal keys have equal hashes, so a journal in which no hash came twice has no key twice; where one did, whoever asks
goes back and compares the keys themselves.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import IO, Final

PAGE_KEYS: Final = 2**17
_PARTS: Final = 64
"""A page is sorted, so its hashes fall into ranges; one range of all pages is looked through at a time."""
_BOUNDS: Final = [part << 58 for part in range(-_PARTS // 2, _PARTS // 2)]
_WIDTH: Final = 8


class Once:
    """Notes keys, and says which hashes came more than once."""

    def __init__(self, page_keys: int = PAGE_KEYS) -> None:
        self._page_keys = page_keys
        self._page = array("q")
        self._pages: list[list[int]] = []
        """Where the parts of each page begin in the file, and where the last one ends."""
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        """Count the keys that were noted."""
        written = self._pages[-1][-1] // _WIDTH if self._pages else 0
        return written + len(self._page)

    def note(self, keys: Sequence[str]) -> None:
        """Remember some keys."""
        self._page.extend(map(hash, keys))
        if len(self._page) >= self._page_keys:
            self._set_aside()

    def twice(self) -> set[int]:
        """Return the hashes that came more than once: what ``hash`` gives, in this process."""
        if not self._pages:
            return set(_repeated(self._page))
        self._set_aside()
        return {each for part in range(_PARTS) for each in _repeated(self._part(part))}

    def close(self) -> None:
        """Give the disk its room back."""
        if self._file is not None:
            self._file.close()

    def _set_aside(self) -> None:
        begin, hashes = len(self) - len(self._page), array("q", sorted(self._page))
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 - it lives as long as this does
        self._file.seek(begin * _WIDTH)
        hashes.tofile(self._file)
        self._pages.append([(begin + place) * _WIDTH for place in [*_places(hashes), len(hashes)]])
        self._page = array("q")

    def _part(self, part: int) -> "array[int]":
        found = array("q")
        assert self._file is not None
        for begins in self._pages:
            self._file.seek(begins[part])
            found.frombytes(self._file.read(begins[part + 1] - begins[part]))
        return found


def _places(hashes: Sequence[int]) -> list[int]:
    return [bisect_left(hashes, bound) for bound in _BOUNDS]


def _repeated(hashes: Sequence[int]) -> list[int]:
    if len(set(hashes)) == len(hashes):
        return []
    return [each for each, count in Counter(hashes).items() if count > 1]
