"""What a cancellation takes back."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from api.demo.matching import PaidLines, Taken

MOVES = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["", "ann", "bob"]), st.sampled_from(["A1", "B2"]), st.integers(1, 9)),
    max_size=40,
)


def test_the_earliest_line_is_taken_back_first() -> None:
    """Over as many lines as it takes."""
    paid = PaidLines[str]()
    for line in ("first", "second", "third"):
        paid.add("ann", "A1", line, 3)
    assert paid.take("ann", "A1", 4) == ([Taken("first", 3), Taken("second", 1)], 0)
    assert paid.take("ann", "A1", 9) == ([Taken("second", 2), Taken("third", 3)], 4)


def test_a_customer_takes_back_only_what_was_theirs() -> None:
    """Neither another's purchase nor another stock code will do."""
    paid = PaidLines[str]()
    paid.add("ann", "A1", "line", 3)
    assert paid.take("bob", "A1", 1) == ([], 1)
    assert paid.take("ann", "B2", 1) == ([], 1)


def test_nobody_knows_a_guest_again() -> None:
    """Two rows without a customer are two strangers."""
    paid = PaidLines[str]()
    paid.add("", "A1", "line", 3)
    assert paid.take("", "A1", 1) == ([], 1)


@given(MOVES)
def test_every_unit_comes_back_once_and_in_turn(moves: list[tuple[bool, str, str, int]]) -> None:
    """A queue of single units, the plainest thing that could be right, always agrees."""
    paid, queues = PaidLines[int](), {(who, what): deque[int]() for who in ("ann", "bob") for what in ("A1", "B2")}
    for number, (buys, who, what, quantity) in enumerate(moves):
        queue = queues.get((who, what), deque())
        if buys:
            paid.add(who, what, number, quantity)
            queue.extend([number] * quantity)
            continue
        taken, unmatched = paid.take(who, what, quantity)
        singly = [queue.popleft() for _ in range(min(quantity, len(queue)))]
        assert [each.line for each in taken for _ in range(each.quantity)] == singly
        assert unmatched == quantity - len(singly)
