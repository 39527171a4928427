"""Puts the journal into a database, and refuses to start on one that cannot keep its promises.

``install`` is for whoever may create roles and schemas, and can be repeated at any time; ``check`` runs at every start,
as the role that the program acts as. Both are synchronous: they run before the event loop, or in a thread of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import psycopg
from attrs import frozen
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row

APP_ROLE = "livetill_app"
OWNER_ROLE = "livetill_owner"
AUDITOR_ROLE = "livetill_auditor"
SCRIPTS = ("journal.sql",)
"""Script number n (from 0) brings the schema from version n to n + 1. One that was released never changes."""
SCHEMA_VERSION = len(SCRIPTS)

_OLDEST_SERVER = 16
_INSTALLING = 7_431_984_001
"""Key of the advisory lock under which one process at a time installs."""
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_NO_JOURNAL = "The database holds no journal: install it with a user that may create roles and schemas"


class InstallationError(Exception):
    """The database cannot be used as it is; one line for each reason, saying what to do."""


def app_conninfo(url: str, **settings: str | float) -> str:
    """Return the connection string to act as ``livetill_app``, with further server settings if any."""
    known: dict[str, Any] = conninfo_to_dict(url)
    options = [known.pop("options", "") or ""]
    options += [f"-c {name}={value}" for name, value in {"role": APP_ROLE, **settings}.items()]
    return make_conninfo("", **known, options=" ".join(options).strip())


def install(url: str) -> None:
    """Create or upgrade the journal; does nothing when it is up to date. Two processes may do it at once."""
    with _connection(url) as connection:
        _raise_if_any(_server_findings(_server(connection)))
        try:
            _upgrade(connection)
        except psycopg.Error as error:
            raise InstallationError(f"The journal could not be installed: {one_line(error)}") from error


def one_line(error: psycopg.Error) -> str:
    """Return what a database error says, without the server's context and the client's advice."""
    said = error.diag.message_primary or str(error)
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)


def check(url: str) -> None:
    """Raise ``InstallationError`` unless the database keeps what is written and the program may use it."""
    with _connection(url) as connection:
        findings = _server_findings(_server(connection))
    with _connection(app_conninfo(url)) as connection:
        # Settings may differ by user: those of the role we act as are the ones that count.
        findings += _durability_findings(connection)
        findings += _schema_findings(connection) or _privilege_findings(connection)
    _raise_if_any(findings)


@frozen
class _Server:
    version: int
    encoding: str
    standby: bool


def _server(connection: psycopg.Connection[Any]) -> _Server:
    query = """SELECT current_setting('server_version_num')::int / 10000 AS version,
                      current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby"""
    row = connection.cursor(row_factory=class_row(_Server)).execute(query).fetchone()
    assert row is not None
    return row


def _server_findings(server: _Server) -> list[str]:
    findings = []
    if server.version < _OLDEST_SERVER:
        findings.append(f"PostgreSQL {server.version} is too old: use {_OLDEST_SERVER} or newer")
    if server.encoding != "UTF8":
        findings.append(f"The database is encoded in {server.encoding}: create it with ENCODING 'UTF8'")
    if server.standby:
        findings.append("The database is a standby in recovery: connect to the primary")
    return findings


def _durability_findings(connection: psycopg.Connection[Any]) -> list[str]:
    return [
        f"{name} is off, a crash would lose what was acknowledged: turn it on in the server's configuration"
        for name in _DURABLE
        if _scalar(connection, "SELECT current_setting(%s)", name) == "off"
    ]


def _schema_findings(connection: psycopg.Connection[Any]) -> list[str]:
    try:
        version = _schema_version(connection)
    except psycopg.errors.InsufficientPrivilege:
        return [f"{APP_ROLE} may not read schema journal: install again, or grant USAGE and SELECT back"]
    except psycopg.Error as error:
        return [f"Schema journal is not known to livetill ({one_line(error)}): use a database of its own"]
    if version == 0:
        return [_NO_JOURNAL]
    if version < SCHEMA_VERSION:
        return [f"The journal's schema is version {version}, livetill needs {SCHEMA_VERSION}: install to upgrade it"]
    if version > SCHEMA_VERSION:
        return [_too_new(version)]
    return []


def _privilege_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """What the role lacks of its privileges, and what it has too much: it must not get around ``append``."""
    wanted = {
        "read journal.record": "has_table_privilege('journal.record', 'SELECT')",
        "read journal.head": "has_table_privilege('journal.head', 'SELECT')",
        "call journal.append": "(SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc p"
        " WHERE p.pronamespace = 'journal'::regnamespace AND p.proname IN ('append', 'hold'))",
        "create tables in schema views": "has_schema_privilege('views', 'CREATE')",
    }
    lacking = [name for name, condition in wanted.items() if not _scalar(connection, f"SELECT {condition}")]
    findings = [f"{APP_ROLE} may not {name}: grant it back" for name in lacking]
    if _scalar(connection, "SELECT has_table_privilege('journal.record', 'INSERT, UPDATE, DELETE, TRUNCATE')"):
        findings.append(f"{APP_ROLE} may write to journal.record directly: revoke all but SELECT")
    return findings


def _upgrade(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_INSTALLING,))
        version = _schema_version(connection)
        if version > SCHEMA_VERSION:
            raise InstallationError(_too_new(version))
        if version == SCHEMA_VERSION:
            return
        for role in (OWNER_ROLE, APP_ROLE, AUDITOR_ROLE):
            _ensure_role(connection, role)
        for script in SCRIPTS[version:]:
            connection.execute(_script(script))


def _schema_version(connection: psycopg.Connection[Any]) -> int:
    """Return the version of the schema; 0 when there is none."""
    if _scalar(connection, "SELECT to_regnamespace('journal') IS NULL"):
        return 0
    return int(_scalar(connection, "SELECT schema_version FROM journal.meta"))


def _ensure_role(connection: psycopg.Connection[Any], role: str) -> None:
    """Create a role that nobody logs in as. Roles belong to the whole server: another database may have made it."""
    statement = """
        DO $do$ BEGIN
            CREATE ROLE {role} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- In this moment, by another installation.
        END $do$"""
    if not _scalar(connection, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", role):
        connection.execute(sql.SQL(statement).format(role=sql.Identifier(role)))
    if not _scalar(connection, "SELECT pg_has_role(current_user, %s, 'SET')", role):
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH SET TRUE").format(sql.Identifier(role)))


def _script(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


def _scalar(connection: psycopg.Connection[Any], query: str, *arguments: object) -> Any:
    row = connection.execute(query.encode(), arguments or None).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        connection = psycopg.connect(url, autocommit=True, client_encoding="utf8")
    except psycopg.Error as error:
        raise InstallationError(_unreachable(error)) from error
    with connection:
        yield connection


def _unreachable(error: psycopg.Error) -> str:
    message = one_line(error)
    if f'role "{APP_ROLE}" does not exist' in message:
        return _NO_JOURNAL
    if f'permission denied to set role "{APP_ROLE}"' in message:
        return f"The database user may not act as {APP_ROLE}: GRANT {APP_ROLE} TO that user"
    return f"The database cannot be reached, check its address and that it runs: {message}"


def _too_new(version: int) -> str:
    return f"The journal's schema is version {version}, newer than {SCHEMA_VERSION}: start a newer livetill"


def _raise_if_any(findings: list[str]) -> None:
    if findings:
        raise InstallationError("\n".join(findings))
