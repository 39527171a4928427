"""The crowd that watches: holds live feeds open in a process of its own and notes how old what it is shown is.

``python -m api.bench.viewers`` reads a ``Watch``, a line of JSON, from standard input, prints a line when everybody
watches, watches until its input ends, and prints a ``Watched``: which position was on each screen from when to when.
What is on a screen is as old as the first record that is not.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, Final

import msgspec
import uvloop
from attrs import define

from domain.values import frozen

POSITION: Final = re.compile(rb"\nid: ?(\d+)")
TOGETHER: Final = 200
"""How many feeds are opened at a time."""


@frozen
class Watch:
    """Who watches what."""

    host: str
    port: int
    stream_id: str
    viewers: int


Shown = tuple[int, int, int, int]
"""A position, from when to when it was shown, in milliseconds since the epoch, and on how many screens."""


@define
class Watched:
    """What reached the crowd."""

    frames: int
    hung_up: int
    """Feeds that ended before the time."""
    position: int
    """What every viewer was shown at the end, or more."""
    shown: list[Shown]
    crowd_us: float
    """Processor time for each frame that reached a viewer, in millionths of a second."""


class _Viewer(asyncio.Protocol):
    """One feed."""

    def __init__(self, crowd: "Crowd", request: bytes) -> None:
        self._crowd, self._request = crowd, request
        self._tail = b""
        self.position = self.since = 0

    def connection_made(self, transport: Any) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        found = POSITION.findall(self._tail + data)
        self._tail = data[-40:]
        if not found:
            return
        position = int(found[-1])
        if position > self.position:
            now = now_ms()
            if self.position:
                self._crowd.shown[self.position, self.since, now] += 1
            else:
                self._crowd.began()
            self.position, self.since = position, now

    def connection_lost(self, _error: Exception | None) -> None:
        self._crowd.hung_up += 1


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Crowd:
    """Everybody who watches."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._waiting = watch.viewers
        self._all_there = asyncio.Event()
        self.shown: Counter[tuple[int, int, int]] = Counter()
        self.hung_up = 0

    def began(self) -> None:
        """A viewer has its snapshot."""
        self._waiting -= 1
        if self._waiting <= 0:
            self._all_there.set()

    async def run(self) -> Watched:
        """Join in groups, watch until the input ends, and say what was seen."""
        loop, watch = asyncio.get_running_loop(), self._watch
        request = f"GET /v1/streams/{watch.stream_id}/live HTTP/1.1\r\nHost: {watch.host}:{watch.port}\r\n\r\n".encode()
        feeds: list[tuple[Any, _Viewer]] = []
        for begin in range(0, watch.viewers, TOGETHER):
            count = min(TOGETHER, watch.viewers - begin)
            opening = (
                loop.create_connection(lambda: _Viewer(self, request), watch.host, watch.port) for _ in range(count)
            )
            feeds += await asyncio.gather(*opening)
        async with asyncio.timeout(60):
            await self._all_there.wait()
        sys.stdout.write("watching\n")
        sys.stdout.flush()
        self.shown.clear()
        used = time.process_time()
        await _input_end()
        used, hung_up, end = time.process_time() - used, self.hung_up, now_ms()
        frames = self.shown.total()
        for transport, viewer in feeds:
            self.shown[viewer.position, viewer.since, end] += 1
            transport.close()
        shown = [(*what, count) for what, count in self.shown.items()]
        lowest = min(viewer.position for _, viewer in feeds)
        return Watched(frames, hung_up, lowest, shown, 1e6 * used / max(1, frames))


async def _input_end() -> None:
    """Wait until whoever started this closes its input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def ages_ms(shown: Iterable[Shown], recorded: Mapping[int, float], began: int, ended: int) -> Counter[int]:
    """Return for how many milliseconds, all screens together, what was on them was so old, between two instants.

    ``recorded``: when each record that came after something shown was written. Until then what is shown is the newest
    there is. A screen that stands still grows old every millisecond, so a stall counts for as long as it lasts.
    """
    steps: Counter[int] = Counter()
    newest = 0
    for position, since, until, screens in shown:
        start, end = max(since, began), min(until, ended)
        written = int(recorded.get(position + 1, end))
        newest += screens * max(0, min(written, end) - start)
        if end > max(start, written):
            steps[max(start, written) - written] += screens
            steps[end - written] -= screens
    ages: Counter[int] = Counter({0: newest})
    edges = sorted(steps)
    for edge, beyond, screens in zip(edges, edges[1:], accumulate(steps[each] for each in edges), strict=False):
        for age in range(edge, beyond):
            ages[age] += screens
    return ages


def age_percentile(ages: Counter[int], percent: float) -> float:
    """Return the smallest age that what was on the screens did not exceed for ``percent`` of the time."""
    wanted, reached = ages.total() * percent / 100, 0
    for age in sorted(ages):
        reached += ages[age]
        if reached >= wanted:
            return float(age)
    return 0.0


def main() -> None:
    """Do what standard input says."""
    watch = msgspec.json.decode(sys.stdin.buffer.readline(), type=Watch)
    watched = uvloop.run(Crowd(watch).run())
    sys.stdout.buffer.write(msgspec.json.encode(watched))


if __name__ == "__main__":
    main()
