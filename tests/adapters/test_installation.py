"""The journal gets into a database once, and the program refuses one that cannot keep its promises."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.embedded import EmbeddedPostgres
from adapters.embedded_postgres import DURABLE
from adapters.installation import (
    SCHEMA_VERSION,
    InstallationError,
    _Server,
    _server_findings,
    app_conninfo,
    check,
    install,
)


@pytest.fixture
def installed_url(database_url: str) -> str:
    """The superuser's URL of a database with a journal."""
    install(database_url)
    return database_url


def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each by itself, and return the rows of the last."""
    rows: list[tuple[Any, ...]] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
    return rows


def append_one(url: str, state: bytes = b'{"quantity":3}', metadata: bytes = b'{"actor":"host:h1"}') -> None:
    """Append one record to a history of its own."""
    query = """
        SELECT * FROM gen_random_uuid() AS id, journal.append(ARRAY[id::text], '{0}', ARRAY[id::text], '{1}',
            '{thing.happened.v1}', ARRAY[%b::bytea], ARRAY[%b::bytea], ARRAY[NULL])"""
    with psycopg.connect(app_conninfo(url), autocommit=True) as connection:
        connection.execute(query, (state, metadata))


def reason(url: str, *, comes_along: bool = False) -> str:
    """Why the check refuses a database."""
    with pytest.raises(InstallationError) as refused:
        check(url, comes_along=comes_along)
    return str(refused.value)


def as_user(url: str, user: str) -> str:
    """The URL of another user."""
    return make_conninfo("", **{**conninfo_to_dict(url), "user": user})


@contextmanager
def login(url: str, user: str, *roles: str) -> Iterator[str]:
    """A user that may log in and act as some roles; yields its URL."""
    name = sql.Identifier(user)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        for role in roles:
            admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), name))
        yield as_user(url, user)
        admin.execute(sql.SQL("DROP OWNED BY {}").format(name))
        admin.execute(sql.SQL("DROP ROLE {}").format(name))


def test_an_installed_database_passes_the_check(installed_url: str) -> None:
    """What install leaves behind is what check asks for."""
    check(installed_url)
    assert run(installed_url, "SELECT schema_version FROM journal.meta") == [(SCHEMA_VERSION,)]


def test_installing_again_changes_nothing(installed_url: str) -> None:
    """The journal keeps its id and its records."""
    append_one(installed_url)
    before = run(installed_url, "SELECT journal_id, created_at, (SELECT position FROM journal.head) FROM journal.meta")
    install(installed_url)
    after = run(installed_url, "SELECT journal_id, created_at, (SELECT position FROM journal.head) FROM journal.meta")
    assert after == before


def test_processes_may_install_at_once(database_url: str) -> None:
    """One does it, the others wait and find it done."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(install, [database_url] * 4))
    check(database_url)


def test_an_empty_database_is_told_from_a_journal(database_url: str) -> None:
    """The line says that it must be installed first."""
    assert "holds no journal" in reason(database_url)


def test_nobody_is_told_to_install_a_database_that_comes_along(database_url: str) -> None:
    """There is no address to install at: a server that starts does it."""
    assert reason(database_url, comes_along=True) == "The database holds no journal: start livetill serve once"
    install(database_url)
    run(database_url, "DROP TABLE views.parked", "GRANT INSERT ON journal.record TO livetill_app")
    told = reason(database_url, comes_along=True).splitlines()
    assert [line.partition(": ")[2] for line in told] == [
        "start livetill serve once to put an empty one there",
        "start livetill serve once, or revoke all but SELECT",
    ]


def test_a_server_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """Nobody sees a traceback for a wrong address."""
    line = reason(f"postgresql://postgres@/postgres?host={tmp_path}")
    assert line.startswith("The database cannot be reached")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("version", "answer"),
    [(SCHEMA_VERSION + 1, "start a newer livetill"), (SCHEMA_VERSION - 1, "holds no journal")],
)
def test_a_schema_of_another_version_is_refused(installed_url: str, version: int, answer: str) -> None:
    """Neither a program that is too old nor one that is too new writes to it."""
    run(installed_url, f"UPDATE journal.meta SET schema_version = {version}")
    assert answer in reason(installed_url)


def test_a_newer_schema_is_not_installed_over(installed_url: str) -> None:
    """An old program leaves a newer journal alone."""
    run(installed_url, f"UPDATE journal.meta SET schema_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(InstallationError, match="start a newer livetill"):
        install(installed_url)


def test_somebody_elses_schema_of_that_name_is_refused(database_url: str) -> None:
    """A schema ``journal`` that livetill has not made is neither used nor changed."""
    run(database_url, "CREATE SCHEMA journal")
    with pytest.raises(InstallationError, match="could not be installed"):
        install(database_url)
    assert run(database_url, "SELECT to_regclass('journal.record')") == [(None,)]


def test_a_database_without_unicode_is_refused(database_url: str) -> None:
    """Names of the world's buyers and sellers need UTF-8."""
    name = f"{conninfo_to_dict(database_url)['dbname']}_ascii"
    run(database_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        with pytest.raises(InstallationError, match="encoded in SQL_ASCII"):
            install(make_conninfo(database_url, dbname=name))
    finally:
        run(database_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_an_old_server_and_a_standby_are_refused() -> None:
    """Every reason has its line."""
    findings = _server_findings(_Server(version=15, encoding="UTF8", standby=True))
    assert len(findings) == 2
    assert "15 is too old" in findings[0]
    assert "connect to the primary" in findings[1]
    assert _server_findings(_Server(version=18, encoding="UTF8", standby=False)) == []


def test_asynchronous_commits_are_refused(installed_url: str) -> None:
    """An acknowledged order must survive a crash, also if only this database was told otherwise."""
    name = conninfo_to_dict(installed_url)["dbname"]
    run(installed_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert reason(installed_url).startswith("synchronous_commit is off")


def test_a_server_that_may_lose_what_it_wrote_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fsync or full_page_writes off, a power cut may take acknowledged orders, or the whole journal."""
    monkeypatch.setitem(DURABLE, "fsync", "off")
    monkeypatch.setitem(DURABLE, "full_page_writes", "off")
    server = EmbeddedPostgres(tmp_path)
    url = server.ensure()
    try:
        install(url)
        lines = reason(url).splitlines()
    finally:
        server.release()
    assert [line.split(",")[0] for line in lines] == ["fsync is off", "full_page_writes is off"]


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("REVOKE EXECUTE ON FUNCTION journal.append FROM livetill_app", "may not call journal.append"),
        ("REVOKE SELECT ON journal.record FROM livetill_app", "may not read journal.record"),
        ("REVOKE USAGE ON SCHEMA journal FROM livetill_app", "may not read schema journal"),
        ("REVOKE CREATE ON SCHEMA views FROM livetill_app", "may not create tables in schema views"),
        ("ALTER SCHEMA views OWNER TO livetill_app", "could drop views.parked"),
        ("ALTER TABLE views.parked OWNER TO livetill_app", "could drop views.parked"),
        ("DROP TABLE views.parked", "views.parked is missing, and what was parked with it: install again"),
        ("GRANT INSERT ON journal.record TO livetill_app", "may write to journal.record directly"),
    ],
)
def test_privileges_that_were_changed_are_told(installed_url: str, statement: str, answer: str) -> None:
    """Too few and the program would fail later; too many and it could get around the append."""
    run(installed_url, statement)
    assert answer in reason(installed_url)


def test_a_user_that_may_not_act_as_the_program_is_refused(installed_url: str) -> None:
    """The line says which grant is missing."""
    with login(installed_url, "stranger") as url:
        assert reason(url) == "The database user stranger may not act as livetill_app: GRANT livetill_app TO stranger"


def test_a_user_with_nothing_but_the_role_is_enough(installed_url: str) -> None:
    """The program needs no superuser."""
    with login(installed_url, "server_of_the_shop", "livetill_app") as url:
        check(url)
        append_one(url)


@pytest.mark.usefixtures("roles_exist")
def test_no_superuser_is_needed_to_install(database_url: str) -> None:
    """Whoever may create schemas and act as owner and program can install; who may not is told in a line."""
    name = conninfo_to_dict(database_url)["dbname"]
    with login(database_url, "installer") as url:
        with pytest.raises(InstallationError, match="could not be installed"):
            install(url)
        run(database_url, f"GRANT CREATE ON DATABASE {name} TO installer")
        run(database_url, "GRANT livetill_owner, livetill_app, livetill_auditor TO installer")
        install(url)
        check(url)


@pytest.fixture
def roles_exist(postgres_server: EmbeddedPostgres) -> None:
    """Another database of the server has a journal; roles belong to the whole server."""
    install(postgres_server.ensure())


@pytest.mark.parametrize("role", ["livetill_app", "livetill_owner", "the superuser"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal.record SET state = state",
        "UPDATE journal.record SET state = state WHERE false",
        "DELETE FROM journal.record",
        "TRUNCATE journal.record",
        "TRUNCATE journal.head",
        "DELETE FROM journal.head",
    ],
)
def test_nobody_changes_or_removes_a_record(installed_url: str, role: str, statement: str) -> None:
    """Not the program, not the owner, not a superuser, not as a replica."""
    append_one(installed_url)
    become = [] if role == "the superuser" else [f"SET ROLE {role}"]
    expected = psycopg.errors.InsufficientPrivilege if role == "livetill_app" else psycopg.errors.RestrictViolation
    with pytest.raises(expected):
        run(installed_url, *become, statement)
    if not become:
        with pytest.raises(expected, match="append-only"):
            run(installed_url, "SET session_replication_role = replica", statement)
    assert run(installed_url, "SELECT count(*) FROM journal.record") == [(1,)]


@pytest.mark.parametrize("role", ["livetill_app", "livetill_auditor"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO journal.record VALUES (9, 'a', 1, 't', '', now(), '', NULL)",
        "UPDATE journal.head SET position = 7",
        "UPDATE journal.meta SET schema_version = 7",
        "DROP TRIGGER append_only ON journal.record",
        "ALTER TABLE journal.record DISABLE TRIGGER append_only",
    ],
)
def test_records_come_in_by_append_alone(installed_url: str, role: str, statement: str) -> None:
    """Nobody picks a position, and nobody takes the guard away."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(installed_url, f"SET ROLE {role}", statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE views.parked",
        "TRUNCATE views.parked",
        "ALTER TABLE views.parked RENAME TO gone",
        "DROP SCHEMA views",
    ],
)
def test_the_program_puts_aside_and_settles_and_removes_no_table_of_it(installed_url: str, statement: str) -> None:
    """What is parked is derived from nothing, unlike the read models beside it, whose tables are the program's own."""
    program = "SET ROLE livetill_app"
    run(installed_url, program, "INSERT INTO views.parked VALUES ('webhooks', 0, 'pay_1', 'no')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(installed_url, program, statement)
    run(installed_url, program, "DELETE FROM views.parked", "CREATE TABLE views.stock ()", "DROP TABLE views.stock")


def test_what_an_earlier_livetill_parked_is_taken_over(installed_url: str) -> None:
    """There the program owned the schema and made the table; what is in it stays."""
    run(
        installed_url,
        "DROP TABLE views.parked",
        "ALTER SCHEMA views OWNER TO livetill_app",
        "SET ROLE livetill_app",
        "CREATE TABLE views.parked (projection text, position bigint, topic text, error text NOT NULL,"
        " at timestamptz NOT NULL DEFAULT now(), CONSTRAINT parked_pkey PRIMARY KEY (projection, position))",
        "INSERT INTO views.parked VALUES ('webhooks', 0, 'pay_1', 'no')",
    )
    assert reason(installed_url) == (
        "livetill_app owns more than its tables and could drop views.parked: install again to mend that"
    )
    install(installed_url)
    check(installed_url)
    put = "INSERT INTO views.parked VALUES ('webhooks', 0, 'pay_2', 'no')"
    assert run(installed_url, "SET ROLE livetill_app", put, "SELECT topic FROM views.parked ORDER BY 1") == [
        ("pay_1",),
        ("pay_2",),
    ]
    assert run(installed_url, "SET ROLE livetill_auditor", "SELECT count(*) FROM views.parked") == [(2,)]


@pytest.mark.parametrize(
    ("way_round", "told"),
    [
        ("GRANT UPDATE ON journal.head TO livetill_app", "may write to journal.head directly"),
        ("GRANT UPDATE (position) ON journal.head TO livetill_app", "may write to journal.head directly"),
        ("GRANT INSERT ON journal.record TO PUBLIC", "may write to journal.record directly"),
        ("GRANT UPDATE ON journal.meta TO livetill_app", "may write to journal.meta directly"),
        ("GRANT livetill_owner TO livetill_app", "livetill_app may become livetill_owner"),
        ("GRANT livetill_owner TO livetill_app WITH INHERIT FALSE", "livetill_app may become livetill_owner"),
        ("ALTER ROUTINE journal.append RESET search_path", "journal.append is not as livetill wrote it"),
        ("ALTER ROUTINE journal.hold SECURITY INVOKER", "journal.hold is not as livetill wrote it"),
        (
            "CREATE OR REPLACE FUNCTION journal.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "journal.refuse is not as livetill wrote it",
        ),
        ("GRANT EXECUTE ON ROUTINE journal.append TO livetill_auditor", "livetill_auditor may call journal.append"),
        (
            """CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON journal.record FOR EACH STATEMENT WHEN (false)
               EXECUTE FUNCTION journal.refuse()""",
            "Others than journal.append could change journal.record",
        ),
    ],
)
def test_a_way_round_append_is_found_and_closed(installed_url: str, way_round: str, told: str) -> None:
    """Whatever somebody granted or replaced, the program does not start on it, and install puts it right."""
    run(installed_url, way_round)
    assert told in reason(installed_url)
    install(installed_url)
    check(installed_url)


def test_a_trigger_that_was_off_comes_back_with_a_word(installed_url: str) -> None:
    """Whoever installs is told: what was changed meanwhile only a walk over the journal finds."""
    run(installed_url, "ALTER TABLE journal.record DISABLE TRIGGER append_only")
    assert install(installed_url) == (
        "journal.record had lost its trigger, which is back: livetill verify tells whether it was changed",
    )
    assert install(installed_url) == ()


@pytest.mark.parametrize(
    ("histories", "expected", "versions"),
    [("{}", "{}", "{7,0,4}"), ("{}", "{}", "{1}"), ("{a}", "{0}", "{1,3}"), ("{a}", "{0}", "{2,1}"),
     ("{a}", "{0}", "{1,1}"), ("{a}", "{-1}", "{0}"), ("{a}", "{NULL}", "{1}"), ("{b}", "{0}", "{1}")],
)  # fmt: skip
def test_a_history_runs_on_from_what_was_expected_of_it(
    installed_url: str, histories: str, expected: str, versions: str
) -> None:
    """Whoever calls append: no history is written to blindly, and none has a hole or begins in its middle."""
    call = f"""
        SELECT (journal.append('{histories}', '{expected}', array_agg('a'::text), array_agg(v), array_agg('t.v1'::text),
            array_agg(''::bytea), array_agg(''::bytea), array_agg(NULL::text))).first_position
        FROM unnest('{versions}'::bigint[]) AS v"""
    with suppress(psycopg.errors.IntegrityError):
        assert run(installed_url, "SET ROLE livetill_app", call) == [(None,)]  # as of a history that has moved
    assert run(installed_url, "SELECT count(*) FROM journal.record") == [(0,)]


def test_an_auditor_reads_and_does_no_more(installed_url: str) -> None:
    """Records and read models can be read; append and the lock are refused."""
    append_one(installed_url)
    run(installed_url, "SET ROLE livetill_app", "CREATE TABLE views.stock AS SELECT 3 AS available")
    auditor = "SET ROLE livetill_auditor"
    assert run(installed_url, auditor, "SELECT state ->> 'quantity' FROM journal.readable") == [("3",)]
    assert run(installed_url, auditor, "SELECT available FROM views.stock") == [(3,)]
    for call in ("journal.hold()", "journal.append('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(installed_url, auditor, f"SELECT {call}")


@pytest.mark.parametrize(
    "state", [b"", b"not json", b"\xff\xfe", b'{"a":"\\u0000"}', b"\x00", b"[" * 100_000], ids=lambda state: state[:8]
)
def test_bytes_that_are_no_json_do_not_break_the_readable_view(installed_url: str, state: bytes) -> None:
    """They read as null; the records around them read as ever."""
    append_one(installed_url)
    append_one(installed_url, state, state)
    append_one(installed_url)
    rows = run(installed_url, "SELECT position, state, metadata FROM journal.readable ORDER BY position")
    good = ({"quantity": 3}, {"actor": "host:h1"})
    assert rows == [(1, *good), (2, None, None), (3, *good)]


def test_connection_strings_keep_what_they_say() -> None:
    """The role is added to the options; a password or a port stays."""
    conninfo = conninfo_to_dict(app_conninfo("postgresql://u:p@h:5433/d?options=-c%20work_mem%3D8MB", jit="off"))
    assert conninfo["options"] == "-c work_mem=8MB -c role=livetill_app -c jit=off"
    assert (conninfo["user"], conninfo["password"], conninfo["host"], conninfo["port"]) == ("u", "p", "h", "5433")
