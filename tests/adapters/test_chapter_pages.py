"""What chapters have written of collections reads as the dict it stands for, whatever became of it since."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.chapter_counts import CountRows, Counts
from adapters.chapter_pages import Page, Pages, Rows, pages_of

KEYS: Final = [f"order-{number}:1" for number in range(12)]
VALUES: Final = st.integers(1, 3)
CHAPTERS: Final = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES | st.none(), max_size=6), max_size=5)
"""What each chapter does: a value for a key, or none any more."""
DEEDS: Final = st.lists(st.tuples(st.sampled_from(KEYS), VALUES | st.none()), max_size=12)


Told = list[tuple[dict[str, int], list[str]]]
"""Of each chapter what is new or has changed, and the keys of values that are gone."""


def written(chapters: list[dict[str, int | None]]) -> tuple[dict[str, int], Told]:
    """Return what some chapters come to, and what each tells of it: what is new or has changed, and what is gone."""
    model, told = dict[str, int](), []
    for chapter in chapters:
        before = dict(model)
        for key, value in chapter.items():
            model.pop(key, None)
            if value is not None:
                model[key] = value
        gone = [key for key, value in before.items() if model.get(key) != value]
        told.append(({key: value for key, value in model.items() if before.get(key) != value}, gone))
    return model, told


def paged(told: Told) -> Pages:
    """Return the pages of some chapters."""
    return Pages(asyncio.run(pages_of([Rows.of(changed, gone) for changed, gone in told])))


def counted(told: Told) -> Counts:
    """Return the counts of some chapters."""
    counts = Counts()
    for changed, gone in told:
        counts.merge(CountRows.of(changed, gone))
    return counts


def plain(value: Any) -> int:
    """Return a value that may still be packed: a number below 128 is its own MessagePack."""
    return value if isinstance(value, int) else bytes(value)[0]


def the_same(found: MutableMapping[str, Any], model: dict[str, int]) -> None:
    """Ask in every way there is."""
    assert len(found) == len(model)
    assert sorted(found) == sorted(model)
    assert {key: plain(value) for key, value in found.items()} == model
    for key in (*KEYS, "", "order-0", "order-99:1"):
        assert (key in found) is (key in model)
        assert plain(found.get(key, 0)) == model.get(key, 0)
        if key not in model:
            with pytest.raises(KeyError):
                found[key]


@pytest.mark.parametrize("read", [paged, counted])
@given(CHAPTERS, DEEDS)
def test_what_is_read_is_the_dict_that_chapters_come_to(
    read: Callable[[Told], MutableMapping[str, Any]],
    chapters: list[dict[str, int | None]],
    deeds: list[tuple[str, int | None]],
) -> None:
    """Given values that chapters wrote, wrote anew or made away with, then they read, and change, as a dict does."""
    model, told = written(chapters)
    found = read(told)
    the_same(found, model)
    for key, value in deeds:
        if value is not None:
            found[key] = model[key] = value
        elif key in model:
            assert plain(found.pop(key)) == model.pop(key)
        else:
            assert found.pop(key, None) is None
            with pytest.raises(KeyError):
                del found[key]
        the_same(found, model)


def test_a_new_key_opens_no_page() -> None:
    """Given keys that rise, as ids do, then one beyond them is known to be new without looking at any."""
    pages = [Page(Rows.of({key: 1}, [])) for key in sorted(KEYS)]
    found = Pages(pages)
    found["order-99:1"] = 1
    assert "order-999:1" not in found
    assert all(page.packed for page in pages)


def test_an_old_key_opens_its_own_page() -> None:
    """Given pages whose ranges do not meet, then only the one that a key lies in is looked into."""
    pages = [Page(Rows.of({key: 1}, [])) for key in sorted(KEYS)]
    assert KEYS[5] in Pages(pages)
    assert [page.low for page in pages if not page.packed] == [KEYS[5]]
