"""The counts that chapters have written, such as how many units each buyer has.

Most buyers have one. So the keys that count one are a set and only the others a dict: a set of a million keys is made
in a third of the time that a dict of them takes.
"""

from collections.abc import Iterator, MutableMapping
from itertools import chain
from typing import Any

import msgspec


class CountRows(msgspec.Struct, array_like=True):
    """What became of counts: those that are new or have changed, and the keys whose older ones are gone."""

    ones: list[str]
    others: dict[str, int]
    gone: list[str]

    @classmethod
    def of(cls, changed: dict[str, int], gone: list[str]) -> "CountRows":
        """Write them in the order of their keys."""
        ones = sorted(key for key, count in changed.items() if count == 1)
        others = {key: count for key, count in sorted(changed.items()) if count != 1}
        return cls(ones, others, sorted(gone))


class Counts(MutableMapping[str, int]):
    """Counts by key."""

    __slots__ = ("_ones", "_others")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._ones: set[str] = set()
        self._others: dict[str, int] = {}

    def merge(self, rows: CountRows) -> None:
        """Take in what the next chapter has written."""
        self._ones.difference_update(rows.gone)
        for key in self._others.keys() & rows.gone if self._others else ():
            del self._others[key]
        self._ones.update(rows.ones)
        self._others.update(rows.others)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the count of a key or ``default``."""
        return 1 if key in self._ones else self._others.get(key, default)

    def __getitem__(self, key: str) -> int:
        """Return the count of a key."""
        return 1 if key in self._ones else self._others[key]

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is counted."""
        return key in self._ones or key in self._others

    def __setitem__(self, key: str, count: int) -> None:
        """Count a key."""
        self._ones.discard(key)
        self._others[key] = count

    def __delitem__(self, key: str) -> None:
        """Count a key no longer."""
        if key in self._ones:
            self._ones.remove(key)
        else:
            del self._others[key]

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._ones) + len(self._others)

    def __iter__(self) -> Iterator[str]:
        """Walk the keys."""
        return chain(self._ones, self._others)
