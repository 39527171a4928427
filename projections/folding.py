"""From a batch of records to what is written: finds the rows, applies the changes, keeps hot rows at hand.

A batch is folded in two passes. The first asks the handlers which rows will change and loads those that are not at
hand, in one query a table. The second applies the changes to copies. If a fold fails there, the pass is begun anew
with care: each record's rows are set aside before it is applied, and put back if it fails. So the usual way costs
nothing for what almost never happens, and a poison record is parked alone, leaving no trace in any row.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from domain.record import UnreadableError
from projections.projection import DROPPED, Change, Fact, Handler, MissingRowError, Projection
from projections.store import Mark, Parked, Store, Wire, Write
from projections.tables import Key, Table

PAUSE_RECORDS = 256
"""After so many records others on the event loop get their turn: a few milliseconds."""
CACHED_ROWS = 50_000
"""Rows kept of each table, beside those of the last batch; that one is not there is kept, too."""
_ABSENT: Any = object()
Pages = defaultdict[Table[Any], dict[Key, Any]]


_Task = tuple[Projection, Fact, Any, Sequence[Change]]
"""What one record and its event mean to one projection."""


class Folder:
    """Folds batches for one store, and remembers rows as the store will have them.

    What it remembers holds only if all that it returns is stored, in order, and nobody else writes: ``forget`` when a
    write failed or may have.
    """

    def __init__(self, wire: Wire, store: Store, *, cached_rows: int = CACHED_ROWS) -> None:
        self._decode = wire.decode
        self._store = store
        self._cached_rows = cached_rows
        self._cache: Pages = defaultdict(dict)
        self._pages: Pages = defaultdict(dict)
        self._types: dict[str, type] = {}
        self._routes: dict[tuple[Projection, ...], dict[type, list[tuple[Projection, Handler]]]] = {}

    async def fold(self, records: Sequence[Fact], projections: Mapping[Projection, Mark]) -> Write:
        """Return what a batch comes to for projections that have all come to the record before it."""
        parked: list[Parked] = []
        tasks = await self._tasks(records, tuple(projections), parked)
        await self._load(tasks)
        try:
            await self._apply(tasks)
        except Exception:  # noqa: BLE001 - whatever a fold raises, the show goes on
            await self._apply_with_care(tasks, parked)
        moves = {each.name: (mark, records[-1].position) for each, mark in projections.items()}
        write = self._write(moves, parked)
        self._keep()
        return write

    def forget(self) -> None:
        """Trust nothing that is remembered."""
        self._pages.clear()
        self._cache.clear()

    async def _tasks(
        self, records: Sequence[Fact], projections: tuple[Projection, ...], parked: list[Parked]
    ) -> list[_Task]:
        routes = self._routes_of(projections)
        tasks: list[_Task] = []
        for start in range(0, len(records), PAUSE_RECORDS):
            for record in records[start : start + PAUSE_RECORDS]:
                known = self._types.get(record.topic)
                if known is None or known in routes:
                    try:
                        event = self._decode(record.topic, record.state)
                    except UnreadableError as error:
                        parked += [_parked(each, record, error) for each in projections]
                    else:
                        kind = self._types[record.topic] = type(event)
                        _add_tasks(record, event, routes.get(kind, ()), tasks, parked)
            await asyncio.sleep(0)
        return tasks

    def _routes_of(self, projections: tuple[Projection, ...]) -> dict[type, list[tuple[Projection, Handler]]]:
        if projections not in self._routes:
            routes: defaultdict[type, list[tuple[Projection, Handler]]] = defaultdict(list)
            for projection in projections:
                for kind, handler in projection.handlers.items():
                    routes[kind].append((projection, handler))
            self._routes[projections] = dict(routes)
        return self._routes[projections]

    async def _load(self, tasks: Iterable[_Task]) -> None:
        """Bring the rows to hand that are changed but not begun in this batch."""
        wanted: defaultdict[Table[Any], dict[Key, bool]] = defaultdict(dict)
        for _, _, _, changes in tasks:
            for table, key, _, step in changes:
                if key not in self._cache[table]:
                    wanted[table].setdefault(key, step is not None)
        for table, keys in wanted.items():
            missing = [key for key, needed in keys.items() if needed]
            if missing:
                self._cache[table].update(await self._store.load(table, missing))

    async def _apply(self, tasks: Sequence[_Task]) -> None:
        for start in range(0, len(tasks), PAUSE_RECORDS):
            self._change(tasks[start : start + PAUSE_RECORDS])
            await asyncio.sleep(0)

    async def _apply_with_care(self, tasks: Iterable[_Task], parked: list[Parked]) -> None:
        self._pages.clear()
        for count, task in enumerate(tasks):
            projection, record, _, changes = task
            before = [(table, key, self._set_aside(table, key)) for table, key, _, _ in changes]
            try:
                self._change([task])
            except Exception as error:  # noqa: BLE001 - see above
                self._put_back(before)
                parked.append(_parked(projection, record, error))
            if not count % PAUSE_RECORDS:
                await asyncio.sleep(0)

    def _change(self, tasks: Iterable[_Task]) -> None:
        pages, cache = self._pages, self._cache
        for _, record, event, changes in tasks:
            for table, key, start, step in changes:
                page = pages[table]
                if step is None:
                    row = None if start is None else start(key, record, event)
                else:
                    row = page.get(key, _ABSENT)
                    if row is _ABSENT:
                        row = cache[table].get(key)
                        row = None if row is None else table.copy(row)
                    if row is None:
                        if start is None:
                            raise _missing(table, key)
                        row = start(key, record, event)
                    if step(row, record, event) is DROPPED:
                        row = None
                if row is not None:
                    row.position = record.position
                page[key] = row

    def _set_aside(self, table: Table[Any], key: Key) -> Any:
        row = self._pages[table].get(key, _ABSENT)
        return row if row is None or row is _ABSENT else table.copy(row)

    def _put_back(self, before: Iterable[tuple[Table[Any], Key, Any]]) -> None:
        for table, key, row in before:
            if row is _ABSENT:
                self._pages[table].pop(key, None)
            else:
                self._pages[table][key] = row

    def _write(self, moves: Mapping[str, tuple[Mark, int]], parked: Sequence[Parked]) -> Write:
        puts = {table: [row for row in page.values() if row is not None] for table, page in self._pages.items()}
        drops = {table: [key for key, row in page.items() if row is None] for table, page in self._pages.items()}
        return Write(
            moves,
            {table: rows for table, rows in puts.items() if rows},
            {table: keys for table, keys in drops.items() if keys},
            parked,
        )

    def _keep(self) -> None:
        """Remember what the batch comes to, all of it, for it may be written later than the next is folded."""
        for table, page in self._pages.items():
            cache = self._cache[table]
            for key in list(islice(cache, max(0, len(cache) - self._cached_rows))):
                del cache[key]
            cache |= page
        self._pages.clear()


def _add_tasks(
    record: Fact,
    event: Any,
    handlers: Iterable[tuple[Projection, Handler]],
    tasks: list[_Task],
    parked: list[Parked],
) -> None:
    for projection, handler in handlers:
        try:
            tasks.append((projection, record, event, handler(record, event)))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the show goes on
            parked.append(_parked(projection, record, error))


def _missing(table: Table[Any], key: Key) -> MissingRowError:
    return MissingRowError(f"there is no row {'/'.join(map(str, key))} in {table.name} to change")


def _parked(projection: Projection, record: Fact, error: Exception) -> Parked:
    return Parked(projection.name, record.position, record.topic, f"{type(error).__name__}: {error}")
