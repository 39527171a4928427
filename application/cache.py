"""A bounded memory of what was used last."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Keeps the ``limit`` most recently used values; what falls out can be loaded again."""

    def __init__(self, limit: int, dropped: Callable[[str], None] | None = None) -> None:
        """Start empty; ``dropped`` is told of every key whose value is kept no more."""
        self._limit, self._dropped = limit, dropped
        self._items: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        """Return a value and mark it as used."""
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def put(self, key: str, value: V) -> None:
        """Keep a value, at the cost of the one that was not used for longest."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._limit:
            self.drop(next(iter(self._items)))

    def drop(self, key: str) -> None:
        """Forget a value."""
        self._items.pop(key, None)
        if self._dropped is not None:
            self._dropped(key)

    def __contains__(self, key: str) -> bool:
        """Tell whether a value is kept."""
        return key in self._items
