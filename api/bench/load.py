"""The crowd that orders: a process of its own, so that its work is not taken for the shop's.

``python -m api.bench.load`` reads a ``Plan`` as JSON from standard input and prints a ``Told``. Every buyer has a token
and every order a key of its own; connections are kept alive. In a *closed* loop each connection orders again as soon
as it has its answer: that finds the throughput. In an *open* loop orders are due at random instants of a given rate,
whatever the answers do, and each is timed from when it was due. So an order that had to wait for a stalled server
counts with its whole wait; timing from when it could be sent would leave out just those (G. Tene: "coordinated
omission").

Bare sockets and httptools, for a client that costs more than the server would measure itself. What it costs is told.
"""

import asyncio
import random
import re
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, count, cycle, islice
from typing import Any, Final

import httptools
import msgspec
import uvloop
from attrs import Factory, define

from api.auth import issue
from domain.values import frozen

PERCENT: Final = 100
CREATED: Final = 201
_EACH_STATUS: Final = re.compile(rb'\{"status":(\d+),"replayed"')
"""Where an answer to several orders says what became of each."""
TOKEN_SECONDS: Final = 7_200
GRACE_SECONDS: Final = 30.0
"""How long answers are waited for after the last order."""
OPEN_SECONDS: Final = 0.002
"""How often an open loop looks whether orders are due: what is late by this much is timed from when it was due."""


@frozen
class Plan:
    """What the crowd does."""

    host: str
    port: int
    secret: str
    stream_id: str
    listing_ids: list[str]
    seconds: float
    warmup_seconds: float = 1.0
    connections: int = 64
    rate: float = 0.0
    """Orders a second of an open loop; 0 for a closed one."""
    batch: int = 1
    """Orders a request; of several, each request comes from a shop front that orders for its buyers."""
    buyers: int = 2_000
    name: str = "bench"
    """Goes into the keys, so that two crowds never share one."""


@define
class Told:
    """What the crowd was told."""

    seconds: float = 0.0
    ended_ms: int = 0
    """When the time was over, in milliseconds since the epoch; the last answers came a little later."""
    answered: dict[str, int] = Factory(dict)
    """Orders by status, everything."""
    acknowledged: int = 0
    """Orders taken while it was measured."""
    lost: int = 0
    """Requests that no answer came to."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    worst_ms: float = 0.0
    crowd_us: float = 0.0
    """Processor time of the crowd for each order, in millionths of a second."""


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one order under way."""

    def __init__(self, answered: "Callable[[_Connection, int], None]", lost: "Callable[[_Connection], None]") -> None:
        self._answered, self._lost = answered, lost
        self.body = b""
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self.due = 0.0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def order(self, request: bytes, due: float) -> None:
        """Send an order that was due at an instant."""
        self.due, self.busy, self.body = due, True, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Called by the parser: a part of the answer is there."""
        self.body += body

    def on_message_complete(self) -> None:
        """Called by the parser: the answer is there."""
        self.busy = False
        self._answered(self, self._parser.get_status_code())

    def connection_lost(self, _error: Exception | None) -> None:
        if self.busy:
            self._lost(self)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class Crowd:
    """Orders as planned and notes what it is told."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._clock = time.perf_counter
        requests = _requests(plan)
        self._requests = chain([next(requests)], requests)  # with the first come the tokens: no cost of ordering
        self._latencies = array("d")
        self._statuses: Counter[int] = Counter()
        self._acknowledged = self._lost = self._under_way = 0
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[float] = deque()
        self._from = self._until = 0.0
        self._quiet = asyncio.Event()

    async def run(self) -> Told:
        """Open the connections, order, and wait for the last answer."""
        loop, plan = asyncio.get_running_loop(), self._plan
        opening = (
            loop.create_connection(lambda: _Connection(self._answered, self._gone), plan.host, plan.port)
            for _ in range(plan.connections)
        )
        connections = [protocol for _, protocol in await asyncio.gather(*opening)]
        self._idle.extend(connections)
        began, used = self._clock(), time.process_time()
        self._from = began + plan.warmup_seconds
        self._until = self._from + plan.seconds
        await (self._open() if plan.rate else self._closed())
        ended_ms = time.time_ns() // 1_000_000
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._all_answered()
        except TimeoutError:
            self._lost += self._under_way
        told = self._told(time.process_time() - used, ended_ms)
        for each in connections:
            each.close()
        return told

    async def _closed(self) -> None:
        while self._idle:
            self._send(self._clock())
        await asyncio.sleep(self._until - self._clock())

    async def _open(self) -> None:
        chance = random.Random(self._plan.name)  # noqa: S311 - arrivals of a simulation, to be repeated
        due = self._clock()
        while due < self._until:
            now = self._clock()
            while due <= now:
                self._send(due)
                due += chance.expovariate(self._plan.rate)
            await asyncio.sleep(OPEN_SECONDS)

    async def _all_answered(self) -> None:
        while self._under_way or self._waiting:
            self._quiet.clear()
            await self._quiet.wait()

    def _send(self, due: float) -> None:
        """Order over the connection that has been free for longest, or as soon as one is: none grows cold."""
        if self._idle:
            self._under_way += 1
            self._idle.popleft().order(next(self._requests), due)
        else:
            self._waiting.append(due)

    def _answered(self, connection: _Connection, status: int) -> None:
        now = self._clock()
        each_status = _EACH_STATUS.findall(connection.body) if self._plan.batch > 1 else ()
        statuses = Counter(map(int, each_status)) or Counter({status: self._plan.batch})
        self._statuses.update(statuses)
        # Of an open loop what was due while it was measured counts; of a closed one what was answered then.
        at = connection.due if self._plan.rate else now
        if self._from <= at < self._until:
            self._latencies.append(now - connection.due)
            self._acknowledged += statuses[CREATED]
        self._under_way -= 1
        self._idle.append(connection)
        if self._waiting:
            self._send(self._waiting.popleft())
        elif not self._plan.rate and now < self._until:
            self._send(now)
        self._quiet.set()

    def _gone(self, _connection: _Connection) -> None:
        self._lost += 1
        self._under_way -= 1
        self._quiet.set()

    def _told(self, used_seconds: float, ended_ms: int) -> Told:
        sent = sum(self._statuses.values()) + self._lost * self._plan.batch
        ordered = sorted(self._latencies)
        return Told(
            seconds=self._plan.seconds,
            ended_ms=ended_ms,
            answered={str(status): count for status, count in self._statuses.items()},
            acknowledged=self._acknowledged,
            lost=self._lost,
            p50_ms=1e3 * percentile(ordered, 50),
            p99_ms=1e3 * percentile(ordered, 99),
            p999_ms=1e3 * percentile(ordered, 99.9),
            worst_ms=1e3 * percentile(ordered, PERCENT),
            crowd_us=1e6 * used_seconds / max(1, sent),
        )


def percentile(ordered: "list[float]", percent: float) -> float:
    """Return the smallest value that ``percent`` of all do not exceed; 0 when there is none."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // PERCENT).__trunc__() - 1)]


def _requests(plan: Plan) -> Iterator[bytes]:
    """Write requests: by one buyer after the other, of one listing after the other, each under a key of its own."""
    lines = [msgspec.json.encode([{"listing_id": each, "quantity": 1}]) for each in plan.listing_ids]
    buyers = [f"{plan.name}-{number}" for number in range(plan.buyers)]
    if plan.batch > 1:
        orders = map(partial(_order_of_several, plan), count(), cycle(buyers), cycle(lines))
        head = _head(plan, "/v1/orders:batch", "client", "shop-front")
        while True:
            body = b'{"orders":[%b]}' % b",".join(islice(orders, plan.batch))
            yield b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    heads = [_head(plan, "/v1/orders", "buyer", buyer) + b"\r\nIdempotency-Key: " for buyer in buyers]
    bodies = [b'{"stream_id":"%b","lines":%b}' % (plan.stream_id.encode(), each) for each in lines]
    tails = [b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies]
    for number, (head, tail) in enumerate(zip(cycle(heads), cycle(tails), strict=False)):
        yield b"%b%b-%d%b" % (head, plan.name.encode(), number, tail)


def _head(plan: Plan, path: str, role: str, subject: str) -> bytes:
    token = issue(role, subject, TOKEN_SECONDS, plan.secret)
    return (
        f"POST {path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json"
    ).encode()


def _order_of_several(plan: Plan, number: int, buyer: str, lines: bytes) -> bytes:
    named = (plan.name.encode(), number, plan.stream_id.encode(), buyer.encode(), lines)
    return b'{"idempotency_key":"%b-%d","stream_id":"%b","buyer_id":"%b","lines":%b}' % named


def main() -> None:
    """Do what standard input says."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    told = uvloop.run(Crowd(plan).run())
    sys.stdout.buffer.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
