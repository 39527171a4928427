"""When something is wrong, people get one line that says what to do; never a traceback."""

import ctypes
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.nats_link import require_address
from api.cli import main
from api.commands.troubles import explained
from tests.adapters.test_installation import login
from tests.stories.shopfront import environment, free_port, livetill

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def line_of(done: Any, code: int = 1) -> str:
    """Return the one line that a failed command said, and hold that it was one."""
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "this should not have happened" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("livetill: ")
    return str(lines[0].removeprefix("livetill: "))


def at(data_dir: Path) -> tuple[str, ...]:
    """Options that name a data directory."""
    return ("--data-dir", str(data_dir))


LOOKING_BACK = (("verify",), ("replay",), ("digest",), ("rebuild", "--all"), ("parked",))


@pytest.mark.parametrize("command", LOOKING_BACK, ids=" ".join)
def test_without_a_journal_nothing_is_made_up(command: Sequence[str], tmp_path: Path) -> None:
    """Looking back needs something to look back at; no database is made for it."""
    assert "there is no journal in" in line_of(livetill(*command, *at(tmp_path)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [*LOOKING_BACK, ("serve", "--port", "0")], ids=" ".join)
def test_a_database_that_is_away_is_said(command: Sequence[str], tmp_path: Path) -> None:
    """The address is wrong or nobody is there: check both."""
    said = line_of(livetill(*command, *at(tmp_path), "--database-url", NOWHERE))
    assert "The database cannot be reached" in said


@pytest.mark.parametrize("command", [("verify",), ("doctor",), ("install",)], ids=" ".join)
@pytest.mark.parametrize("address", ["http://shop:let-me-in@127.0.0.1/x", "127.0.0.1/let-me-in"])
def test_an_address_of_no_postgresql_is_said(command: Sequence[str], address: str, tmp_path: Path) -> None:
    """In the words of whoever wrote it, not of the driver's grammar; it is not repeated, for it may hold a password."""
    done = livetill(*command, *(() if command == ("install",) else at(tmp_path)), "--database-url", address)
    assert done.returncode == 1
    said = "The database's address is no postgresql:// URL: give one such as postgresql://user@host/shop"
    assert said in done.stderr.splitlines()[0]
    assert "let-me-in" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "address", ["let-me-in", "http://let-me-in:4222", "nats://", "nats://h:let-me-in", "nats://a,b"]
)
def test_an_address_of_no_nats_is_said_before_anything_starts(address: str, tmp_path: Path) -> None:
    """No shop sells on with a link that can never come about; the address is not repeated, for it may hold a token."""
    said = line_of(livetill("serve", "--port", "0", *at(tmp_path), "--nats-url", address))
    assert said.startswith("The NATS address is no URL of one server: give one such as nats://host:4222")
    assert "let-me-in" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "address", ["nats://h", "tls://h:1", "ws://h", "wss://h:443", "nats://token@h:4222", "h:4222", "[::1]:4222"]
)
def test_an_address_that_the_client_of_nats_takes_is_taken(address: str) -> None:
    """With or without a port, or as a host and a port."""
    require_address(address)


def test_a_database_without_a_journal_is_said(database_url: str, tmp_path: Path) -> None:
    """Somebody else's database is not installed into by a command that only asks."""
    assert "holds no journal: install it" in line_of(livetill("verify", *at(tmp_path), "--database-url", database_url))


def test_a_database_of_a_newer_livetill_is_left_alone(database_url: str, tmp_path: Path) -> None:
    """An older program touches nothing of it."""
    assert livetill("install", "--database-url", database_url).returncode == 0
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("UPDATE journal.meta SET schema_version = 99")
    for command in (("verify",), ("serve", "--port", "0"), ("install",)):
        place = () if command == ("install",) else at(tmp_path)
        said = line_of(livetill(*command, *place, "--database-url", database_url))
        assert "newer than" in said
        assert "start a newer livetill" in said


def test_a_missing_table_of_what_is_parked_is_said(database_url: str, tmp_path: Path) -> None:
    """It is not the same as that nothing is parked."""
    assert livetill("install", "--database-url", database_url).returncode == 0
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("DROP TABLE views.parked")
    place = (*at(tmp_path), "--database-url", database_url)
    missing = "views.parked is missing, and what was parked with it: install again to put an empty one there"
    assert line_of(livetill("parked", *place)) == missing
    assert f"WRONG: {missing}" in livetill("doctor", *place).stderr.splitlines()


def test_a_user_without_the_grant_is_told_which(database_url: str, tmp_path: Path) -> None:
    """Not that it may not install, which is not its business."""
    assert livetill("install", "--database-url", database_url).returncode == 0
    with login(database_url, "shop_of_nobody") as url:
        for command in (("verify",), ("serve", "--port", "0")):
            said = line_of(livetill(*command, *at(tmp_path), "--database-url", url))
            assert said.endswith("may not act as livetill_app: GRANT livetill_app TO shop_of_nobody")


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    """No database is started for a server that could not listen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = line_of(livetill("serve", "--port", str(port), *at(tmp_path)))
    assert said == f"port {port} on 127.0.0.1 is taken: stop what listens there or choose another --port"
    assert not list(tmp_path.iterdir())


def test_an_address_that_is_not_ours_is_said(tmp_path: Path) -> None:
    """An address of another machine, and a name that is none."""
    port = str(free_port())
    assert "is no address of this machine" in line_of(
        livetill("serve", "--host", "203.0.113.1", "--port", port, *at(tmp_path))
    )
    assert "there is no address" in line_of(
        livetill("serve", "--host", "no.such.invalid", "--port", port, *at(tmp_path))
    )


def test_a_data_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    """What is in the way is named."""
    (tmp_path / "file").write_text("not a directory")
    done = livetill("serve", "--port", "0", *at(tmp_path / "file"))
    assert done.returncode == 2
    assert "is a file" in done.stderr


def test_a_data_directory_below_a_file_is_said(tmp_path: Path) -> None:
    """Nothing can be kept there."""
    (tmp_path / "file").write_text("not a directory")
    environment_without_secrets = {"LIVETILL_SECRET": "", "LIVETILL_WEBHOOK_SECRET": ""}
    done = livetill("token", "--role", "auditor", *at(tmp_path / "file" / "in"), env=environment_without_secrets)
    assert "cannot be used (Not a directory)" in line_of(done)


def as_anybody() -> None:
    """Be held to what a directory allows, as anybody but root is: root gives up what lets it in everywhere."""
    drop_from_bounding_set, dac_override, dac_read_search = 24, 1, 2
    for capability in (dac_override, dac_read_search):
        ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


@pytest.mark.parametrize("closed", ["data", "."], ids=["closed", "in a closed one"])
@pytest.mark.parametrize(
    "command", [*LOOKING_BACK, ("token", "--role", "auditor"), ("serve", "--port", "0")], ids=" ".join
)
def test_a_data_directory_that_we_may_not_enter_is_said(command: Sequence[str], closed: str, tmp_path: Path) -> None:
    """The command was right, the place is not: one line and exit code 1, whether it or the one above it is closed."""
    place = tmp_path / "shop"
    (place / "data").mkdir(parents=True)
    (place / closed).chmod(0)
    without_secrets = {"LIVETILL_SECRET": "", "LIVETILL_WEBHOOK_SECRET": ""}
    try:
        done = run(
            [*command, *at(place / "data")],
            stdout=subprocess.PIPE,
            env=environment() | without_secrets,
            preexec_fn=as_anybody,
        )
    finally:
        (place / closed).chmod(0o700)
    assert str(place / "data") in (said := line_of(done))
    assert "ermission" in said


def test_doctor_says_that_it_may_not_enter_the_data_directory(tmp_path: Path) -> None:
    """And goes on to the rest."""
    (tmp_path / "data").mkdir(mode=0)
    done = run(["doctor", *at(tmp_path / "data")], stdout=subprocess.PIPE, env=environment(), preexec_fn=as_anybody)
    assert done.returncode == 1
    assert f"WRONG: {tmp_path / 'data'} cannot be written to: run livetill as its owner" in done.stderr
    assert "disk" in done.stdout
    assert all(line.startswith("WRONG: ") for line in done.stderr.splitlines())


def test_a_token_of_a_new_secret_is_told_to_be_one(tmp_path: Path) -> None:
    """A directory that was mistyped has no secret yet; standard output is the token and nothing else, said or not."""
    command = ("token", "--role", "auditor", *at(tmp_path / "typo"))
    first, second = (livetill(*command, env={"LIVETILL_SECRET": ""}) for _ in range(2))
    assert f"A new secret was made, {tmp_path / 'typo' / 'token.secret'}: " in first.stderr
    assert len(first.stderr.splitlines()) == 1
    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")
    assert all(len(done.stdout.split(".")) == 3 and len(done.stdout.split()) == 1 for done in (first, second))
    assert livetill(*command).stderr == ""


def test_a_damaged_cluster_is_said(tmp_path: Path) -> None:
    """A directory that is no PostgreSQL cluster is not started, and not made one."""
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    assert "holds no PostgreSQL cluster" in line_of(livetill("verify", *at(tmp_path)))


def limited(bytes_: int) -> Callable[[], None]:
    """Let a process write files of so many bytes and no more: the nearest to a full disk without one."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))

    return limit


def run(command: Sequence[str], **options: Any) -> Any:
    """Run the program with its output where the test wants it."""
    return subprocess.run(
        [sys.executable, "-m", "api", *command], stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options
    )


def test_a_secret_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With no room for 64 bytes there is no secret, and half a one is not left behind."""
    done = run(
        ["token", "--role", "auditor", *at(tmp_path)],
        stdout=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if not key.startswith("LIVETILL_")},
        preexec_fn=limited(16),
    )
    assert "cannot be used (File too large)" in line_of(done)
    assert not list(tmp_path.iterdir())


def test_a_database_that_does_not_fit_the_disk_is_said(tmp_path: Path) -> None:
    """PostgreSQL's own first line of why it could not start, and where the rest is."""
    done = run(
        ["serve", "--port", "0", *at(tmp_path)],
        stdout=subprocess.PIPE,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limited(100_000),
    )
    assert "PostgreSQL did not start" in line_of(done)


def test_a_full_disk_under_our_output_is_said() -> None:
    """``/dev/full`` takes nothing, as a full disk does."""
    with Path("/dev/full").open("w") as full:
        assert "the disk is full" in line_of(run(["--version"], stdout=full))


def test_a_reader_that_has_gone_is_no_error_to_speak_of() -> None:
    """``livetill … | head -1`` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(["--help"], stdout=writing)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_our_characters_is_no_trouble(encoding: str) -> None:
    """What it cannot show is a question mark; all else can be read."""
    narrow = {"PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    for command in (("--help",), ("replay", "--help"), ("demo", "--help")):
        done = livetill(*command, env=narrow)
        assert (done.returncode, done.stderr) == (0, "")
        assert "livetill replay --as-of 2026-03-07T20:15:00Z" in done.stdout or command != ("--help",)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sell",),
        ("serve", "--port", "http"),
        ("replay", "--as-of", "yesterday"),
        ("replay", "--order", "order-1", "--listing", "listing-1"),
        ("rebuild",),
        ("rebuild", "everything"),
        ("token", "--role", "king"),
        ("token", "--role", "host", "--subject", "with blank"),
        ("token", "--role", "host", "--subject", ""),
        ("token", "--role", "host"),
        ("token", "--role", "auditor", "--ttl", "0"),
        ("token", "--role", "auditor", "--ttl", "99999999999999"),
        ("demo", "--speed", "nan"),
        ("demo", "--speed", "inf"),
        ("bench", "till", "--seconds", "nan"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_explained_with_exit_code_2(
    arguments: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was wrong, and where the help is."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "Error: " in said
    assert "--help" in said


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("serve", "--port", "80x"), "80x is no whole number from 0 to 65535"),
        (("serve", "--port", "65536"), "65536 is no whole number from 0 to 65535"),
        (("rebuild", "orders", "--all"), "Name orders or say --all, not both."),
        (("token", "--role", "host"), "A host acts for nobody else: say which host it is with --subject ID."),
        (("token", "--role", "buyer"), "say which buyer it is with --subject ID."),
        (("token", "--role", "brand"), "say which brand it is with --subject ID."),
        (("token", "--role", "host", "--ttl", "315360001"), "315360001 is no whole number from 1 to 315360000"),
        (("demo", "--speed", "nan"), "nan is no number above 0"),
        (("bench", "till", "--seconds", "nan"), "nan is no number from 1 to 3600"),
        (
            ("replay", "--as-of", "2026-03-07"),
            "'2026-03-07' does not say its offset from UTC: 2026-03-07T20:15:00Z does",
        ),
        (("digest", "--as-of", "2026-03-07T20:15:00"), "does not say its offset from UTC"),
        (("replay", "--as-of", "2026-13-07T20:15:00Z"), "is neither a position nor a time such as"),
        (("replay", "--as-of", "\N{ARABIC-INDIC DIGIT THREE}"), "is neither a position nor a time such as"),
        (("token", "--role", "host", "--subject", ""), "a subject has 1 to 64 letters, digits, _ or -"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_usage_says_what_is_right(
    arguments: Sequence[str], problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words: no names of types, and no way around a bound."""
    monkeypatch.setenv("COLUMNS", "100")
    assert main(arguments) == 2
    assert problem in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_secret_that_could_be_guessed_is_the_same_trouble_everywhere(tmp_path: Path) -> None:
    """Whoever starts a shop with it and whoever issues a token with it are told so, with the same exit code."""
    weak = {"LIVETILL_SECRET": "short"}
    for command in (("token", "--role", "auditor"), ("serve", "--port", "0")):
        said = line_of(livetill(*command, *at(tmp_path), env=weak))
        assert said == "The secret for tokens must have at least 32 bytes"


def test_a_position_that_is_to_come_is_said(shop_url: str, tmp_path: Path) -> None:
    """The journal ends before it, and nothing can be said of a time to come; nor of a history that nobody began."""
    place = (*at(tmp_path), "--database-url", shop_url)
    for command in ("replay", "digest"):
        said = line_of(livetill(command, "--as-of", "2999-01-01T00:00:00+01:00", *place))
        assert said == "2999-01-01T00:00:00+01:00 is still to come: choose a time up to now"
    assert "the journal ends at position" in line_of(livetill("replay", "--as-of", "999999", *place))
    assert "there is no order order-none" in line_of(livetill("replay", "--order", "order-none", *place))
    assert "there is no order listing-1" in line_of(livetill("replay", "--order", "listing-1", *place))


def test_an_interrupt_is_said_in_a_word(shop_url: str, tmp_path: Path) -> None:
    """Ctrl-C while it waits for the database."""
    with psycopg.connect(shop_url) as holding, psycopg.connect(shop_url, autocommit=True) as watching:
        holding.execute("LOCK TABLE views.position IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-m", "api", "verify", *at(tmp_path), "--database-url", shop_url],
            stderr=subprocess.PIPE,
            text=True,
        )
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"
            " WHERE datname = current_database())"
        )
        deadline = time.monotonic() + 30
        while watching.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip()) == (130, "livetill: interrupted")


def test_a_full_temporary_directory_is_said() -> None:
    """What a verification puts aside lies there, and there may be no room for it."""
    said = explained(sqlite3.OperationalError("database or disk is full"))
    assert said == (
        "what is put aside meanwhile has no room (database or disk is full): free some space, "
        "or choose another disk with TMPDIR"
    )
