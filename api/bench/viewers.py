"""The crowd that watches: holds live feeds open in a process of its own and notes how old what it is shown is.

``python -m api.bench.viewers`` reads a ``Watch`` as JSON from standard input, prints a line when everybody watches,
watches for the time asked, and prints a ``Watched``. A viewer that is brought from position p to position q learns of
record p + 1 only then: the time since that record was written is the age of what was on the screen.
"""

import asyncio
import re
import sys
import time
from collections import defaultdict
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
    seconds: float


@define
class Watched:
    """What reached the crowd."""

    viewers: int
    frames: int
    hung_up: int
    """Feeds that ended before the time."""
    seen: dict[str, dict[str, int]]
    """How many viewers: by the position shown before, and the millisecond since the epoch at which more was shown."""
    crowd_us: float
    """Processor time for each frame that reached a viewer, in millionths of a second."""


class _Viewer(asyncio.Protocol):
    """One feed."""

    def __init__(self, crowd: "Crowd", request: bytes) -> None:
        self._crowd, self._request = crowd, request
        self._position = 0
        self._tail = b""

    def connection_made(self, transport: Any) -> None:
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        found = POSITION.findall(self._tail + data)
        self._tail = data[-40:]
        if not found:
            return
        position = int(found[-1])
        if position > self._position:
            if self._position:
                self._crowd.saw(self._position)
            else:
                self._crowd.began()
            self._position = position

    def connection_lost(self, _error: Exception | None) -> None:
        self._crowd.hung_up += 1


class Crowd:
    """Everybody who watches."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._seen: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._waiting = watch.viewers
        self._all_there = asyncio.Event()
        self._frames = 0
        self.hung_up = 0

    def began(self) -> None:
        """A viewer has its snapshot."""
        self._waiting -= 1
        if self._waiting <= 0:
            self._all_there.set()

    def saw(self, before: int) -> None:
        """A viewer who was shown ``before`` has just been shown more."""
        self._frames += 1
        self._seen[before][time.time_ns() // 1_000_000] += 1

    async def run(self) -> Watched:
        """Join in groups, watch, and say what was seen."""
        loop, watch = asyncio.get_running_loop(), self._watch
        request = f"GET /v1/streams/{watch.stream_id}/live HTTP/1.1\r\nHost: {watch.host}:{watch.port}\r\n\r\n".encode()
        transports = []
        for begin in range(0, watch.viewers, TOGETHER):
            count = min(TOGETHER, watch.viewers - begin)
            opening = (
                loop.create_connection(lambda: _Viewer(self, request), watch.host, watch.port) for _ in range(count)
            )
            transports += [transport for transport, _ in await asyncio.gather(*opening)]
        async with asyncio.timeout(60):
            await self._all_there.wait()
        sys.stdout.write("watching\n")
        sys.stdout.flush()
        self._seen.clear()
        self._frames, used = 0, time.process_time()
        await asyncio.sleep(watch.seconds)
        used = time.process_time() - used
        hung_up = self.hung_up
        for transport in transports:
            transport.close()
        seen = {str(before): {str(at): count for at, count in times.items()} for before, times in self._seen.items()}
        return Watched(watch.viewers, self._frames, hung_up, seen, 1e6 * used / max(1, self._frames))


def main() -> None:
    """Do what standard input says."""
    watch = msgspec.json.decode(sys.stdin.buffer.read(), type=Watch)
    watched = uvloop.run(Crowd(watch).run())
    sys.stdout.buffer.write(msgspec.json.encode(watched))


if __name__ == "__main__":
    main()
