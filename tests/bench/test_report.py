"""Ratios are recorded and held against: the gate that speed must pass."""

import json
from pathlib import Path

from api.bench.report import Measured, record, regressions


def measured(ratio: float) -> Measured:
    """Return the result of a bench."""
    found = Measured("till")
    found.figures["orders_per_s"] = 10_000.0
    found.ratio("bulk", ratio, 1.0)
    return found


def test_a_ratio_that_has_fallen_too_far_is_named(tmp_path: Path) -> None:
    """Given a recorded ratio of 1.0, 0.69 fails and 0.71 is noise."""
    record(tmp_path / "recorded.json", [measured(1.0)])
    assert regressions(tmp_path / "recorded.json", [measured(0.71)]) == []
    (found,) = regressions(tmp_path / "recorded.json", [measured(0.69)])
    assert "till" in found
    assert "ratio_bulk" in found


def test_a_ratio_that_was_not_measured_is_no_pass(tmp_path: Path) -> None:
    """Given a recorded ratio that nobody measured this time, the gate stays shut."""
    record(tmp_path / "recorded.json", [measured(1.0)])
    assert regressions(tmp_path / "recorded.json", [Measured("till")])


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
