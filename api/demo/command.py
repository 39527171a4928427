"""The command ``livetill demo``. What it needs is imported when it runs, so that the command line starts fast."""

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import rich_click as click

from api.commands.numbers import Number, WholeNumber

SHARE: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?|\.[0-9]{1,9}")
ORDERS_HELP: Final = "CSV in the Online Retail format, plain or gzipped. Unless told: three days of real orders."
SPEED_HELP: Final = (
    "Seconds of the file a second. Unless told: 1800 on a terminal without --exit, else as fast as it goes."
)
PORT_HELP: Final = "The port of the shop and its pages; 0 takes a free one."
SHARE_HELP: Final = "How much of each day's demand there is to sell; with 0.8 things sell out."


class StockShare(click.ParamType):  # type: ignore[type-arg]  # generic for newer type checkers only
    """A share as a decimal, exactly as written."""

    name = "S"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read it; wrong usage when it is no share."""
        if isinstance(value, Decimal):
            return value
        if not SHARE.fullmatch(value):
            self.fail(f"{value} is no share; write a decimal such as 0.8, at most 999", param, ctx)
        return Decimal(value)


@click.command("demo")
@click.option("--orders", metavar="FILE", type=click.Path(path_type=Path), help=ORDERS_HELP)
@click.option("--speed", metavar="N", type=Number(min=0, min_open=True), help=SPEED_HELP)
@click.option("--stock-share", type=StockShare(), default="1", show_default=True, help=SHARE_HELP)
@click.option("--port", type=WholeNumber(0, 65535), default=8000, show_default=True, help=PORT_HELP)
@click.option("--exit", "leaves", is_flag=True, help="End with the last show instead of keeping the pages up.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def demo(
    orders: Path | None, speed: float | None, stock_share: Decimal, port: int, leaves: bool, as_json: bool
) -> None:
    """Play real orders of a real shop as live shows, over the real HTTP API.

    Starts a shop with an empty journal on this machine; its data go when the demo ends. Exit code 1 if the journal or
    a read model does not hold what was sold.

    \b
    Examples:
      livetill demo
      livetill demo --stock-share 0.8 --speed 600
      livetill demo --exit --json | jq .commission
    """
    from api.demo import run

    sys.exit(run.demo(run.Wishes(orders or run.SLICE, speed, stock_share, port, leaves, as_json)))
