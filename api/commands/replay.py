"""``livetill replay``: what anything was at any position."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from api.commands.options import AS_OF, JSON, database, settings
from api.commands.output import instant, plain, print_json, print_table, progress
from api.commands.running import on_journal, position_of
from api.commands.troubles import CommandError

if TYPE_CHECKING:
    from api.compose import Opened

KINDS = ("stream", "listing", "order", "commission")


@click.command("replay")
@AS_OF
@click.option("--stream", metavar="ID", help="The state of one show.")
@click.option("--listing", metavar="ID", help="The state of one listing: units, holds, window, price.")
@click.option("--order", metavar="ID", help="The state of one order: lines, payments, refunds, returns.")
@click.option("--commission", metavar="ID", help="The state of one commission.")
@JSON
@database
def replay_command(
    as_of: str | None, as_json: bool, data_dir: Path, database_url: str | None, **ids: str | None
) -> None:
    """Show how it was: one history, or all read models, as of a position or a time.

    Everything is folded anew from the journal by the code that sells. The digest is a SHA-256 of the answer: two people
    who replay to the same position get the same one.

    \b
    Examples:
      livetill replay
      livetill replay --as-of 2026-03-07T20:15:00Z --listing listing-01jq…
      livetill replay --as-of 4711 --json
    """
    asked = [(kind, history_id) for kind, history_id in ids.items() if history_id is not None]
    if len(asked) > 1:
        raise click.UsageError("Ask for one history at a time.")

    async def work(parts: "Opened") -> dict[str, Any]:
        position = await position_of(parts.journal, as_of)
        if asked:
            return await _history(parts, position, *asked[0])
        return await _everything(parts, position, quiet=as_json)

    document = on_journal(settings(data_dir, database_url), work)
    if as_json:
        print_json(document)
    elif asked:
        _print_history(document)
    else:
        _print_everything(document)


async def _history(parts: "Opened", position: int, kind: str, history_id: str) -> dict[str, Any]:
    """Fold one history up to a position."""
    from domain.record import UnreadableError
    from projections.history import history_at

    try:
        found = await history_at(parts.journal, parts.wire, history_id, position, kind)
    except UnreadableError as error:
        raise CommandError(f"{error}: livetill verify tells what else is wrong") from error
    if found is None:
        raise CommandError(f"there is no {kind} {history_id} as of position {position}")
    state = plain(found.state)
    return {
        "history_id": history_id,
        "as_of": position,
        "version": found.version,
        "position": found.position,
        "recorded_at": found.recorded_at,
        "state": state,
        "sha256": _digest({"history_id": history_id, "version": found.version, "state": state}),
    }


async def _everything(parts: "Opened", position: int, *, quiet: bool) -> dict[str, Any]:
    """Replay all read models and say what they come to."""
    from projections.catalogue import PROJECTIONS
    from projections.digest import digest
    from projections.replay import as_of
    from projections.store import Query

    with progress("Replaying", quiet=quiet) as advanced:
        store = await as_of(_Watched(parts.journal, advanced, position), parts.wire, position)
    models = []
    for projection, found in zip(PROJECTIONS, await digest(store), strict=True):
        rows = {table.name: len((await store.find(Query(table))).rows) for table in projection.tables}
        models.append({"name": projection.name, "rows": rows, "sha256": found.sha256})
    return {
        "as_of": position,
        "recorded_at": await _recorded_at(parts, position),
        "read_models": models,
        "totals": await _totals(store),
        "sha256": _digest(models),
    }


class _Watched:
    """A journal whose walk is watched."""

    def __init__(self, journal: Any, advanced: Any, end: int) -> None:
        self._advanced, self._end, self._scan = advanced, end, journal.scan
        self.read, self.head = journal.read, journal.head

    async def scan(self, after: int = 0, upto: int | None = None) -> Any:
        """Walk the journal in chunks and tell how far it is."""
        async for records in self._scan(after, upto):
            yield records
            self._advanced(records[-1].position, self._end)


async def _recorded_at(parts: "Opened", position: int) -> Any:
    records = await parts.journal.read(position - 1, 1) if position else []
    return records[0].recorded_at if records else None


async def _totals(store: Any) -> dict[str, Any]:
    """Count what people ask about first."""
    from collections import Counter

    from projections.live_stock import LIVE_STOCK
    from projections.orders import ORDERS
    from projections.payouts import PAYOUTS
    from projections.store import Query
    from projections.streams import STREAMS

    orders = (await store.find(Query(ORDERS))).rows
    stock = (await store.find(Query(LIVE_STOCK))).rows
    return {
        "streams": dict(sorted(Counter(row.status for row in (await store.find(Query(STREAMS))).rows).items())),
        "orders": dict(sorted(Counter(row.status for row in orders).items())),
        "units": {name: sum(getattr(row, name) for row in stock) for name in _BUCKETS},
        **{name: _by_currency(orders, name) for name in ("captured_minor", "refunded_minor", "orphaned_minor")},
        "payouts": plain((await store.find(Query(PAYOUTS))).rows),
    }


def _by_currency(orders: Any, name: str) -> dict[str, int]:
    """Sum what orders say under a name, a currency at a time."""
    currencies = sorted({row.currency for row in orders if getattr(row, name)})
    return {each: sum(getattr(row, name) for row in orders if row.currency == each) for each in currencies}


_BUCKETS = ("allotted", "available", "reserved", "committed", "shipped", "unavailable", "returned_to_source")


def _digest(document: Any) -> str:
    import json
    from hashlib import sha256

    return sha256(json.dumps(plain(document), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _told(recorded_at: datetime | None) -> str:
    return "never" if recorded_at is None else instant(recorded_at)


def _print_history(document: dict[str, Any]) -> None:
    click.echo(f"{document['history_id']} as of position {document['as_of']}")
    click.echo(
        f"version {document['version']}, last changed at {document['position']}, {_told(document['recorded_at'])}"
    )
    click.echo()
    print_table(("FIELD", "VALUE"), list(_flat(document["state"])))
    click.echo()
    click.echo(f"sha256 {document['sha256']}")


def _flat(value: Any, path: str = "") -> Any:
    """Walk over the leaves of a document with their paths; of long collections in it only the size."""
    match value:
        case dict() if value and (len(value) <= _LONGEST or not path):
            for key, each in value.items():
                yield from _flat(each, f"{path}.{key}" if path else str(key))
        case list() if value and len(value) <= _LONGEST:
            for number, each in enumerate(value, start=1):
                yield from _flat(each, f"{path}[{number}]")
        case dict() | list():
            yield path, f"{len(value)} entries" if value else "none"
        case _:
            yield path, _WORDS[value] if value is None or isinstance(value, bool) else f"{value}"


_WORDS = {None: "none", False: "no", True: "yes"}
_LONGEST = 20


def _print_everything(document: dict[str, Any]) -> None:
    click.echo(f"As of position {document['as_of']}, recorded {_told(document['recorded_at'])}")
    click.echo()
    models = document["read_models"]
    print_table(("READ MODEL", "ROWS", "SHA-256"), [(m["name"], sum(m["rows"].values()), m["sha256"]) for m in models])
    click.echo()
    print_table(("TOTAL", "VALUE"), list(_flat({k: v for k, v in document["totals"].items() if k != "payouts"})))
    click.echo()
    click.echo(f"sha256 {document['sha256']}")
