"""What processes cost: processor time and memory, as the operating system counts them."""

import time
from typing import Self

import psutil


class Usage:
    """What a process and its children cost from ``begin`` on."""

    def __init__(self, pid: int | None = None) -> None:
        """Look at a process; at this one unless told."""
        self._process = psutil.Process(pid)
        self.begin()

    def begin(self) -> Self:
        """Count from now on."""
        self.peak_rss_mb = 0.0
        self._began, self._used_before = time.perf_counter(), self._used()
        return self

    def look(self) -> bool:
        """Note how much memory the largest of the processes has; False when there is none any more."""
        try:
            family = [self._process, *self._process.children(recursive=True)]
            self.peak_rss_mb = max(self.peak_rss_mb, *(each.memory_info().rss / 1e6 for each in family))
        except psutil.NoSuchProcess:
            return False
        return self._process.status() != psutil.STATUS_ZOMBIE

    @property
    def used_seconds(self) -> float:
        """Processor time of the process itself."""
        return self._used() - self._used_before

    @property
    def cores(self) -> float:
        """How many cores the process has kept busy."""
        return self.used_seconds / max(1e-9, time.perf_counter() - self._began)

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def memory_gb() -> int:
    """Return how much memory the machine has."""
    return round(psutil.virtual_memory().total / 1e9)
