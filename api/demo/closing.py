"""Closes the books: waits until everything has happened that follows from the shows, then asks what came of it.

Commissions are booked by reactions that follow the journal. They are done when the reactor's place in the journal, as
the shop measures it, has passed the last thing that the demo did; what a read model says is then asked for at the
journal's head.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from api.auth import Role
from api.demo.errors import DemoError
from api.demo.rows import CURRENCY
from api.demo.shop import Shop
from api.demo.tally import Closing, Payee

LOOK_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 120
"""How long nothing at all may move before the demo gives up."""
HEAD: Final = "livetill_journal_position"
PARKED: Final = "livetill_parked_records"
LAGS: Final = tuple(f'livetill_reactor_lag_records{{reactor="{name}"}}' for name in ("reactions", "refunds"))
BOARD_SUMS: Final = ("units", "returned_units", "gmv_minor", "refunded_minor")


async def close_books(shop: Shop, stream_ids: Iterable[str], payee_ids: Iterable[str]) -> Closing:
    """Return how the books stand after everything that was done."""
    await _reacted(shop)
    head = await head_of(shop)
    boards: dict[str, Counter[str]] = {}
    for stream_id in stream_ids:
        for standing in await _hosts_of(shop, stream_id, head):
            sums = boards.setdefault(standing["subject_id"], Counter(dict.fromkeys(BOARD_SUMS, 0)))
            sums.update({name: standing[name] for name in BOARD_SUMS})
    payees = {payee_id: await _payee(shop, payee_id, head) for payee_id in payee_ids}
    return Closing(head, payees, boards)


async def head_of(shop: Shop) -> int:
    """Return the journal's last position."""
    return int((await shop.read(Role.AUDITOR, "/v1/journal", after=shop.position, limit=1))["head"])


async def _reacted(shop: Shop) -> None:
    """Wait until the reactors have passed the last position that the demo reached."""
    loop = asyncio.get_running_loop()
    moved_at, before = loop.time(), -1.0
    while True:
        metrics = await shop.metrics()
        behind = _behind(metrics, shop.position)
        if not behind:
            return
        if behind != before:
            moved_at, before = loop.time(), behind
        elif loop.time() - moved_at > PATIENCE_SECONDS:
            raise DemoError(f"the shop's reactions stand still {behind:,.0f} records behind; see its log")
        await asyncio.sleep(LOOK_SECONDS)


def _behind(metrics: Mapping[str, float], position: int) -> float:
    """Return how far the slowest reactor is from a position; a measurement taken before it counts as behind."""
    try:
        head, parked, lags = metrics[HEAD], metrics[PARKED], [metrics[lag] for lag in LAGS]
    except KeyError:
        return float("inf")
    if parked:
        raise DemoError(f"the shop could not react to {parked:,.0f} records; see livetill doctor and its log")
    return max(0.0, position - min(head - lag for lag in lags))


async def _hosts_of(shop: Shop, stream_id: str, position: int) -> Iterable[Mapping[str, Any]]:
    board = f"/v1/streams/{stream_id}/leaderboards/hosts"
    answer = await shop.read(Role.AUDITOR, board, metric="gmv", min_position=position)
    standings: Iterable[Mapping[str, Any]] = answer["standings"]
    return standings


async def _payee(shop: Shop, payee_id: str, position: int) -> Payee:
    owed = await shop.read(Role.FINANCE, "/v1/payouts", payee_id=payee_id, currency=CURRENCY, min_position=position)
    return Payee(owed["accrued_minor"], owed["reversed_minor"])
