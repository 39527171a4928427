"""Immutable collections whose newest version is as fast as a mutable one.

A listing's state holds every reservation of a show; copying it per event would make replay quadratic.

``Map`` keeps one dict that the newest version owns. ``set`` changes it in place and leaves the older version as a
note of the difference; reading an older version moves the dict back to it ("rerooting": H. Baker, "Shallow binding
makes functional arrays fast", 1991). Every version stays readable for ever; only the newest costs O(1). An older
version points at newer ones and never the reverse, so versions that nobody holds cost no memory.

``Heap`` is a leftist heap (C. A. Crane, 1972): insert and pop in O(log n), sharing all the rest.
Neither is safe to share between threads.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_ABSENT: Any = object()


class Map(Generic[K, V]):
    """A persistent mapping; its order is not promised."""

    __slots__ = ("_items", "_key", "_newer", "_old")
    _items: dict[K, V] | None
    _newer: "Map[K, V]"
    _key: K
    _old: V

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        """Start from a copy of ``items``."""
        self._items = dict(items) if items else {}

    def get(self, key: K, default: D = None) -> V | D:  # type: ignore[assignment]  # None unless told
        """Return the value of ``key`` or ``default``."""
        items = self._items
        return (self._rooted() if items is None else items).get(key, default)

    def __getitem__(self, key: K) -> V:
        """Return the value of ``key``; ``KeyError`` when there is none."""
        return self._rooted()[key]

    def __contains__(self, key: object) -> bool:
        """Tell whether ``key`` has a value."""
        return key in self._rooted()

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._rooted())

    def __iter__(self) -> Iterator[K]:
        """Walk a copy of the keys, so that newer versions may be made on the way."""
        return iter(list(self._rooted()))

    def items(self) -> list[tuple[K, V]]:
        """Return all pairs."""
        return list(self._rooted().items())

    def values(self) -> list[V]:
        """Return all values."""
        return list(self._rooted().values())

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Map) and (self is other or dict(self._rooted()) == other._rooted())

    __hash__ = None  # type: ignore[assignment]  # compared by content, so not to be a key

    def __repr__(self) -> str:
        """Show the content."""
        return f"Map({self._rooted()!r})"

    def set(self, key: K, value: V) -> "Map[K, V]":
        """Return the version in which ``key`` has ``value``; an empty map stays its own, so it can be shared."""
        items = self._rooted()
        if not items:
            return Map({key: value})
        old = items.get(key, _ABSENT)
        items[key] = value
        return self._succeeded_by(items, key, old)

    def delete(self, key: K) -> "Map[K, V]":
        """Return the version without ``key``; the same one when it is not there."""
        items = self._rooted()
        old = items.pop(key, _ABSENT)
        return self if old is _ABSENT else self._succeeded_by(items, key, old)

    def _succeeded_by(self, items: dict[K, V], key: K, old: V) -> "Map[K, V]":
        newer: Map[K, V] = Map.__new__(Map)
        newer._items = items
        self._items, self._newer, self._key, self._old = None, newer, key, old
        return newer

    def _rooted(self) -> dict[K, V]:
        if self._items is not None:
            return self._items
        path, node = [], self
        while node._items is None:
            path.append(node)
            node = node._newer
        for older in reversed(path):
            older._take_over(node)
            node = older
        return node._items  # type: ignore[return-value]  # the loop has just given it back

    def _take_over(self, newer: "Map[K, V]") -> None:
        """Move the dict from the next newer version to this one; it keeps the difference the other way round."""
        items, key, old = newer._items, self._key, self._old
        assert items is not None
        current = items.get(key, _ABSENT)
        if old is _ABSENT:
            del items[key]
        else:
            items[key] = old
        self._items = items
        newer._items, newer._newer, newer._key, newer._old = None, self, key, current
        del self._newer, self._key, self._old


_Node = tuple[int, Any, Any, Any]
"""(rank, value, left, right): the right spine is the shortest way to an empty place."""


class Heap(Generic[V]):
    """A persistent priority queue: ``first`` is the smallest value."""

    __slots__ = ("_root",)
    _root: _Node | None

    def __init__(self) -> None:
        """Start empty."""
        self._root = None

    @property
    def first(self) -> V | None:
        """The smallest value; None when empty."""
        return None if self._root is None else self._root[1]

    def push(self, value: V) -> "Heap[V]":
        """Return the heap with ``value``."""
        return self._of(_merged(self._root, (1, value, None, None)))

    def pop(self) -> "Heap[V]":
        """Return the heap without its smallest value."""
        return self if self._root is None else self._of(_merged(self._root[2], self._root[3]))

    def __iter__(self) -> Iterator[V]:
        """Walk the values, smallest first."""
        heap = self
        while heap._root is not None:
            yield heap._root[1]
            heap = heap.pop()

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Heap) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    @staticmethod
    def _of(root: _Node | None) -> "Heap[V]":
        heap: Heap[V] = Heap()
        heap._root = root
        return heap


def _merged(a: _Node | None, b: _Node | None) -> _Node | None:
    """Merge along the right spines: at most log2(n) + 1 deep each, so recursion is safe."""
    if a is None:
        return b
    if b is None:
        return a
    if b[1] < a[1]:
        a, b = b, a
    left, right = a[2], _merged(a[3], b)
    if left is None or (right is not None and left[0] < right[0]):
        left, right = right, left
    return (1 if right is None else right[0] + 1, a[1], left, right)
