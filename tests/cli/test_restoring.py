"""The guide's backup, taken and restored with the guide's own commands, and what the commands say to a bad one."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.embedded import EmbeddedPostgres
from tests.adapters.test_restoring import BARE, JOURNAL, run
from tests.stories.shopfront import livetill


@pytest.fixture(scope="module")
def restored_url(shop_url: str) -> Iterator[str]:
    """The superuser's URL of another cluster, with the journal of an evening from a dump and nothing else."""
    with tempfile.TemporaryDirectory(prefix="livetill-") as directory:
        server, dump = EmbeddedPostgres(Path(directory)), Path(directory) / "journal.dump"
        url = server.ensure()
        run(server, "pg_dump", "--format=custom", JOURNAL, f"--file={dump}", shop_url)
        run(server, "pg_restore", *BARE, f"--dbname={url}", dump)
        yield url
        server.release()


def test_a_restored_journal_is_installed_and_verified(restored_url: str, shop_url: str, tmp_path: Path) -> None:
    """Before it is installed the line says so; afterwards everything holds that held."""
    place = ("--database-url", restored_url, "--data-dir", str(tmp_path))
    before = livetill("verify", *place)
    assert before.returncode == 1
    assert "a restored dump brings none: install again" in before.stderr
    installed = livetill("install", "--database-url", restored_url)
    assert installed.returncode == 0, installed.stderr
    assert "Mended" not in installed.stdout
    verified = livetill("verify", "--json", *place)
    assert verified.returncode == 0, verified.stderr
    with psycopg.connect(shop_url) as shop:
        head = shop.execute("SELECT position FROM journal.head").fetchone()
    assert (json.loads(verified.stdout)["position"],) == head


def test_read_models_are_built_after_a_restore_though_no_server_runs(
    restored_url: str, shop_url: str, tmp_path: Path
) -> None:
    """They begin empty, which ``verify`` says; a rebuild goes to the journal's end, where they are as they were."""
    livetill("install", "--database-url", restored_url)
    place = ("--database-url", restored_url, "--data-dir", str(tmp_path))
    head = json.loads(livetill("verify", "--json", "--journal-only", *place).stdout)["position"]
    told = livetill("verify", *place)
    assert f"livetill: orders is {head} records behind the journal" in told.stderr
    assert told.stdout.count("the same so far") == 7
    rebuilt = livetill("rebuild", "--all", *place)
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert f"as the live one was, {head} records behind" in rebuilt.stdout
    assert "what they were behind is taken in" in rebuilt.stdout
    again = livetill("verify", *place)
    assert (again.returncode, again.stderr) == (0, "")
    assert livetill("digest", *place).stdout == livetill("digest", "--database-url", shop_url).stdout


@pytest.mark.parametrize("command", ["verify", "doctor", "digest"])
def test_a_head_that_is_behind_its_records_is_wrong(restored_url: str, tmp_path: Path, command: str) -> None:
    """No command blesses a journal whose next append would fail; installing mends it and says so."""
    livetill("install", "--database-url", restored_url)
    with psycopg.connect(restored_url, autocommit=True) as owner:
        owner.execute("UPDATE journal.head SET position = 0")
    done = livetill(command, "--database-url", restored_url, "--data-dir", str(tmp_path))
    assert done.returncode == 1, done.stdout
    assert "journal.head says 0 and the last record is" in done.stderr
    mended = livetill("install", "--database-url", restored_url)
    assert "Mended: journal.head said 0" in mended.stdout
