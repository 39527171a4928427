"""What processes cost: processor time and memory, as the operating system counts them."""

import psutil


class Usage:
    """What a process costs from when this is made.

    ``family``: its memory is that of the largest of it and its children. Of a process that has started a PostgreSQL
    the children are the database, and each of them counts the buffers that they all share.
    """

    def __init__(self, pid: int | None = None, *, family: bool = False) -> None:
        """Look at a process; at this one unless told."""
        self._process, self._family = psutil.Process(pid), family
        self.peak_rss_mb = 0.0
        self._used_before = self._used()

    def look(self) -> bool:
        """Note how much memory there is in use; False when the process is no more."""
        try:
            family = [self._process, *(self._process.children(recursive=True) if self._family else ())]
            self.peak_rss_mb = max(self.peak_rss_mb, *(each.memory_info().rss / 1e6 for each in family))
        except psutil.NoSuchProcess:
            return False
        return self._process.status() != psutil.STATUS_ZOMBIE

    @property
    def used_seconds(self) -> float:
        """Processor time of the process itself."""
        return self._used() - self._used_before

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def memory_gb() -> int:
    """Return how much memory the machine has."""
    return round(psutil.virtual_memory().total / 1e9)
