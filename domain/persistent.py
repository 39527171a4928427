"""Immutable collections whose newest version is as fast as a mutable one.

A listing's state holds every reservation of a show; copying it per event would make replay quadratic.

``Map`` keeps one dict that the newest version owns. ``set`` changes it in place and leaves the older version as a
note of the difference; reading an older version moves the dict back to it ("rerooting": H. Baker, "Shallow binding
makes functional arrays fast", 1991). Every version stays readable for ever; only the newest costs O(1). An older
version points at newer ones and never the reverse, so versions that nobody holds cost no memory.

``PackedMap`` is a map that was written down and read again: a value is unpacked when somebody asks for it.

``Heap`` is a binomial heap (J. Vuillemin, 1978): trees of 1, 2, 4, 8 … values, as the digits of a binary number. Adding
a value is counting up by one, mostly a step or two; ``pop`` is O(log n). Versions share all that they have in common.
Neither is safe to share between threads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_ABSENT: Any = object()


class Map(Generic[K, V]):
    """A persistent mapping; its order is not promised."""

    __slots__ = ("_items", "_key", "_newer", "_old")
    _items: MutableMapping[K, V] | None
    _newer: "Map[K, V]"
    _key: K
    _old: V

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        """Start from a copy of ``items``."""
        self._items = dict(items) if items else {}

    @classmethod
    def over(cls, items: MutableMapping[K, V]) -> "Map[K, V]":
        """Take a dict over as it is; nobody else may change it."""
        found: Map[K, V] = Map.__new__(Map)
        found._items = items
        return found

    def get(self, key: K, default: D = None) -> V | D:  # type: ignore[assignment]  # None unless told
        """Return the value of ``key`` or ``default``."""
        items = self._items
        return (self._rooted() if items is None else items).get(key, default)

    def __getitem__(self, key: K) -> V:
        """Return the value of ``key``; ``KeyError`` when there is none."""
        return self._rooted()[key]

    def __contains__(self, key: object) -> bool:
        """Tell whether ``key`` has a value."""
        items = self._items
        return key in (self._rooted() if items is None else items)

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

    def since(self, older: "Map[K, V]") -> tuple[dict[K, V], list[K]]:
        """Return what an older version lacks: pairs that are new or have changed, and the keys whose values are gone.

        A key that has another value now is in both. Takes as long as there were changes since then, and leaves the dict
        where it is. Between maps that share no past, as after one was emptied and begun anew, it takes as long as both
        are.
        """
        newest, mine = self._notes()
        root, theirs = older._notes()
        items: Mapping[K, V] = newest._items or {}
        if root is not newest:
            items, mine, theirs = {}, dict(self.items()), dict(older.items())
        changed, gone = dict[K, V](), list[K]()
        for key in theirs | mine:
            new = mine[key] if key in mine else items.get(key, _ABSENT)
            old = theirs[key] if key in theirs else items.get(key, _ABSENT)
            both = new is not _ABSENT and old is not _ABSENT
            if new is old or (both and self._opened(key, new) == self._opened(key, old)):
                continue
            if new is not _ABSENT:
                changed[key] = self._opened(key, new)
            if old is not _ABSENT:
                gone.append(key)
        return changed, gone

    def _notes(self) -> "tuple[Map[K, V], dict[K, V]]":
        """Walk to the version that has the dict, and return it with what is different here."""
        found: dict[K, V] = {}
        node = self
        while node._items is None:
            found.setdefault(node._key, node._old)
            node = node._newer
        return node, found

    def _opened(self, _key: K, value: V) -> V:
        """Return a value as it is to be read."""
        return value

    def _succeeded_by(self, items: MutableMapping[K, V], key: K, old: V) -> "Map[K, V]":
        newer: Map[K, V] = Map.__new__(Map)
        newer._items = items
        self._items, self._newer, self._key, self._old = None, newer, key, old
        return newer

    def _rooted(self) -> MutableMapping[K, V]:
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


class PackedMap(Map[K, V]):
    """A persistent mapping that starts from values somebody has packed; ``unpack`` returns what is not packed as is.

    A value costs something only when it is asked for.
    """

    __slots__ = ("_unpack",)
    _unpack: Callable[[K, Any], V]

    def __init__(self, packed: MutableMapping[K, Any], unpack: Callable[[K, Any], V]) -> None:
        """Take a mapping over; nobody else may change it."""
        self._items, self._unpack = packed, unpack

    def get(self, key: K, default: D = None) -> V | D:  # type: ignore[assignment]
        """Return the value of ``key`` or ``default``."""
        value = self._rooted().get(key, _ABSENT)
        return default if value is _ABSENT else self._unpack(key, value)

    def __getitem__(self, key: K) -> V:
        """Return the value of ``key``; ``KeyError`` when there is none."""
        return self._unpack(key, self._rooted()[key])

    def items(self) -> list[tuple[K, V]]:
        """Return all pairs."""
        return [(key, self._unpack(key, value)) for key, value in self._rooted().items()]

    def values(self) -> list[V]:
        """Return all values."""
        return [value for _, value in self.items()]

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Map) and (self is other or dict(self.items()) == dict(other.items()))

    __hash__ = None

    def __repr__(self) -> str:
        """Show the content."""
        return f"PackedMap({dict(self.items())!r})"

    def _opened(self, key: K, value: V) -> V:
        return self._unpack(key, value)

    def _succeeded_by(self, items: MutableMapping[K, V], key: K, old: V) -> Map[K, V]:
        newer: PackedMap[K, V] = PackedMap.__new__(PackedMap)
        newer._items, newer._unpack = items, self._unpack
        self._items, self._newer, self._key, self._old = None, newer, key, old
        return newer


_Tree = tuple[int, Any, Any]
"""(rank, value, children): 2 ** rank values, the smallest on top; its children are a forest, highest rank first."""
_Forest = tuple[_Tree, Any] | None
"""(tree, other trees), lowest rank first, each rank at most once."""


class Heap(Generic[V]):
    """A persistent priority queue: ``first`` is the smallest value."""

    __slots__ = ("_first", "_forest")
    _first: V | None
    _forest: _Forest

    def __init__(self) -> None:
        """Start empty."""
        self._first = self._forest = None

    @classmethod
    def of_runs(cls, runs: Iterable[Sequence[V]]) -> "Heap[V]":
        """Return the heap of tuples that come in several sequences, each smallest first.

        It holds the first of each, and the next when that one is gone: the rest need not be made before.
        """
        heap: Heap[V] = cls()
        for run in runs:
            heap = heap._with_rest(run, 0)
        return heap

    @property
    def first(self) -> V | None:
        """The smallest value; None when empty."""
        return self._first

    def push(self, value: V) -> "Heap[V]":
        """Return the heap with ``value``."""
        first = self._first
        smallest = value if first is None or value < first else first  # type: ignore[operator]  # values have an order
        return self._of(smallest, _with((0, value, None), self._forest))

    def pop(self) -> "Heap[V]":
        """Return the heap without its smallest value."""
        if self._forest is None:
            return self
        least = min(_trees(self._forest), key=_value)
        forest = _merged(_without(least, self._forest), _reversed(least[2]))
        heap = self._of(min(map(_value, _trees(forest)), default=None), forest)
        return heap._with_rest(*least[1].rest) if type(least[1]) is _OfRun else heap

    def __iter__(self) -> Iterator[V]:
        """Walk the values, smallest first."""
        heap = self
        while heap._forest is not None:
            yield heap._first  # type: ignore[misc]  # there is one
            heap = heap.pop()

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Heap) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _with_rest(self, run: Sequence[V], index: int) -> "Heap[V]":
        return self.push(_OfRun.of(run, index)) if index < len(run) else self

    @staticmethod
    def _of(first: V | None, forest: _Forest) -> "Heap[V]":
        heap: Heap[V] = Heap.__new__(Heap)
        heap._first, heap._forest = first, forest
        return heap


class _OfRun(tuple[Any, ...]):  # noqa: SLOT001 - Python gives a kind of tuple no slots of its own
    """A value that the next one of its run follows."""

    rest: tuple[Sequence[Any], int]

    @classmethod
    def of(cls, run: Sequence[Any], index: int) -> Any:
        """Take a value out of a run."""
        value = cls(run[index])
        value.rest = (run, index + 1)
        return value


_value = itemgetter(1)


def _trees(forest: _Forest) -> Iterator[_Tree]:
    while forest is not None:
        yield forest[0]
        forest = forest[1]


def _with(tree: _Tree, forest: _Forest) -> _Forest:
    """Add a tree whose rank is not above the lowest: two of a rank make one of the next, as digits carry."""
    while forest is not None and forest[0][0] == tree[0]:
        tree, forest = _linked(tree, forest[0]), forest[1]
    return (tree, forest)


def _linked(a: _Tree, b: _Tree) -> _Tree:
    """Put the larger of two trees of one rank under the other."""
    return (a[0] + 1, b[1], (a, b[2])) if b[1] < a[1] else (a[0] + 1, a[1], (b, a[2]))


def _without(tree: _Tree, forest: _Forest) -> _Forest:
    assert forest is not None
    return forest[1] if forest[0] is tree else (forest[0], _without(tree, forest[1]))


def _reversed(forest: _Forest) -> _Forest:
    turned: _Forest = None
    for tree in _trees(forest):
        turned = (tree, turned)
    return turned


def _merged(a: _Forest, b: _Forest) -> _Forest:
    """Add two forests digit by digit: at most log2(n) + 1 digits, so recursion is safe."""
    if a is None or b is None:
        return a or b
    if a[0][0] < b[0][0]:
        return (a[0], _merged(a[1], b))
    if b[0][0] < a[0][0]:
        return (b[0], _merged(a, b[1]))
    return _with(_linked(a[0], b[0]), _merged(a[1], b[1]))
