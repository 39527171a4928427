"""Values: compared and hashed by content; guarded where somebody develops."""

import subprocess
import sys

from domain.listing.units import Units
from domain.terms import Share

TRIES = "from domain.terms import Share; Share('host-1', 5000).share_bps = 1"


def test_equal_values_are_one_key() -> None:
    """Two that say the same are the same to a dict and to a set."""
    assert Share("host-1", 5000) == Share("host-1", 5000)
    assert {Share("host-1", 5000), Share("host-1", 5000), Share("host-2", 5000)} == {
        Share("host-1", 5000),
        Share("host-2", 5000),
    }
    assert hash(Units(3, 3)) == hash(Units(3, 3))


def test_python_s_development_mode_guards_values() -> None:
    """Whoever wonders who changed a value is told where, under ``python -X dev``."""
    ran = subprocess.run([sys.executable, "-X", "dev", "-c", TRIES], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "FrozenInstanceError" in ran.stderr
