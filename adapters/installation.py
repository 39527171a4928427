"""Puts the journal into a database, and refuses to start on one that cannot keep its promises.

``install`` is for whoever may create roles and schemas, and can be repeated at any time: it also completes what a
restored dump came without. ``check`` runs at every start, as the role that the program acts as. Both are synchronous:
they run before the event loop, or in a thread of it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row

from domain.values import frozen

APP_ROLE = "livetill_app"
OWNER_ROLE = "livetill_owner"
AUDITOR_ROLE = "livetill_auditor"
SCRIPTS = ("journal.sql",)
"""Script number n (from 0) brings the schema from version n to n + 1. One that was released never changes."""
SCHEMA_VERSION = len(SCRIPTS)
_RIGHTS = "journal_rights.sql"
"""What is put right at every installation: owners, guards, functions, privileges."""
_FUNCTION = re.compile(r"^CREATE OR REPLACE FUNCTION journal\.(\w+)\((.*?)AS \$\$(.*?)\$\$;", re.DOTALL | re.MULTILINE)
_SETTING = re.compile(r"^SET (\w+) = (.+)$", re.MULTILINE)

_OLDEST_SERVER = 16
_INSTALLING = 7_431_984_001
"""Key of the advisory lock under which one process at a time installs."""
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_INSTALL = "install it with a user that may create roles and schemas"
_NO_JOURNAL = f"The database holds no journal: {_INSTALL}"
_SERVE = "start livetill serve once"
"""What to do instead about a database that comes along: nobody else installs there."""
_WHOLE = "restore a whole backup"
_GUARDS = {"journal.record": 58, "journal.head": 42, "journal.meta": 42}
"""The tables with a trigger that refuses, and what it refuses, as pg_trigger has it: 42 is DELETE and TRUNCATE."""
_GUARDED_AGAIN = "{} had lost its trigger, which is back: livetill verify tells whether it was changed"
_GUARDED = "Others than journal.append could change {}: install again to put its trigger back"


class InstallationError(Exception):
    """The database cannot be used as it is; one line for each reason, saying what to do."""


class NotAllowedError(InstallationError):
    """The database's user may not install."""


def app_conninfo(url: str, **settings: str | float) -> str:
    """Return the connection string to act as ``livetill_app``, with further server settings if any."""
    known: dict[str, Any] = conninfo_to_dict(url)
    options = [known.pop("options", "") or ""]
    options += [f"-c {name}={value}" for name, value in {"role": APP_ROLE, **settings}.items()]
    return make_conninfo("", **known, options=" ".join(options).strip())


def install(url: str) -> tuple[str, ...]:
    """Create, upgrade or complete the journal; changes nothing when all is well. Two processes may do it at once.

    Returns what was mended that somebody should know of, a line each.
    """
    with _connection(url) as connection:
        _raise_if_any(_server_findings(_server(connection)))
        try:
            return _upgrade(connection)
        except psycopg.Error as error:
            kind = NotAllowedError if isinstance(error, psycopg.errors.InsufficientPrivilege) else InstallationError
            raise kind(f"The journal could not be installed: {one_line(error)}") from error


def one_line(error: psycopg.Error) -> str:
    """Return what a database error says, without the server's context and the client's advice."""
    said = error.diag.message_primary or str(error)
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)


def unreachable(url: str, error: psycopg.Error) -> str:
    """Say why a database cannot be reached. What is no address is not told again: there may be a password in it."""
    if isinstance(error, psycopg.ProgrammingError) and not url.startswith(("postgresql://", "postgres://")):
        return "The database's address is no postgresql:// URL: give one such as postgresql://user@host/shop"
    return f"The database cannot be reached, check its address and that it runs: {one_line(error)}"


def check(url: str, *, comes_along: bool = False) -> None:
    """Raise ``InstallationError`` unless the database keeps what is written and the program may use it.

    What to do about it differs for a database that ``comes_along``.
    """
    try:
        _check(url)
    except InstallationError as error:
        if not comes_along:
            raise
        raise InstallationError(str(error).replace(_INSTALL, _SERVE).replace("install again", _SERVE)) from None


def _check(url: str) -> None:
    with _connection(url) as connection:
        findings = _server_findings(_server(connection))
        _raise_if_any(_role_findings(connection))
    with _connection(app_conninfo(url)) as connection:
        # Settings may differ by user: those of the role we act as are the ones that count.
        findings += _durability_findings(connection)
        findings += _schema_findings(connection) or _privilege_findings(connection) or _head_findings(connection)
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


def _role_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """What keeps the database's user from acting as the program."""
    if not _scalar(connection, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", APP_ROLE):
        if _scalar(connection, "SELECT to_regnamespace('journal') IS NULL"):
            return [_NO_JOURNAL]
        return [
            f"The server has no role {APP_ROLE}, a restored dump brings none: install again to complete the journal"
        ]
    if not _scalar(connection, "SELECT pg_has_role(current_user, %s, 'SET')", APP_ROLE):
        user = _scalar(connection, "SELECT quote_ident(current_user)")
        return [f"The database user {user} may not act as {APP_ROLE}: GRANT {APP_ROLE} TO {user}"]
    return []


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
        needed = f"The journal's schema is version {version}, livetill needs {SCHEMA_VERSION}"
        return [f"{needed}: install again to upgrade it"]
    if version > SCHEMA_VERSION:
        return [_too_new(version)]
    return []


def _privilege_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """What the role lacks of its privileges, and what it has too much: it must not get around ``append``."""
    wanted = {
        "read journal.record": "has_table_privilege(to_regclass('journal.record'), 'SELECT')",
        "read journal.head": "has_table_privilege(to_regclass('journal.head'), 'SELECT')",
        "call journal.append": "(SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc p"
        " WHERE p.pronamespace = 'journal'::regnamespace AND p.proname IN ('append', 'hold'))",
        "create tables in schema views": "has_schema_privilege(to_regnamespace('views'), 'CREATE')",
    }
    lacking = [name for name, condition in wanted.items() if not _scalar(connection, f"SELECT {condition}")]
    findings = [f"{APP_ROLE} may not {name}: install again, or grant it back" for name in lacking]
    return [*findings, *_parking_findings(connection), *_way_round_findings(connection)]


def _way_round_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """What would let somebody change the journal in another way than by ``append`` as it is written here."""
    findings = []
    if _scalar(connection, "SELECT pg_has_role(current_user, to_regrole(%s), 'MEMBER')", OWNER_ROLE):
        findings.append(f"{APP_ROLE} may become {OWNER_ROLE}: install again, or revoke every grant that leads there")
    written = """
        SELECT has_table_privilege(place, 'INSERT, UPDATE, DELETE, TRUNCATE')
            OR has_any_column_privilege(place, 'INSERT, UPDATE')
        FROM to_regclass(%s) AS place"""
    findings += [
        f"{APP_ROLE} may write to {table} directly: install again, or revoke all but SELECT"
        for table in _GUARDS
        if _scalar(connection, written, table)
    ]
    called = """
        SELECT coalesce(bool_or(has_function_privilege(a.oid, p.oid, 'EXECUTE')), false) FROM pg_proc p, pg_roles a
        WHERE p.pronamespace = 'journal'::regnamespace AND p.proname IN ('append', 'hold') AND a.rolname = %s"""
    if _scalar(connection, called, AUDITOR_ROLE):
        findings.append(f"{AUDITOR_ROLE} may call journal.append: install again, or revoke EXECUTE")
    findings += [_GUARDED.format(table) for table in _unguarded(connection)]
    return findings + _function_findings(connection)


def _unguarded(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the tables that others than ``append`` could change, whatever they may."""
    guarded = """
        SELECT EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgenabled = 'A' AND tgtype = %s
                AND tgqual IS NULL AND tgfoid = to_regproc('journal.refuse'))"""
    return [table for table, kind in _GUARDS.items() if not _scalar(connection, guarded, table, kind)]


def _function_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """Which functions are not, or do not run, as they are written in the script of rights."""
    same = """
        SELECT coalesce(bool_and(p.prosrc = %s AND p.prosecdef = %s AND coalesce(p.proconfig, '{}') @> %s::text[]
            AND p.proowner = to_regrole(%s)), false)
        FROM pg_proc p WHERE p.pronamespace = 'journal'::regnamespace AND p.proname = %s"""
    return [
        f"journal.{name} is not as livetill wrote it: install again to put it back"
        for name, head, body in _FUNCTION.findall(_script(_RIGHTS).decode())
        if not _scalar(
            connection, same, body, "SECURITY DEFINER" in head,
            [f"{setting}={value}" for setting, value in _SETTING.findall(head)], OWNER_ROLE, name,
        )
    ]  # fmt: skip


def _parking_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """Whether what was put aside is there, and safe from the program: nothing else would bring it back."""
    schema = connection.execute("SELECT oid, nspowner::regrole::text FROM pg_namespace WHERE nspname = 'views'")
    parked = "SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = %s AND relname = 'parked'"
    for namespace, schema_owner in schema.fetchall():
        owners = [owner for (owner,) in connection.execute(parked, (namespace,)).fetchall()]
        if not owners:
            return ["views.parked is missing, and what was parked with it: install again to put an empty one there"]
        if APP_ROLE in (schema_owner, *owners):
            return [f"{APP_ROLE} owns more than its tables and could drop views.parked: install again to mend that"]
    return []


def _head_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """Whether the head is the last record's position: the next append takes the position after the head."""
    head, last = _head_and_last(connection)
    if head < last:
        found = f"journal.head says {head} and the last record is {last}, as after a restore of the records alone"
        return [f"{found}: install again to put the head right"]
    if head > last:
        return [f"journal.head says {head} and the last record is {last}, the records between are lost: {_WHOLE}"]
    return []


def _upgrade(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_INSTALLING,))
        version = _schema_version(connection)
        if version > SCHEMA_VERSION:
            raise InstallationError(_too_new(version))
        for role in (OWNER_ROLE, APP_ROLE, AUDITOR_ROLE):
            _ensure_role(connection, role)
        unguarded = _unguarded(connection) if version else []
        for script in (*SCRIPTS[version:], _RIGHTS):
            connection.execute(_script(script))
        return (*(_GUARDED_AGAIN.format(table) for table in unguarded), *_mend_head(connection))


def _mend_head(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Put a head that is behind its records where they end; it is derived from them as long as none is missing."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER_ROLE)))
    connection.execute(
        "INSERT INTO journal.head (position, recorded_at) VALUES (0, '-infinity') ON CONFLICT DO NOTHING"
    )
    connection.execute("SELECT FROM journal.head FOR UPDATE")  # No append from here to the commit.
    head, last = _head_and_last(connection)
    if head >= last:
        return ()
    missing = last - _scalar(connection, "SELECT count(*) FROM journal.record WHERE position > 0")
    if missing:
        raise InstallationError(f"journal.head says {head}, and of {last} records {missing} are missing: {_WHOLE}")
    connection.execute(
        "UPDATE journal.head SET position = r.position, recorded_at = greatest(head.recorded_at, r.recorded_at)"
        " FROM journal.record r WHERE r.position = %s",
        (last,),
    )
    return (f"journal.head said {head} and now says {last}: there are {last} records and none is missing",)


def _head_and_last(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """Return what the head says and the last record's position, as of one moment; the shop may be selling."""
    question = """SELECT coalesce((SELECT position FROM journal.head), 0),
                         coalesce((SELECT max(position) FROM journal.record), 0)"""
    row = connection.execute(question).fetchone()
    assert row is not None
    return row[0], row[1]


def _schema_version(connection: psycopg.Connection[Any]) -> int:
    """Return the version of the schema; 0 when there is none."""
    if _scalar(connection, "SELECT to_regnamespace('journal') IS NULL"):
        return 0
    version = _scalar(connection, "SELECT max(schema_version) FROM journal.meta")
    if version is None:
        raise InstallationError(f"journal.meta is empty, as after a restore of the schema without its data: {_WHOLE}")
    return int(version)


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
        raise InstallationError(unreachable(url, error)) from error
    with connection:
        yield connection


def _too_new(version: int) -> str:
    return f"The journal's schema is version {version}, newer than {SCHEMA_VERSION}: start a newer livetill"


def _raise_if_any(findings: list[str]) -> None:
    if findings:
        raise InstallationError("\n".join(findings))
