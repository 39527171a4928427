"""A backup that was never restored is none: dumps are taken and restored here with PostgreSQL's own programs."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.embedded import EmbeddedPostgres
from adapters.installation import InstallationError, app_conninfo, check, install
from adapters.journal_postgres import PostgresJournal
from application.ports import Appended, Batch, Draft

JOURNAL = "--schema=journal"
BARE = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
"""How a dump is restored that is to bring the journal and nobody's roles."""


@pytest.fixture
def elsewhere() -> Iterator[EmbeddedPostgres]:
    """Another cluster, which has never heard of livetill."""
    with tempfile.TemporaryDirectory(prefix="livetill-") as directory:
        server = EmbeddedPostgres(Path(directory))
        server.ensure()
        yield server
        server.release()


@pytest.fixture
async def sold_url(database_url: str) -> str:
    """The superuser's URL of a database with five records."""
    install(database_url)
    await append(database_url, 5)
    return database_url


def draft(history_id: str) -> Draft:
    """Make the first record of a history."""
    return Draft(history_id, 1, "thing.happened.v1", b'{"quantity":1}', b'{"actor":"host:h1"}')


async def append(url: str, count: int, prefix: str = "listing") -> int:
    """Append so many records as a server does; return the first one's position."""
    drafts = [draft(f"{prefix}-{number}") for number in range(count)]
    journal = PostgresJournal(url)
    await journal.open()
    try:
        outcome = await journal.append(Batch(drafts, {each.history_id: 0 for each in drafts}))
    finally:
        await journal.close()
    assert isinstance(outcome, Appended)
    return outcome.first_position


def run(server: EmbeddedPostgres, program: str, *arguments: str | Path, must: bool = True) -> str:
    """Run one of PostgreSQL's programs; return what it printed."""
    done = subprocess.run([server.bin(program), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or not must, done.stderr
    return done.stdout


def restored(server: EmbeddedPostgres, url: str, target: str, tmp_path: Path, *how: str) -> None:
    """Dump the journal of one database as the operator's guide says, and restore it into another."""
    dump = tmp_path / "journal.dump"
    run(server, "pg_dump", "--format=custom", JOURNAL, f"--file={dump}", url)
    run(server, "pg_restore", *(how or BARE), f"--dbname={target}", dump)


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def identity(url: str) -> list[tuple[object, ...]]:
    """Return what makes a journal this journal."""
    records = "(SELECT md5(string_agg(r::text, '' ORDER BY position)) FROM journal.record r)"
    return rows(url, f"SELECT journal_id, created_at, (SELECT position FROM journal.head), {records} FROM journal.meta")


def reason(url: str) -> str:
    """Why the check refuses a database."""
    with pytest.raises(InstallationError) as refused:
        check(url)
    return str(refused.value)


async def test_a_dump_restored_into_another_cluster_is_completed_and_sells_on(
    postgres_server: EmbeddedPostgres, elsewhere: EmbeddedPostgres, sold_url: str, tmp_path: Path
) -> None:
    """The guide's own steps: restore, install, go on. Roles, schema views, owners, guards and privileges are there."""
    target = elsewhere.ensure()
    restored(postgres_server, sold_url, target, tmp_path)
    assert "has no role livetill_app" in reason(target)
    assert install(target) == ()
    check(target)
    assert identity(target) == identity(sold_url)
    assert await append(target, 1, "order") == 6
    assert rights(target) == rights(sold_url)


def rights(url: str) -> list[list[tuple[object, ...]]]:
    """Return who owns what and may do what in the schemas of a journal, and its guards."""
    ours = "IN ('journal'::regnamespace, 'views'::regnamespace)"
    relations = f"pg_class WHERE relnamespace {ours}"
    routines = f"pg_proc WHERE pronamespace {ours}"
    owned = "SELECT oid::{}::text, {}::regrole::text, array(SELECT unnest({})::text ORDER BY 1) FROM {} ORDER BY 1"
    questions = (
        f"SELECT nspname, nspowner::regrole::text, nspacl::text FROM pg_namespace WHERE oid {ours} ORDER BY 1",
        owned.format("regclass", "relowner", "relacl", relations),
        owned.format("regprocedure", "proowner", "proacl", routines),
        "SELECT tgrelid::regclass::text, tgname::text, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
        f"SELECT defaclobjtype, defaclacl::text FROM pg_default_acl WHERE defaclnamespace {ours} ORDER BY 1, 2",
    )
    return [rows(url, question) for question in questions]


async def test_a_dump_restored_with_its_roles_is_completed_too(
    postgres_server: EmbeddedPostgres, elsewhere: EmbeddedPostgres, sold_url: str, tmp_path: Path
) -> None:
    """Where another database of the cluster has a journal the roles are there, and only schema views is missing."""
    other, target = elsewhere.ensure(), elsewhere.ensure().replace("/livetill?", "/postgres?")
    install(other)
    restored(postgres_server, sold_url, target, tmp_path, "--exit-on-error")
    assert reason(target) == "livetill_app may not create tables in schema views: install again, or grant it back"
    install(target)
    check(target)
    assert rights(target) == rights(sold_url)
    assert await append(target, 1, "order") == 6


async def test_a_dump_whose_roles_were_missing_is_completed(
    postgres_server: EmbeddedPostgres, elsewhere: EmbeddedPostgres, sold_url: str, tmp_path: Path
) -> None:
    """``psql`` goes on after an error: everything belongs to a superuser then, ``append`` would run as one."""
    target = elsewhere.ensure()
    dump = tmp_path / "journal.sql"
    run(postgres_server, "pg_dump", JOURNAL, f"--file={dump}", sold_url)
    run(elsewhere, "psql", "--quiet", f"--file={dump}", target)
    install(target)
    check(target)
    assert rights(target) == rights(sold_url)
    assert await append(target, 1, "order") == 6


async def test_a_whole_dump_brings_the_read_models_and_is_completed(
    postgres_server: EmbeddedPostgres, elsewhere: EmbeddedPostgres, sold_url: str, tmp_path: Path
) -> None:
    """Read models need not be in a backup, and do no harm in one: the program owns them again."""
    with psycopg.connect(app_conninfo(sold_url), autocommit=True) as server:
        server.execute("CREATE TABLE views.stock AS SELECT 3 AS available")
    target, dump = elsewhere.ensure(), tmp_path / "all.dump"
    run(postgres_server, "pg_dump", "--format=custom", f"--file={dump}", sold_url)
    run(elsewhere, "pg_restore", *BARE, f"--dbname={target}", dump)
    install(target)
    check(target)
    assert rights(target) == rights(sold_url)


def test_views_in_other_hands_are_handed_back(database_url: str) -> None:
    """What the check complains of, the next installation mends."""
    install(database_url)
    before = rights(database_url)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA views CASCADE")
        assert "may not create tables in schema views" in reason(database_url)
        admin.execute("CREATE SCHEMA views AUTHORIZATION livetill_owner")
        assert "may not create tables in schema views" in reason(database_url)
        admin.execute("ALTER TABLE journal.record DISABLE TRIGGER ALL")
        admin.execute("ALTER TABLE journal.record ENABLE TRIGGER ALL")
        admin.execute("REVOKE ALL ON journal.head FROM livetill_app")
    assert "Others than journal.append could change journal.record" in reason(database_url)
    assert "may not read journal.head" in reason(database_url)
    install(database_url)
    check(database_url)
    assert rights(database_url) == before


async def test_a_head_that_is_behind_its_records_is_told_and_mended(
    postgres_server: EmbeddedPostgres, elsewhere: EmbeddedPostgres, sold_url: str, tmp_path: Path
) -> None:
    """Records restored into an installed journal leave the head at 0; it is derived from them and says so."""
    target, dump = elsewhere.ensure(), tmp_path / "records.dump"
    install(target)
    run(postgres_server, "pg_dump", "--format=custom", "--data-only", JOURNAL, f"--file={dump}", sold_url)
    run(elsewhere, "pg_restore", "--data-only", f"--dbname={target}", dump, must=False)
    assert reason(target).startswith("journal.head says 0 and the last record is 5")
    assert install(target) == ("journal.head said 0 and now says 5: there are 5 records and none is missing",)
    check(target)
    assert identity(target)[0][2:] == identity(sold_url)[0][2:]
    assert await append(target, 1, "order") == 6
    assert install(target) == ()


def test_a_head_is_not_mended_where_records_are_missing(database_url: str) -> None:
    """A journal with a hole would go on over it, and nobody would ever know what was there."""
    install(database_url)
    with psycopg.connect(database_url, autocommit=True) as owner:
        for position in (1, 3):
            owner.execute("INSERT INTO journal.record VALUES (%s, 'a', %s, 't', '', now(), '')", (position, position))
    with pytest.raises(InstallationError, match=r"says 0, and of 3 records 1 are missing: restore a whole backup"):
        install(database_url)
    assert rows(database_url, "SELECT position FROM journal.head") == [(0,)]


def test_a_head_that_is_ahead_of_its_records_is_told(database_url: str) -> None:
    """Nothing to derive it from: what it counted is gone."""
    install(database_url)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("UPDATE journal.head SET position = 7")
    install(database_url)
    assert reason(database_url).endswith("the records between are lost: restore a whole backup")


def test_a_schema_restored_without_its_data_is_told(database_url: str) -> None:
    """Its version is data too."""
    install(database_url)
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE journal.meta DISABLE TRIGGER ALL; DELETE FROM journal.meta")
    assert "journal.meta is empty" in reason(database_url)
    with pytest.raises(InstallationError, match="restore a whole backup"):
        install(database_url)
