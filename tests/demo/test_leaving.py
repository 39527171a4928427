"""A demo that is told to end, whenever and however often, ends in order and leaves nothing behind."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from tests.demo.test_demo import DEMO, ROOT, selected, written

pytestmark = pytest.mark.timeout(300)

EXPECTED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SHOWING, VERIFIED, STAYING = "Show 1 of", "Verified:", "Ctrl-C"
"""What the demo says when a show begins, when all is told, and when its pages stay up."""


def working_in(place: Path) -> list[str]:
    """Return the processes that were started with a directory below a place, or work there."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        told = [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        if any(str(place) in each for each in told):
            found.append(" ".join(told))
    return found


def ended(
    scratch: Path, when: str, numbers: Sequence[int], *, wait: float, between: float, options: Sequence[str]
) -> tuple[int, str]:
    """Start a demo, signal its process group when it says something, and return its exit code and what it said."""
    with subprocess.Popen(
        [*DEMO, "--port", "0", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as running:
        assert running.stdout is not None
        said = []
        for line in running.stdout:
            said.append(line)
            if when in line:
                break
        time.sleep(wait)
        for number in numbers:
            os.killpg(running.pid, number)
            time.sleep(between)
        said += running.stdout.readlines()
        return running.wait(60), "".join(said)


@pytest.mark.parametrize("number", EXPECTED, ids=lambda number: number.name)
def test_a_signal_in_a_show_ends_it_in_order(scratch: Path, number: signal.Signals) -> None:
    """The exit code is the signal's, there is at most a line about it, and everything is cleared away."""
    code, said = ended(scratch, SHOWING, [number], wait=1.5, between=0, options=["--exit"])
    assert code == EXPECTED[number]
    assert "Traceback" not in said
    assert "exception" not in said
    assert (list(scratch.iterdir()), working_in(scratch)) == ([], [])


@pytest.mark.parametrize("when", ["starting", SHOWING, STAYING])
def test_impatience_does_not_stop_the_clearing_up(scratch: Path, tmp_path: Path, when: str) -> None:
    """Ctrl-C again and again, as people do: the first one ends the demo, the others find it busy with that."""
    impatient = [signal.SIGINT] * 5 + [signal.SIGTERM, signal.SIGHUP]
    few = ["--orders", str(written(tmp_path / "orders.csv", selected()[:40]))] if when == STAYING else []
    code, said = ended(scratch, when, impatient, wait=0.3, between=0.1, options=few)
    assert code == (0 if when == STAYING else 130)
    assert "Traceback" not in said
    assert (list(scratch.iterdir()), working_in(scratch)) == ([], [])


@pytest.mark.parametrize("wait", [0, 0.05, 0.2])
def test_a_signal_while_the_demo_clears_up_changes_nothing(scratch: Path, tmp_path: Path, wait: float) -> None:
    """All was played and told; the shop is being stopped and its data taken away."""
    few = written(tmp_path / "orders.csv", selected()[:40])
    code, said = ended(
        scratch, VERIFIED, [signal.SIGINT], wait=wait, between=0, options=["--exit", "--orders", str(few)]
    )
    assert code in {0, 130}
    assert "Traceback" not in said
    assert (list(scratch.iterdir()), working_in(scratch)) == ([], [])


def test_what_a_demo_was_told_to_ignore_it_ignores(scratch: Path, tmp_path: Path) -> None:
    """As with ``nohup``: the terminal may close, the shows go on."""
    few = written(tmp_path / "orders.csv", selected()[:40])
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        code, said = ended(
            scratch, "starting", [signal.SIGHUP], wait=0.3, between=0, options=["--exit", "--orders", str(few)]
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    assert code == 0, said
