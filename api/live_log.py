"""What was told to the viewers of a show: one log that all of them read, each at its own place.

A viewer is a number: the last frame it has taken. So it costs next to nothing, nobody has a queue that can grow, and
a frame is encoded once however many read it. A viewer that is too slow finds that the log has moved on; it is then told
the news it missed and given a snapshot instead of every figure in between.

*News* is what must never be lost: sold out, back in stock, pins, windows, the show's status. *Figures* (stock, the
ticker, boards) are states: only the latest counts.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from litestar.serialization import encode_json

from domain.values import frozen

FRAMES = 256
"""Frames that are kept for those who are a little late or come back: 25 seconds or more."""
FRAME_BYTES = 4_000_000
"""What they may weigh together."""
TOGETHER = 100
"""How many viewers are woken at a time: a few milliseconds' work."""
NEWS = 10_000
"""Pieces of news that are kept; who misses more starts again."""


@frozen
class Told:
    """One event of the feed, before it is encoded."""

    name: str
    data: object
    position: int | None = None
    """Of a piece of news; None for figures."""
    adds_up: bool = False
    """Whether it must not be told twice: what was sold in a tick, and not how things stand."""


@frozen
class Part:
    """One event of the feed, encoded."""

    data: bytes
    news: bool
    unseen_below: int
    """A client whose last event is below this has not seen it, or may see it again."""


@frozen
class Frame:
    """What is told at once."""

    number: int
    position: int
    parts: Sequence[Part]
    data: bytes


def event(name: str, position: int, data: object) -> bytes:
    """Encode an event as the EventSource specification has it (HTML, section 9.2)."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (position, name.encode(), encode_json(data))


def encoded(told: Sequence[Told], before: int, position: int) -> Iterator[Part]:
    """Encode what is told between two positions.

    Only the last event carries the new position: a connection that breaks between two of them makes the client come
    back for the rest. News carry their own position, figures the one before. Figures that change by time, with no
    record behind them, may be told again to who is at the position already.
    """
    by_time = before == position
    not_all = position if by_time else position - 1
    for index, each in enumerate(told, start=1):
        reached = position if index == len(told) else min(each.position or before, not_all)
        unseen_below = each.position or position + (by_time and not each.adds_up)
        yield Part(event(each.name, reached, each.data), each.position is not None, unseen_below)


class FrameLog:
    """The latest frames of one show."""

    def __init__(self, position: int) -> None:
        self.position = position
        """How far the last frame goes."""
        self.number = 0
        """Of the last frame."""
        self.closed = False
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._news: deque[tuple[int, Part]] = deque()
        self._news_lost = 0
        self._complete_from = position
        self._waiting: list[Callable[[], None]] = []
        self._waking: deque[Callable[[], None]] = deque()

    def append(self, position: int, told: Sequence[Told]) -> None:
        """Tell everybody."""
        parts = tuple(encoded(told, self.position, position))
        self.number, self.position = self.number + 1, position
        frame = Frame(self.number, position, parts, b"".join(part.data for part in parts))
        self._frames.append(frame)
        self._bytes += len(frame.data)
        self._news.extend((self.number, part) for part in parts if part.news)
        self._trim()
        self._wake_all()

    def close(self) -> None:
        """Send everybody away: the server stops."""
        self.closed = True
        self._wake_all()

    def when_grown(self, number: int, tell: Callable[[], None]) -> None:
        """Call back once, when there is a frame after ``number`` or the end has come."""
        if self.number > number or self.closed:
            self._wake([tell])
        else:
            self._waiting.append(tell)

    async def grown(self, number: int) -> None:
        """Wait for a frame after ``number``, or for the end."""
        while self.number <= number and not self.closed:
            turn = asyncio.Event()
            self.when_grown(number, turn.set)
            await turn.wait()

    def after(self, number: int) -> bytes | None:
        """Return what was told after a frame; None when part of that is gone."""
        missing = self.number - number
        if missing == 1:
            return self._frames[-1].data
        if missing > len(self._frames):
            return None
        return b"".join(self._frames[index].data for index in range(-missing, 0))

    def after_position(self, position: int) -> bytes | None:
        """Return what was told after a client's last event; None when part of that is gone or it knows the future."""
        if not self._complete_from <= position <= self.position:
            return None
        parts = chain.from_iterable(frame.parts for frame in self._frames)
        return b"".join(part.data for part in parts if position < part.unseen_below)

    def news_after(self, number: int) -> bytes | None:
        """Return the news that was told after a frame; None when part of it is gone."""
        if number < self._news_lost:
            return None
        return b"".join(part.data for told, part in self._news if told > number)

    def _trim(self) -> None:
        while len(self._frames) > FRAMES or (self._bytes > FRAME_BYTES and len(self._frames) > 1):
            dropped = self._frames.popleft()
            self._bytes -= len(dropped.data)
            self._complete_from = dropped.position + 1
        while len(self._news) > NEWS:
            self._news_lost = self._news.popleft()[0]

    def _wake_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._wake(waiting)

    def _wake(self, tells: Sequence[Callable[[], None]]) -> None:
        """Wake some who wait, so many at a time: orders get their turn in between, however many watch."""
        idle = not self._waking
        self._waking.extend(tells)
        if idle:
            self._wake_some()

    def _wake_some(self) -> None:
        for _ in range(min(TOGETHER, len(self._waking))):
            self._waking.popleft()()
        if self._waking:
            asyncio.get_running_loop().call_soon(self._wake_some)
