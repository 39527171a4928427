"""The demo's shop goes with the demo, however the demo goes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.test_serve import servers_in

DEMO = """
import asyncio
import sys
from pathlib import Path
from api.demo.server import Server

async def demo():
    with Server(0, Path(sys.argv[1])) as shop:
        await shop.start()
        print("sells", flush=True)
        await shop.wait()

asyncio.run(demo())
"""


def test_a_demo_that_is_killed_takes_its_shop_along(tmp_path: Path) -> None:
    """Nobody is left to stop it: it notices, and closes with its database and its messages."""
    command = [sys.executable, "-c", DEMO, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline() == "sells\n"
        demo.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while servers_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert servers_in(tmp_path) == []
    assert (tmp_path / "serve.log").read_text().endswith("The shop is closed.\n")
