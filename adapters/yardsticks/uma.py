"""UmaDB, an event store written in Rust; its wheel carries the server. A development dependency only.

Three figures: orders of two events by 64 clients at once, orders in batches of 256 by one client, and reading it all in
order. Each append is durable before it is answered, as ours are.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any, Final

CLIENTS: Final = 64
BATCH_ORDERS: Final = 256
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 10.0


class MissingError(Exception):
    """UmaDB is not installed."""


def run(directory: Path, seconds: float, record_bytes: int) -> dict[str, float]:
    """Return orders and events a second; ``MissingError`` when UmaDB is not installed."""
    try:
        import umadb
    except ImportError:
        raise MissingError("UmaDB is not installed: make install-dev") from None
    payload = b"x" * record_bytes
    with _serving(directory) as url:

        def order() -> list[Any]:
            return [
                umadb.Event("UnitsReserved", payload, ["listing:1"]),
                umadb.Event("OrderPlaced", payload, ["order"]),
            ]

        clients = [umadb.Client(url) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            counts = list(pool.map(lambda client: _repeat(lambda: client.append(order()), seconds), clients))
        batch = [event for _ in range(BATCH_ORDERS) for event in order()]
        batches = _repeat(lambda: clients[0].append(batch), seconds)
        reader = umadb.Client(url, batch_size=1_000)
        began = time.perf_counter()
        read = sum(1 for _ in reader.read())
        reading = time.perf_counter() - began
        if read != 2 * sum(counts) + 2 * BATCH_ORDERS * batches:
            raise RuntimeError(f"UmaDB has {read} events, not those that were appended")
    return {
        "orders_per_s": sum(counts) / seconds,
        "batched_orders_per_s": BATCH_ORDERS * batches / seconds,
        "read_events_per_s": read / reading,
    }


def _repeat(work: Callable[[], object], seconds: float) -> int:
    until, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        work()
        count += 1
    return count


@contextmanager
def _serving(directory: Path) -> Iterator[str]:
    directory.mkdir(parents=True, exist_ok=True)
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    code = "import sys, umadb; umadb.run_server_from_args(sys.argv)"
    command = [sys.executable, "-c", code, "--listen", address, "--db-path", str(directory / "events.db")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - UmaDB
    try:
        _await_start(address, server)
        yield f"http://{address}"
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await_start(address: str, server: "subprocess.Popen[bytes]") -> None:
    host, _, port = address.partition(":")
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("UmaDB's server did not start")
