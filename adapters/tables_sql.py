"""The statements of one read model's table, made from its row class."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from attrs import field
from psycopg import sql

from adapters.postgres_arrays import PackedArray
from adapters.postgres_columns import Column, column
from domain.values import frozen
from projections.store import Query
from projections.tables import Key, R, Table

SCHEMA = "views"


@frozen(eq=False)
class TableSql:
    """Statements for a table; with a suffix, for the one that is built beside it. They are made once."""

    table: Table[Any]
    suffix: str = ""
    columns: tuple[Column, ...] = field(init=False)
    upsert: bytes = field(init=False)
    """Puts rows that come as one array a column."""
    delete: bytes = field(init=False)
    """Removes rows by key."""
    load: bytes = field(init=False)
    """Returns rows by key."""
    walk: bytes = field(init=False)
    """Returns all rows in the order of the key."""

    @columns.default
    def _columns(self) -> tuple[Column, ...]:
        return tuple(column(name, self.table.types[name]) for name in self.table.columns)

    @upsert.default
    def _upsert(self) -> bytes:
        statement = sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM unnest({arrays}) AS r ({columns})"
            " ON CONFLICT ({key}) DO UPDATE SET {updates}"
        ).format(
            table=self.name,
            columns=_ids(self.table.columns),
            values=_listed(
                sql.SQL("r.{}::jsonb" if each.sql_type == "jsonb" else "r.{}").format(_id(each.name))
                for each in self.columns
            ),
            arrays=_arrays(self.columns),
            key=_ids(self.table.key),
            updates=_listed(
                sql.SQL("{0} = EXCLUDED.{0}").format(_id(name))
                for name in self.table.columns
                if name not in self.table.key
            ),
        )
        return statement.as_bytes()

    @delete.default
    def _delete(self) -> bytes:
        statement = sql.SQL("DELETE FROM {} AS t USING unnest({}) AS k ({}) WHERE {}")
        return statement.format(self.name, _arrays(self._key), _ids(self.table.key), self._joined).as_bytes()

    @load.default
    def _load(self) -> bytes:
        statement = sql.SQL("SELECT {} FROM unnest({}) AS k ({}) JOIN {} AS t ON {}")
        keys = (_arrays(self._key), _ids(self.table.key))
        return statement.format(self.selected, *keys, self.name, self._joined).as_bytes()

    @walk.default
    def _walk(self) -> bytes:
        statement = sql.SQL("SELECT {} FROM {} AS t ORDER BY {}")
        return statement.format(self.selected, self.name, _ids(self.table.key)).as_bytes()

    @property
    def name(self) -> sql.Identifier:
        """The table's full name."""
        return sql.Identifier(SCHEMA, self.table.name + self.suffix)

    @property
    def selected(self) -> sql.Composed:
        """The columns as ``row`` takes them."""
        return _listed(
            sql.SQL("t.{}::text" if each.sql_type == "jsonb" else "t.{}").format(_id(each.name))
            for each in self.columns
        )

    @property
    def shape(self) -> list[tuple[str, str, bool]]:
        """Name, type and whether it is required, of each column: what the catalogue says of a table that fits."""
        return [(each.name, each.sql_type.partition(" COLLATE")[0], not each.nullable) for each in self.columns]

    def create(self) -> list[sql.Composed]:
        """Make the table and its indexes. PostgreSQL names the indexes, so that none is in the next table's way."""
        columns = [
            sql.SQL("{} {}{}").format(_id(each.name), _raw(each.sql_type), _raw("" if each.nullable else " NOT NULL"))
            for each in self.columns
        ]
        # Room on each page lets most updates stay on it and touch no index.
        table = sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({})) WITH (fillfactor = 80)").format(
            self.name, _listed(columns), _ids(self.table.key)
        )
        indexes = [sql.SQL("CREATE INDEX ON {} ({})").format(self.name, _ids(names)) for names in self.table.indexes]
        return [table, *indexes]

    def drop(self) -> sql.Composed:
        """Drop the table if it is there."""
        return sql.SQL("DROP TABLE IF EXISTS {}").format(self.name)

    def take_over(self) -> list[sql.Composed]:
        """Let the table that was built beside the live one take its place."""
        live = statements(self.table)
        rename = sql.SQL("ALTER TABLE {} RENAME TO {}").format(self.name, _id(self.table.name))
        return [live.drop(), rename]

    def find(self, query: Query[Any]) -> tuple[bytes, list[object]]:
        """Return the statement and parameters of a query: each line has the projection's position first.

        When no row fits there is one line of the position and nulls.
        """
        statement = _find(self, tuple(query.equals), tuple(query.at_most), query.sorting, query.after is not None)
        values = [*query.equals.values(), *query.at_most.values(), *(query.after or ())]
        return statement, [*values, query.limit, query.offset, self.table.owner + self.suffix]

    def packed(self, rows: Sequence[Any]) -> list[PackedArray]:
        """Return the columns of rows as arrays."""
        values = zip(*map(self.table.values, rows), strict=True)
        return [each.pack(items) for each, items in zip(self.columns, values, strict=True)]

    def packed_keys(self, keys: Sequence[Key]) -> list[PackedArray]:
        """Return the columns of keys as arrays."""
        return [each.pack(items) for each, items in zip(self._key, zip(*keys, strict=True), strict=True)]

    def row(self, line: Sequence[Any]) -> Any:
        """Return the row of a selected line."""
        pairs = zip(self.columns, line, strict=True)
        return self.table.row(*[value if each.read is None else each.read(value) for each, value in pairs])

    def values(self, lines: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """Return the columns of rows from selected lines."""
        if not any(each.read for each in self.columns):
            return lines
        columns = zip(self.columns, zip(*lines, strict=True), strict=True)
        return list(
            zip(*[values if each.read is None else map(each.read, values) for each, values in columns], strict=True)
        )

    @property
    def _key(self) -> list[Column]:
        return [each for name in self.table.key for each in self.columns if each.name == name]

    @property
    def _joined(self) -> sql.Composed:
        return sql.SQL(" AND ").join(sql.SQL("t.{0} = k.{0}").format(_id(name)) for name in self.table.key)


@cache
def statements(table: Table[R], suffix: str = "") -> TableSql:
    """Return the statements of a table."""
    return TableSql(table, suffix)


@cache
def _find(
    of: TableSql, equals: tuple[str, ...], at_most: tuple[str, ...], sorting: tuple[tuple[str, bool], ...], paged: bool
) -> bytes:
    conditions = [sql.SQL("true").format()]
    conditions += [sql.SQL("t.{} = %b").format(_id(name)) for name in equals]
    conditions += [sql.SQL("t.{} <= %b").format(_id(name)) for name in at_most]
    if paged:
        values = _listed(_raw("%b") for _ in of.table.key)
        conditions.append(sql.SQL("({}) > ({})").format(_ids(of.table.key), values))
    order = _listed(sql.SQL("t.{} DESC" if descends else "t.{}").format(_id(name)) for name, descends in sorting)
    rows = sql.SQL("SELECT * FROM {} AS t WHERE {} ORDER BY {} LIMIT %b OFFSET %b").format(
        of.name, sql.SQL(" AND ").join(conditions), order
    )
    statement = sql.SQL(
        "SELECT p.position, {} FROM views.position AS p LEFT JOIN LATERAL ({}) AS t ON true"
        " WHERE p.name = %b ORDER BY {}"
    )
    return statement.format(of.selected, rows, order).as_bytes()


def _arrays(columns: Iterable[Column]) -> sql.Composed:
    return _listed(_raw(f"%b::{each.array_type}") for each in columns)


def _id(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _ids(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)


def _raw(text: str) -> sql.SQL:
    return sql.SQL(text)
