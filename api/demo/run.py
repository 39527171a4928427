"""A demo from beginning to end: read, plan, serve, play, close the books, verify, report."""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from rich.console import Console

from api.commands.output import invocation
from api.demo.closing import close_books
from api.demo.leaving import Leaving
from api.demo.pace import Pace
from api.demo.plan import Show, plan
from api.demo.report import Report
from api.demo.rows import Orders, read_orders
from api.demo.screen import Screen
from api.demo.server import Server
from api.demo.shop import connected
from api.demo.show import Player
from api.demo.tally import Closing, Tally
from domain.values import frozen

SLICE: Final = Path(__file__).parents[1] / "data" / "online_retail_2010-12-01_03.csv.gz"
"""Three days that ship with livetill; see the attribution beside it."""
WATCHABLE_SPEED: Final = 1_800.0
"""Seconds of the file a second: the three days take about a minute."""


@frozen
class Wishes:
    """What somebody wants to see."""

    orders: Path
    speed: float | None
    """Seconds of the file a second; None for what suits the screen."""
    stock_share: Decimal
    """How much of each day's demand there is to sell."""
    port: int
    leaves: bool
    """End with the last show, instead of keeping the pages up."""
    as_json: bool


def demo(wishes: Wishes) -> int:
    """Play a demo and return its exit status; ``DemoError`` when it cannot go on."""
    screen = Screen(Console(stderr=wishes.as_json))
    orders = read_orders(wishes.orders)
    shows = plan(orders.rows)
    leaving = Leaving()
    report = asyncio.run(_run(orders, shows, wishes, screen, leaving))
    if report is None:
        leaving.leave()
    return 0 if report.verified and report.agrees else 1


async def _run(
    orders: Orders, shows: Sequence[Show], wishes: Wishes, screen: Screen, leaving: Leaving
) -> Report | None:
    """Sell in a shop of our own, from its start to its end, and clear it away; None when a signal ended it."""
    with leaving, Server(wishes.port) as server:
        screen.say(f"Open {server.url}/ to watch; the shop is starting.")
        with screen.waiting("Starting a shop"):
            await server.start()
        tally, closing = await _played(shows, wishes, server, screen)
        with screen.waiting("Verifying journal and read models"):
            report = Report(orders, tally, closing, await server.verify())
        _tell(report, wishes, screen)
        if not wishes.leaves:
            await _stay(server, screen, leaving)
        return report
    return None


async def _played(shows: Sequence[Show], wishes: Wishes, server: Server, screen: Screen) -> tuple[Tally, Closing]:
    """Play shows over HTTP and close the books."""
    async with connected(server.url, server.tokens()) as shop:
        player = Player(shop, wishes.stock_share, Pace(_speed(wishes, screen)), screen)
        with screen.shows():
            for number, show in enumerate(shows, start=1):
                screen.begin(number, len(shows), show)
                await player.play(show)
        with screen.waiting("Waiting for commissions"):
            closing = await close_books(shop, player.stream_ids, _payees(shows))
    return player.tally, closing


def _speed(wishes: Wishes, screen: Screen) -> float | None:
    """Slow enough to be watched where somebody may be watching."""
    watched = screen.console.is_terminal and not wishes.leaves
    return wishes.speed or (WATCHABLE_SPEED if watched else None)


def _payees(shows: Sequence[Show]) -> Sequence[str]:
    return list(dict.fromkeys(payee for show in shows for payee in show.host.payees))


def _tell(report: Report, wishes: Wishes, screen: Screen) -> None:
    if wishes.as_json:
        sys.stdout.write(json.dumps(report.document(), indent=2) + "\n")
        sys.stdout.flush()
    else:
        report.show(screen.console)


async def _stay(server: Server, screen: Screen, leaving: Leaving) -> None:
    """Keep the pages up until Ctrl-C."""
    screen.say(f"The pages stay up at {server.url}/ until you press Ctrl-C; then the demo's data go.")
    screen.say(f"A token for the API: {invocation()} token --role auditor --data-dir {server.data_dir}")
    try:
        await server.wait()
    except asyncio.CancelledError:
        if leaving.told is not signal.SIGINT:
            raise
        screen.say("Stopped.")
