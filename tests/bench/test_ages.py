"""How old what viewers look at is: for how long was it so old."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from api.bench.viewers import Shown, age_percentile, ages_ms

RECORDED = {2: 1_000.0, 3: 1_300.0}
"""When what came after positions 1 and 2 was written."""


def test_what_is_newest_has_no_age() -> None:
    """Given a screen that shows all there is, then for all that time it is no millisecond old."""
    assert ages_ms([(3, 500, 900, 4)], RECORDED, 0, 2_000) == Counter({0: 1_600})


def test_what_is_shown_grows_old_until_more_is_shown() -> None:
    """Given a record at 1,000 that is shown at 1,003, then two screens were 0, 1 and 2 ms old meanwhile."""
    ages = ages_ms([(1, 998, 1_003, 2)], RECORDED, 0, 2_000)
    assert ages == Counter({0: 2 * 2 + 2, 1: 2, 2: 2})


def test_a_frame_that_was_under_way_was_old_already() -> None:
    """Given a frame that arrives 50 ms after the next record was written, then what it shows begins at that age."""
    assert ages_ms([(1, 1_050, 1_052, 1)], RECORDED, 0, 2_000) == Counter({0: 0, 50: 1, 51: 1})


def test_a_screen_that_stands_still_counts_for_as_long_as_it_does() -> None:
    """Given a second of standstill beside nine of prompt frames, then the percentile tells of it."""
    prompt = [(3, 2_000, 11_000, 1)]
    ages = ages_ms([*prompt, (1, 1_000, 2_000, 1)], RECORDED, 0, 20_000)
    assert age_percentile(ages, 50) == 0
    assert age_percentile(ages, 95) == 499
    assert age_percentile(ages, 99) == 899


@given(
    shown=st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 900), st.integers(0, 900), st.integers(1, 3)), max_size=6
    ),
    began=st.integers(0, 500),
    lasted=st.integers(0, 500),
)
def test_every_millisecond_of_every_screen_has_an_age(shown: list[Shown], began: int, lasted: int) -> None:
    """Given any frames and any span, then the ages are as many as the milliseconds that something was shown in it."""
    recorded = {2: 100.0, 3: 400.0, 4: 401.0}
    ended = began + lasted
    sound = [(position, since, since + length, screens) for position, since, length, screens in shown]
    whole = sum(each[3] * max(0, min(each[2], ended) - max(each[1], began)) for each in sound)
    ages = ages_ms(sound, recorded, began, ended)
    assert ages.total() == whole
    assert all(time >= 0 for time in ages.values())
