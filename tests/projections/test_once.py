"""Keys that come twice are found, however many there are and wherever they stand."""

from random import Random

import pytest

from projections.once import Once


@pytest.mark.parametrize("page_keys", [1, 7, 1_000, 10_000])
def test_a_key_that_comes_twice_is_found_among_many(page_keys: int) -> None:
    """In one page, over pages and at either end; keys that come once are not named."""
    once = Once(page_keys)
    keys = [f"key-{number}" for number in range(2_000)]
    Random(page_keys).shuffle(keys)
    for begin in range(0, len(keys), 100):
        once.note(keys[begin : begin + 100])
    assert once.twice() == set()
    once.note([keys[0], keys[-1], keys[1_000]])
    assert once.twice() == {hash(keys[0]), hash(keys[-1]), hash(keys[1_000])}
    assert len(once) == 2_003
    once.close()


def test_nothing_noted_is_nothing_twice() -> None:
    """An empty journal begins no commands."""
    once = Once()
    assert once.twice() == set()
    assert len(once) == 0
    once.close()
