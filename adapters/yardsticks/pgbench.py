"""Plain SQL, by the program that PostgreSQL's own people measure with.

*hot-row* is what a shop does without us: one row says how many are left, every order takes one away and writes itself
down. All wait for the lock on that row, which is held until the commit is on disk. *bulk* is the other end: nothing to
decide, 500 rows a statement, the data in it. It says what the disk and the database can take at best.
"""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from adapters.embedded_postgres import EmbeddedPostgres

DATABASE: Final = "yardstick"
BULK_ROWS: Final = 500
WARM_UP_SECONDS: Final = 1.0
_HOT_ROW: Final = r"""
\set buyer random(1, 1000000)
BEGIN;
UPDATE stock SET available = available - 1 WHERE listing_id = 1 AND available > 0;
INSERT INTO orders (listing_id, buyer_id, quantity, price_minor) VALUES (1, :buyer, 1, 1999);
COMMIT;
"""
_SOLD_AND_ORDERED: Final = "SELECT 1000000000 - available - (SELECT count(*) FROM orders) FROM stock"
_TABLES: Final = """
    DROP TABLE IF EXISTS stock, orders, bulk;
    CREATE TABLE stock (listing_id integer PRIMARY KEY, available bigint NOT NULL) WITH (fillfactor = 20);
    INSERT INTO stock VALUES (1, 1000000000);
    CREATE TABLE orders (
        order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, listing_id integer NOT NULL,
        buyer_id integer NOT NULL, quantity integer NOT NULL, price_minor bigint NOT NULL,
        placed_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE bulk (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state bytea NOT NULL);
"""


def database(url: str) -> str:
    """Return the URL of a database beside the shop's, made if there is none: the same server, other tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")
    return make_conninfo(url, dbname=DATABASE)


def hot_row(url: str, seconds: float) -> dict[str, float]:
    """Return orders a second of 8 clients (the yardstick), and what one client alone or prepared statements do."""
    beside = _prepared(url)
    _transactions_per_s(beside, _HOT_ROW, WARM_UP_SECONDS, clients=8)
    reached = {
        "orders_per_s": _transactions_per_s(beside, _HOT_ROW, seconds, clients=8),
        "prepared_orders_per_s": _transactions_per_s(beside, _HOT_ROW, seconds, clients=8, mode="prepared"),
        "one_client_orders_per_s": _transactions_per_s(beside, _HOT_ROW, seconds, clients=1),
    }
    with psycopg.connect(beside) as connection:
        if connection.execute(_SOLD_AND_ORDERED).fetchone() != (0,):
            raise RuntimeError("the hot row has lost orders")
    return reached


def bulk(url: str, seconds: float, record_bytes: int) -> dict[str, float]:
    """Return rows a second, of one client and of two, each row as large as a record of ours."""
    beside = _prepared(url)
    row = f"('{'x' * record_bytes}')"
    script = f"INSERT INTO bulk (state) VALUES {', '.join([row] * BULK_ROWS)};"  # noqa: S608 - made of constants
    _transactions_per_s(beside, script, WARM_UP_SECONDS, clients=2)
    one, two = (BULK_ROWS * _transactions_per_s(beside, script, seconds, clients=clients) for clients in (1, 2))
    return {"rows_per_s": max(one, two), "one_client_rows_per_s": one, "two_clients_rows_per_s": two}


def _prepared(url: str) -> str:
    beside = database(url)
    with psycopg.connect(beside, autocommit=True) as connection:
        connection.execute(_TABLES)
        connection.execute("CHECKPOINT")  # what others have written is not to be put away in the yardstick's time
    return beside


def _transactions_per_s(url: str, script: str, seconds: float, *, clients: int, mode: str = "simple") -> float:
    pgbench = EmbeddedPostgres(Path()).bin("pgbench")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command: list[str | Path] = [
            *(pgbench, "--no-vacuum", "--file", file.name, "--protocol", mode),
            *("--client", str(clients), "--jobs", str(min(clients, 2)), "--time", str(max(1, round(seconds)))),
            url,
        ]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - the wheel's program
    found = re.search(r"tps = ([0-9.]+)", ran.stdout)
    if found is None:
        raise RuntimeError(f"pgbench says nothing of its speed: {ran.stdout}")
    return float(found[1])
