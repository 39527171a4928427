"""Ratios are recorded and held against: the gate that speed must pass."""

import json
from pathlib import Path

import pytest

from api.bench.report import Measured, held_against, record, regressions


def measured(ratio: float) -> Measured:
    """Return the result of a bench."""
    found = Measured("till")
    found.figures["orders_per_s"] = 10_000.0
    found.ratio("bulk", ratio, 1.0)
    return found


def recorded_at(tmp_path: Path, ratio: float) -> Path:
    """Return a file that a ratio was recorded in."""
    path = tmp_path / "recorded.json"
    record(path, [measured(ratio)])
    return path


def test_a_ratio_that_has_fallen_too_far_is_named(tmp_path: Path) -> None:
    """Given a recorded ratio of 1.0, 0.69 fails and 0.71 is noise."""
    path = recorded_at(tmp_path, 1.0)
    assert regressions(path, measured(0.71)) == []
    (found,) = regressions(path, measured(0.69))
    assert "till" in found
    assert "ratio_bulk" in found


def test_a_ratio_that_was_not_measured_is_no_pass(tmp_path: Path) -> None:
    """Given a recorded ratio that nobody measured this time, the gate stays shut."""
    assert regressions(recorded_at(tmp_path, 1.0), Measured("till"))


@pytest.mark.parametrize(
    ("ratios", "runs", "slower"),
    [
        ((0.9,), 1, False),
        ((0.5, 0.9), 2, False),
        ((0.5, 0.6, 0.9), 3, False),
        ((0.5, 0.6, 0.4), 3, True),
    ],
)
def test_only_what_stays_slow_is_slower(tmp_path: Path, ratios: tuple[float, ...], runs: int, *, slower: bool) -> None:
    """Given ratios that fall in a slow minute, a bench is run again; when it falls three times, it fails."""
    path, left = recorded_at(tmp_path, 1.0), list(ratios)
    found = held_against(path, lambda: measured(left.pop(0)))
    assert len(ratios) - len(left) == runs
    assert found.figures["ratio_bulk"] == ratios[runs - 1]
    assert bool(regressions(path, found)) is slower


def test_a_bench_that_was_wrong_is_not_run_until_it_is_right(tmp_path: Path) -> None:
    """Given a failed check in a slow run, it is run once: no other run makes it right."""
    wrong = measured(0.5)
    wrong.checks["sold once"] = False
    left = [wrong, measured(1.0)]
    found = held_against(recorded_at(tmp_path, 1.0), lambda: left.pop(0))
    assert not found.right
    assert len(left) == 1


def test_ratios_to_umadb_are_told_and_not_held(tmp_path: Path) -> None:
    """Given a ratio to a yardstick that need not be there, it is not recorded."""
    found = measured(1.0)
    found.ratio("umadb", 2.0, 1.0)
    record(tmp_path / "recorded.json", [found])
    assert found.figures["ratio_umadb"] == 2.0
    assert json.loads((tmp_path / "recorded.json").read_text()) == {"till": {"ratio_bulk": 1.0}}


def test_only_ratios_are_recorded(tmp_path: Path) -> None:
    """Given figures of one machine, the file holds none of them."""
    record(tmp_path / "recorded.json", [measured(1.0)])
    assert json.loads((tmp_path / "recorded.json").read_text()) == {"till": {"ratio_bulk": 1.0}}


def test_a_bench_that_was_wrong_does_not_count() -> None:
    """Given one failed check, the figures are no good."""
    found = measured(1.0)
    found.checks |= {"sold once": True}
    assert found.right
    found.checks |= {"all in the journal": False}
    assert not found.right
