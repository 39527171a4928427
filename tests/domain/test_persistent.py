"""Persistent collections against the ones of the standard library: every version stays what it was."""

import gc
import heapq
from itertools import chain
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from domain.persistent import Heap, Map, PackedMap
from tests.domain.subject import depths

keys = st.integers(0, 8)
SHARED: Map[int, int] = Map()
"""One empty map that every walk starts from, as the states' defaults are shared."""


class MapWalk(RuleBasedStateMachine):
    """Make versions from any version, old or new, and read any of them at any time."""

    versions: Bundle[tuple[Map[int, int], dict[int, int]]] = Bundle("versions")

    @initialize(target=versions)
    def share_the_empty_map(self) -> tuple[Map[int, int], dict[int, int]]:
        """Every walk branches from the same object."""
        return SHARED, {}

    @rule(target=versions, items=st.dictionaries(keys, st.integers(), max_size=5))
    def start(self, items: dict[int, int]) -> tuple[Map[int, int], dict[int, int]]:
        """Start from a copy: what happens to the original later is its own business."""
        version = Map(items), dict(items)
        items.clear()
        return version

    @rule(target=versions, items=st.dictionaries(keys, st.integers(), max_size=5))
    def start_packed(self, items: dict[int, int]) -> tuple[Map[int, int], dict[int, int]]:
        """Start from values that were written down; what is put in later is not."""
        packed = {key: str(value) for key, value in items.items()}
        return PackedMap(packed, lambda _, value: int(value)), items

    @rule(target=versions, version=versions, key=keys, value=st.integers())
    def set(self, version: tuple[Map[int, int], dict[int, int]], key: int, value: int) -> Any:
        """A new version from any version."""
        found, model = version
        return found.set(key, value), {**model, key: value}

    @rule(target=versions, version=versions, key=keys)
    def delete(self, version: tuple[Map[int, int], dict[int, int]], key: int) -> Any:
        """A key that is not there is no change."""
        found, model = version
        return found.delete(key), {each: value for each, value in model.items() if each != key}

    @rule(version=versions)
    def read(self, version: tuple[Map[int, int], dict[int, int]]) -> None:
        """Any version reads as on its first day, in every way there is."""
        found, model = version
        assert dict(found.items()) == model
        assert sorted(found) == sorted(model)
        assert sorted(found.values()) == sorted(model.values())
        assert len(found) == len(model)
        for key in range(9):
            assert found.get(key) == model.get(key)
            assert found.get(key, -1) == model.get(key, -1)
            assert (key in found) is (key in model)

    @rule(version=versions, key=keys)
    def read_one(self, version: tuple[Map[int, int], dict[int, int]], key: int) -> None:
        """A key that is not there is a ``KeyError``."""
        found, model = version
        if key in model:
            assert found[key] == model[key]
        else:
            with pytest.raises(KeyError):
                found[key]

    @rule(one=versions, other=versions)
    def compare(self, one: tuple[Map[int, int], dict[int, int]], other: tuple[Map[int, int], dict[int, int]]) -> None:
        """Versions are equal iff their contents are, whether they share a past or not."""
        assert (one[0] == other[0]) is (one[1] == other[1])

    @rule(newer=versions, older=versions)
    def tell_apart(
        self, newer: tuple[Map[int, int], dict[int, int]], older: tuple[Map[int, int], dict[int, int]]
    ) -> None:
        """What one version has more or other than another, and what less, whichever came first."""
        changed, gone = newer[0].since(older[0])
        assert changed == {key: n for key, n in newer[1].items() if key not in older[1] or older[1][key] != n}
        assert sorted(gone) == sorted(key for key, n in older[1].items() if newer[1].get(key) != n)

    @rule(version=consumes(versions))
    def forget(self, version: tuple[Map[int, int], dict[int, int]]) -> None:
        """Nobody needs to keep a version for others to be readable."""
        self.read(version)

    @invariant()
    def the_shared_map_stays_empty(self) -> None:
        """Nobody writes into what all share."""
        assert len(SHARED) == 0


class HeapWalk(RuleBasedStateMachine):
    """Make heaps from any heap and compare them with ``heapq``."""

    versions: Bundle[tuple[Heap[int], list[int]]] = Bundle("versions")

    @initialize(target=versions)
    def start(self) -> tuple[Heap[int], list[int]]:
        """Start with nothing."""
        return Heap(), []

    @rule(target=versions, version=versions, value=keys)
    def push(self, version: tuple[Heap[int], list[int]], value: int) -> tuple[Heap[int], list[int]]:
        """Equal values are kept as often as they were pushed."""
        model = list(version[1])
        heapq.heappush(model, value)
        return version[0].push(value), model

    @rule(target=versions, version=versions)
    def pop(self, version: tuple[Heap[int], list[int]]) -> tuple[Heap[int], list[int]]:
        """An empty heap stays empty."""
        model = list(version[1])
        if model:
            heapq.heappop(model)
        return version[0].pop(), model

    @rule(version=versions)
    def read(self, version: tuple[Heap[int], list[int]]) -> None:
        """Smallest first, and walking changes nothing."""
        heap, model = version
        assert heap.first == (model[0] if model else None)
        assert list(heap) == sorted(model)
        assert list(heap) == sorted(model)

    @rule(one=versions, other=versions)
    def compare(self, one: tuple[Heap[int], list[int]], other: tuple[Heap[int], list[int]]) -> None:
        """Heaps are equal iff they give the same values in the same order."""
        assert (one[0] == other[0]) is (sorted(one[1]) == sorted(other[1]))


class RunsWalk(RuleBasedStateMachine):
    """Make heaps of sorted runs and go on with them; read as far as the heap is, and again from any version."""

    versions: Bundle[tuple[Heap[tuple[int, int]], list[tuple[int, int]]]] = Bundle("versions")

    @rule(target=versions, runs=st.lists(st.lists(st.tuples(keys, keys), max_size=6), max_size=4))
    def start(self, runs: list[list[tuple[int, int]]]) -> tuple[Heap[tuple[int, int]], list[tuple[int, int]]]:
        """Some of them may be empty."""
        return Heap.of_runs(sorted(run) for run in runs), sorted(chain.from_iterable(runs))

    @rule(target=versions, version=versions, value=st.tuples(keys, keys))
    def push(self, version: Any, value: tuple[int, int]) -> tuple[Heap[tuple[int, int]], list[tuple[int, int]]]:
        """Values are added among those of the runs."""
        return version[0].push(value), sorted([*version[1], value])

    @rule(target=versions, version=versions)
    def pop(self, version: Any) -> tuple[Heap[tuple[int, int]], list[tuple[int, int]]]:
        """The next of its run comes after it."""
        return version[0].pop(), version[1][1:]

    @rule(version=versions)
    def read(self, version: Any) -> None:
        """Smallest first."""
        heap, model = version
        assert heap.first == (model[0] if model else None)
        assert list(heap) == model


@depths
def test_every_version_of_a_map_stays_what_it_was(depth: settings) -> None:
    """Whatever is made of it later, and from whichever version."""
    run_state_machine_as_test(MapWalk, settings=depth)


@depths
def test_every_version_of_a_heap_stays_what_it_was(depth: settings) -> None:
    """It gives what ``heapq`` gives."""
    run_state_machine_as_test(HeapWalk, settings=depth)


@depths
def test_a_heap_of_runs_gives_what_one_of_values_gives(depth: settings) -> None:
    """Whatever is added and taken, and from whichever version."""
    run_state_machine_as_test(RunsWalk, settings=depth)


def test_a_run_is_read_as_far_as_its_heap() -> None:
    """A million deadlines cost nothing until they come."""
    read: list[int] = []

    class Run(list[tuple[int]]):
        """A run that says what was looked at."""

        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return super().__getitem__(index)

    heap = Heap.of_runs([Run((n,) for n in range(1000))]).pop().pop()
    assert (heap.first, max(read)) == ((2,), 2)


def test_what_was_not_asked_for_stays_packed() -> None:
    """A million values cost no more than having them."""
    unpacked: list[int] = []

    def unpack(key: int, value: Any) -> int:
        unpacked.append(key)
        return int(value)

    found = PackedMap({n: str(n) for n in range(1000)}, unpack)
    newer = found.set(7, 70).delete(8)
    assert (newer[9], newer.get(7), 8 in newer, 10 in newer, len(newer)) == (9, 70, False, True, 999)
    changed, gone = newer.since(found)
    assert (changed, sorted(gone)) == ({7: 70}, [7, 8])
    assert set(unpacked) == {7, 9}


def test_an_empty_map_is_never_written_into() -> None:
    """Two maps that branch from one empty map know nothing of each other; a map emptied later stays empty."""
    left, right = SHARED.set(1, 1), SHARED.set(2, 2)
    assert (dict(left.items()), dict(right.items()), len(SHARED)) == ({1: 1}, {2: 2}, 0)
    emptied = left.delete(1)
    assert dict(emptied.set(3, 3).items()) == {3: 3}
    assert (len(emptied), dict(left.items())) == (0, {1: 1})


def test_the_shared_empty_map_keeps_nothing_alive() -> None:
    """It would hold every listing's reservations for ever if it remembered what was made of it."""
    gc.collect()
    before = sum(isinstance(each, Map) for each in gc.get_objects())
    for number in range(100):
        SHARED.set(number, number).set(number + 1, number)
    gc.collect()
    assert sum(isinstance(each, Map) for each in gc.get_objects()) <= before


def test_a_map_may_be_changed_while_it_is_walked() -> None:
    """The walk is over the version it started from."""
    found = Map({n: n for n in range(5)})
    newer = found
    for key in found:
        newer = newer.delete(key)
    assert (len(newer), len(found)) == (0, 5)


def test_a_long_past_is_walked_and_forgotten_without_recursion() -> None:
    """A hundred thousand versions are read from the first one, and freed at once when nobody holds them."""
    first: Map[int, int] = Map({0: 0})
    newest = first
    for number in range(100_000):
        newest = newest.set(number % 7, number)
    assert dict(first.items()) == {0: 0}
    assert len(newest) == 7
    del first, newest
    gc.collect()


def test_versions_that_nobody_holds_cost_no_memory() -> None:
    """Old versions point at newer ones and never the reverse."""
    newest: Map[int, int] = Map({0: 0})
    gc.collect()
    before = sum(isinstance(each, Map) for each in gc.get_objects())
    for number in range(1000):
        newest = newest.set(0, number)
    assert sum(isinstance(each, Map) for each in gc.get_objects()) <= before
    assert newest[0] == 999


def test_a_heap_of_a_hundred_thousand_is_walked_without_recursion() -> None:
    """The trees are few and flat, in whatever order values come."""
    for values in (range(100_000), range(100_000, 0, -1)):
        heap: Heap[int] = Heap()
        for value in values:
            heap = heap.push(value)
        assert heap.first == min(values)
        assert sum(1 for _ in heap) == 100_000


def test_persistent_collections_are_compared_by_content_and_are_no_keys() -> None:
    """What can be equal to another and changes its shape has no hash."""
    assert Map({1: 1}) == Map({2: 2}).delete(2).set(1, 1)
    assert Map() != {}
    assert repr(Map({1: 1})) == "Map({1: 1})"
    collections: tuple[object, ...] = (Map(), Heap())
    for unhashable in collections:
        with pytest.raises(TypeError):
            hash(unhashable)
