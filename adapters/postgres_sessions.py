"""Connections of the journal: how they are set up, when they can be trusted, and what their errors mean.

When an append fails, one question decides: did the server answer? A server that answers an error and lives on has
rolled back. If the connection is gone, nobody on this side can know; the caller asks by command id, and never repeats
blindly.
"""

import select
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from adapters.installation import app_conninfo, one_line
from adapters.postgres_arrays import register
from application.ports import (
    JournalDamagedError,
    JournalError,
    JournalRejectedError,
    JournalUnavailableError,
    OutcomeUnknownError,
)

HANGING_SECONDS = 20.0
"""A call that takes longer is ended by the server, and its transaction with it."""
READER_SECONDS = 5.0
"""How long a read waits for a connection, and a pool tries for one before it waits for the next read to ask."""
_NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A peer that has vanished without a word is noticed in about 25 seconds."""
_LASTING = ("0A", "21", "22", "23", "42", "54", "P0")
"""Classes of SQLSTATE that say: this data or this call is wrong, and always will be."""


def session_conninfo(url: str, hanging_seconds: float = HANGING_SECONDS) -> str:
    """Return a connection string with everything that the journal's sessions rely on, acting as ``livetill_app``."""
    milliseconds = int(hanging_seconds * 1000)
    known = conninfo_to_dict(url)
    network = {name: value for name, value in _NETWORK.items() if name not in known}
    settings: dict[str, str | float] = {
        "TimeZone": "UTC",
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,
        "default_transaction_isolation": r"read\ committed",
        # Every query is a look-up by index, also those that are planned while the table is small.
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    }
    return app_conninfo(make_conninfo(url, **network), **settings)


def pool(conninfo: str, size: int, patience_seconds: float = READER_SECONDS) -> AsyncConnectionPool:
    """Return a pool of up to so many connections, to be opened: each ready for our queries, and tried when it is lent.

    While the database is away everybody who asks waits in it, so all that read have the same patience.
    """
    return AsyncConnectionPool(
        conninfo,
        kwargs={"autocommit": True},
        min_size=1,
        max_size=size,
        timeout=patience_seconds,
        reconnect_timeout=patience_seconds,
        open=False,
        configure=configure,
        check=AsyncConnectionPool.check_connection,
    )


async def configure(connection: AsyncConnection[Any]) -> None:
    """Make a new connection ready for our queries."""
    register(connection)


def is_usable(connection: AsyncConnection[Any]) -> bool:
    """Tell whether a connection can take a call. One that has something to read while idle was closed by the server."""
    if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def is_lost(connection: AsyncConnection[Any], error: psycopg.Error) -> bool:
    """Tell whether an error ended the connection: then it does not say what became of the call."""
    return connection.closed or error.diag.severity_nonlocalized in {"FATAL", "PANIC"}


async def roll_back(connection: AsyncConnection[Any]) -> None:
    """Leave no transaction behind, for it would hold the head: a connection that cannot roll back is closed."""
    if connection.closed or connection.info.transaction_status == TransactionStatus.IDLE:
        return
    try:
        await connection.rollback()
    except psycopg.Error:
        await connection.close()
    except BaseException:  # Cancelled once more, while rolling back.
        await connection.close()
        raise


def failure(error: psycopg.Error, *, unknown: bool = False) -> JournalError:
    """Return what an error of the database means to the caller."""
    if unknown:
        return OutcomeUnknownError(f"The connection was lost before the reply: {one_line(error)}")
    if isinstance(error, psycopg.errors.UniqueViolation):
        # What a batch repeats was found out before, under the lock: only the journal itself can be wrong.
        return JournalDamagedError(
            f"The journal contradicts itself, look at it with livetill doctor: {one_line(error)}"
        )
    if isinstance(error, psycopg.DataError) or (error.sqlstate or "").startswith(_LASTING):
        return JournalRejectedError(f"The database refuses this: {one_line(error)}")
    return JournalUnavailableError(f"The database did not do it: {one_line(error)}")
