"""Which paid lines a cancellation takes back: the customer's own of that stock code, earliest first.

A file says what came back, never of which order. First in, first out is the rule that needs no guess, and every unit
comes back once, at the price it was paid for.
"""

from collections import defaultdict, deque
from typing import Generic, TypeVar

from domain.values import frozen

L = TypeVar("L")


@frozen
class Taken(Generic[L]):
    """Units of one paid line."""

    line: L
    quantity: int


class PaidLines(Generic[L]):
    """What customers have paid for and not given back; ``L`` is whatever names a line."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], deque[Taken[L]]] = defaultdict(deque)

    def add(self, customer: str, stock_code: str, line: L, quantity: int) -> None:
        """Note a paid line; a guest's is not kept, for no later row can be known to be theirs."""
        if customer:
            self._kept[customer, stock_code].append(Taken(line, quantity))

    def take(self, customer: str, stock_code: str, quantity: int) -> tuple[list[Taken[L]], int]:
        """Return which lines give how many units, and how many units match nothing."""
        kept = self._kept[customer, stock_code] if customer else deque[Taken[L]]()
        taken: list[Taken[L]] = []
        while quantity and kept:
            first = kept.popleft()
            given = min(quantity, first.quantity)
            taken.append(Taken(first.line, given))
            quantity -= given
            if given < first.quantity:
                kept.appendleft(Taken(first.line, first.quantity - given))
        return taken, quantity
