"""The commands that look back, run as people run them, on the journal of an evening."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.chapters import ListingChapters
from adapters.inspection import _clock_findings
from adapters.journal_postgres import PostgresJournal
from adapters.tables_postgres import PostgresStore
from adapters.wire import JsonWire
from api.commands.output import print_json
from api.commands.replay import _flat, _totals
from api.commands.troubles import CommandError
from api.commands.verify import _compare_elsewhere
from application.chapters import EVERY
from domain.order import events as o
from projections.catalogue import NAMES, named
from projections.digest import digest_at
from projections.verify import compared_with_replay, replay_to
from tests.builders import paid_order, refund_issued
from tests.projections.books import following, of
from tests.rehearsal import LISTING, STREAM
from tests.stories.shopfront import livetill, serving

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"


@pytest.fixture
def ask(shop_url: str, tmp_path: Path) -> Any:
    """Run a command on the evening's database."""

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Any:
        return livetill(*arguments, "--database-url", shop_url, "--data-dir", str(tmp_path), env=env)

    return run


def document(done: Any) -> Any:
    """Return the one JSON document of a command that did it."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def changed(url: str, statement: str, back: str) -> Iterator[None]:
    """Change something in the database, and change it back."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
        try:
            yield
        finally:
            connection.execute(back.encode())


def test_verify_certifies_an_honest_journal(ask: Any) -> None:
    """People read that everything holds; programs read the counts and each read model's digests."""
    told = ask("verify")
    assert told.returncode == 0
    assert "everything holds" in told.stdout
    found = document(ask("verify", "--json"))
    assert found["holds"]
    assert found["breach"] is None
    assert found["counts"]["records"] == found["position"] > 50
    assert found["counts"]["refusals"] >= 1
    assert [(each["same"], each["behind"]) for each in found["read_models"]] == [(True, 0)] * 7


def test_verify_may_leave_the_read_models_out(ask: Any) -> None:
    """The journal alone is verified when that is all one wants."""
    assert document(ask("verify", "--json", "--journal-only"))["read_models"] == []


def test_verify_names_a_read_model_that_was_tampered_with(ask: Any, shop_url: str) -> None:
    """One unit more in a row is a failed verification, with the command that puts it right; and that does."""
    more = f"UPDATE views.live_stock SET available = available + 1 WHERE listing_id = '{LISTING}'"
    with changed(shop_url, more, "SELECT 1"):
        told = ask("verify")
        assert told.returncode == 1
        assert told.stderr.splitlines()[-1].startswith("livetill: live_stock does not hold what the journal says")
        rebuilt = ask("rebuild", "live_stock")
        assert rebuilt.returncode == 0
        assert "NOT as the live one was" in rebuilt.stdout
        assert f"differs: live_stock/{LISTING}" in rebuilt.stdout
    assert ask("verify").returncode == 0


def test_verify_names_a_record_that_a_read_model_does_without(ask: Any, shop_url: str) -> None:
    """A replay parks the same record and gives the same rows: equal digests are no proof of a whole read model."""
    park = "INSERT INTO views.parked VALUES ('leaderboards', 3, 'listing.units_committed.v1', 'out of range')"
    with changed(shop_url, park, "DELETE FROM views.parked WHERE projection = 'leaderboards'"):
        told = ask("verify")
        assert told.returncode == 1
        assert "everything holds" not in told.stdout
        assert told.stderr.splitlines()[-1].startswith("livetill: leaderboards does without position 3")
        found = json.loads(ask("verify", "--json").stdout)
        assert not found["holds"]
        assert [(each["read_model"], each["position"]) for each in found["parked"]] == [("leaderboards", 3)]
    assert ask("verify").returncode == 0


def test_verify_names_a_chapter_that_says_something_else(ask: Any, shop_url: str) -> None:
    """Whoever starts from it would believe it: a failed verification, with what puts it right."""
    row = f"('{LISTING}', {EVERY}, '{ListingChapters().topic}.{EVERY}', 'so many units')"
    with changed(shop_url, f"INSERT INTO views.snapshot VALUES {row}", "TRUNCATE views.snapshot"):
        told = ask("verify")
        assert told.returncode == 1
        assert "everything holds" not in told.stdout
        assert told.stderr.splitlines()[-1].startswith(f"livetill: chapter {EVERY} of {LISTING} is wrong")
        found = json.loads(ask("verify", "--json").stdout)
        assert not found["holds"]
        assert [each["version"] for each in found["chapters"]["wrong"]] == [EVERY]
    assert document(ask("verify", "--json"))["chapters"] == {"chapters": 0, "wrong": []}


def test_rebuild_replaces_every_read_model_by_the_same(ask: Any) -> None:
    """A rebuild of what is right changes nothing."""
    before = ask("digest").stdout
    rebuilt = document(ask("rebuild", "--all", "--json"))
    assert len(rebuilt) == 7
    assert all(each["same"] for each in rebuilt)
    assert ask("digest").stdout == before


def test_a_digest_of_the_past_is_the_one_of_the_rows(ask: Any) -> None:
    """At the position where the live rows stand, a replay from the journal alone has the same digests."""
    live = ask("digest")
    lines = live.stdout.splitlines()
    position = lines[0].split()[1]
    assert len(lines) == 7
    assert all(len(line.split()[2]) == 64 for line in lines)
    assert ask("digest", "--as-of", position).stdout == live.stdout
    assert ask("digest", "--as-of", "50").stdout != live.stdout


def test_replay_tells_a_history_as_of_a_position(ask: Any) -> None:
    """The further back, the less had happened; the same position gives the same digest."""
    now = document(ask("replay", "--listing", LISTING, "--json"))
    then = document(ask("replay", "--listing", LISTING, "--json", "--as-of", "20"))
    assert then["position"] <= 20 < now["position"]
    assert then["version"] < now["version"]
    assert set(then["state"]["units"]) == set(now["state"]["units"])
    assert document(ask("replay", "--listing", LISTING, "--json", "--as-of", "20"))["sha256"] == then["sha256"]
    told = ask("replay", "--stream", STREAM)
    assert told.returncode == 0
    assert "host_id" in told.stdout
    assert "sha256" in told.stdout


def fields_of(told: str) -> dict[str, str]:
    """Return the table that a replay prints, by field."""
    lines = told.split("\n\n")[1].splitlines()
    assert lines[0].split() == ["FIELD", "VALUE"]
    return {name: " ".join(words) for name, *words in map(str.split, lines[1:])}


@pytest.mark.parametrize("kind", ["stream", "listing", "order", "commission"])
def test_replay_prints_the_fields_of_whatever_it_is_asked_for(ask: Any, shop_url: str, kind: str) -> None:
    """However many a state has, each is told; only long collections inside it are told by their size."""
    with psycopg.connect(shop_url) as connection:
        longest = "GROUP BY history_id ORDER BY count(*) DESC LIMIT 1"
        found = connection.execute(
            f"SELECT history_id FROM journal.record WHERE history_id LIKE '{kind}-%' {longest}".encode()
        ).fetchone()
    assert found is not None
    state = document(ask("replay", f"--{kind}", found[0], "--json"))["state"]
    fields = fields_of(ask("replay", f"--{kind}", found[0]).stdout)
    assert {re.split(r"[.\[]", name)[0] for name in fields} == set(state)
    assert not {"True", "False", "None"} & set(fields.values())


def test_programs_get_json_in_any_encoding(ask: Any) -> None:
    """What the terminal cannot show is escaped, as JSON may be: nothing is lost."""
    expected = document(ask("replay", "--stream", STREAM, "--json"))
    narrow = ask("replay", "--stream", STREAM, "--json", env={"PYTHONIOENCODING": "ascii"})
    assert document(narrow) == expected


def test_json_is_escaped_where_it_has_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A title in any script arrives whole; where the terminal knows the characters they stand as they are."""
    for encoding, shown in (("ascii", "\\u20ac \\ud83e\\udde3"), ("utf-8", "€ 🧣")):
        written = BytesIO()
        monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding=encoding))
        print_json({"title": "€ 🧣"})
        sys.stdout.flush()
        assert shown in written.getvalue().decode(encoding)
        assert json.loads(written.getvalue()) == {"title": "€ 🧣"}


def test_long_collections_are_told_by_their_size() -> None:
    """The fields of a state never are: whoever asks for an order wants to see it."""
    long = [{str(number): number} for number in range(21)]
    state = {f"field_{number}": number for number in range(30)} | {"lines": long, "few": [True, None, {}]}
    told = dict(_flat(state))
    assert told["field_29"] == "29"
    assert told["lines"] == "21 entries"
    assert (told["few[1]"], told["few[2]"], told["few[3]"]) == ("yes", "none", "none")


def test_replay_without_an_id_sums_up_all_read_models(ask: Any) -> None:
    """Totals and digests, as of a position or a time; before the first record there is nothing."""
    now = document(ask("replay", "--json"))
    assert now["as_of"] == document(ask("verify", "--json"))["position"]
    assert now["totals"]["orders"]["refused"] >= 1
    assert now["sha256"] == document(ask("replay", "--json", "--as-of", now["recorded_at"]))["sha256"]
    nothing = document(ask("replay", "--json", "--as-of", "2001-01-01T00:00:00Z"))
    assert (nothing["as_of"], nothing["totals"]["orders"]) == (0, {})
    assert "READ MODEL" in ask("replay").stdout


async def test_replay_sums_money_up_as_orders_say_it() -> None:
    """What came in stands gross, and beside it what went back of it and what came for nothing."""
    orphaned = o.PaymentOrphaned("pay-2", 500, "amount_mismatch")
    totals = await _totals(await following(*of("order-1", *paid_order(), refund_issued(amount_minor=400), orphaned)))
    money = {name: totals[name] for name in ("captured_minor", "refunded_minor", "orphaned_minor")}
    assert money == {"captured_minor": {"EUR": 1999}, "refunded_minor": {"EUR": 400}, "orphaned_minor": {"EUR": 500}}


def test_doctor_finds_nothing_wrong_with_a_sound_shop(ask: Any, nats_url: str) -> None:
    """Versions, settings, lag and disk are told, and no problem."""
    found = document(ask("doctor", "--json", "--nats-url", nats_url))
    assert found["healthy"], found["problems"]
    assert found["postgresql"]["fsync"] == "on"
    assert set(found["lag_records"].values()) == {0}
    assert found["disk"]["free_bytes"] > 0
    assert "Nothing is wrong." in ask("doctor", "--nats-url", nats_url).stdout


def test_doctor_says_that_there_is_no_journal(tmp_path: Path) -> None:
    """A directory that was mistyped is not a sound shop; nothing is made in it."""
    told = livetill("doctor", "--data-dir", str(tmp_path / "typo"))
    assert told.returncode == 1
    assert "Nothing is wrong" not in told.stdout
    assert f"WRONG: there is no journal in {tmp_path / 'typo'}: " in told.stderr
    assert not list(tmp_path.iterdir())


def test_doctor_says_where_the_database_that_comes_along_is(tmp_path: Path) -> None:
    """Whoever wants a dump of it needs its address and the programs that fit it; they work while the shop sells."""
    with serving(tmp_path):
        told = document(livetill("doctor", "--json", "--data-dir", str(tmp_path)))["postgresql"]
        dump = [f"{told['programs']}/pg_dump", "--format=custom", "--schema=journal", told["address"]]
        assert subprocess.run(dump, capture_output=True, check=True, timeout=60).stdout.startswith(b"PGDMP")


def test_doctor_says_what_is_wrong(ask: Any, shop_url: str) -> None:
    """A follower that stands still, a parked record and a NATS that is away are each told, with exit code 1."""
    parked = "INSERT INTO views.parked (projection, position, topic, error) VALUES ('orders', 9, 'a.b.v1', 'Error: no')"
    behind = "UPDATE views.position SET position = position - 3 WHERE name = 'payouts'"
    ahead = "UPDATE views.position SET position = position + 3 WHERE name = 'payouts'"
    with changed(shop_url, parked, "DELETE FROM views.parked"), changed(shop_url, behind, ahead):
        told = ask("doctor", "--nats-url", "nats://127.0.0.1:1")
    wrong = [line for line in told.stderr.splitlines() if line.startswith("WRONG: ")]
    assert told.returncode == 1
    assert len(wrong) == 3
    assert (
        "orders could not take in position 9 (a.b.v1): Error: no: upgrade livetill, then livetill rebuild orders"
        in wrong[0]
    )
    assert "payouts is 3 records behind and does not move" in wrong[1]
    assert "NATS cannot be reached" in wrong[2]


def parked(name: str, position: int, topic: str) -> str:
    """A statement that parks something."""
    return (
        f"INSERT INTO views.parked (projection, position, topic, error) VALUES ('{name}', {position}, '{topic}', 'no')"
    )


def test_what_is_parked_is_shown_and_settled_one_by_one(ask: Any, shop_url: str, nats_url: str) -> None:
    """Doctor names each for what it is, with the command that settles it; when all are settled nothing is wrong."""
    callback, reaction = parked("webhooks", 0, "pay_1/payment.succeeded"), parked("refunds", 9, "order.refunded.v1")
    with changed(shop_url, f"{callback}; {reaction}", "DELETE FROM views.parked"):
        wrong = [line for line in ask("doctor", "--nats-url", nats_url).stderr.splitlines() if "WRONG" in line]
        assert wrong[0].startswith("WRONG: refunds could not do what follows from position 9 (order.refunded.v1): no: ")
        assert wrong[1].startswith("WRONG: the callback pay_1/payment.succeeded could not be booked: no: ")
        settling = [line.partition("then livetill ")[2].split() for line in wrong]
        assert settling[1] == ["parked", "--settle", "webhooks", "pay_1/payment.succeeded"]
        shown = document(ask("parked", "--json"))
        assert [(each["name"], each["key"], each["position"]) for each in shown] == [
            ("refunds", "9", 9),
            ("webhooks", "pay_1/payment.succeeded", None),
        ]
        assert all(each["parked_at"].endswith("Z") for each in shown)
        assert "the callback pay_1/payment.succeeded could not be booked: no\n" in ask("parked").stdout
        for command in settling:
            assert ask(*command).stdout.startswith("Settled: ")
            assert ask(*command).returncode == 1
        assert ask("parked").stdout == "Nothing is parked.\n"
        assert document(ask("parked", "--json")) == []
        assert ask("doctor", "--nats-url", nats_url).returncode == 0


def test_what_a_read_model_parked_is_not_settled_by_hand(ask: Any, shop_url: str) -> None:
    """It would go on being without the record, and nobody would be told; neither is what was never parked."""
    with changed(shop_url, parked("orders", 9, "a.b.v1"), "DELETE FROM views.parked"):
        told = ask("parked", "--settle", "orders", "9")
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.endswith(
            "orders is a read model, and not whole without what it parked: livetill rebuild orders\n"
        )
        assert len(document(ask("parked", "--json"))) == 1
        told = ask("parked", "--settle", "webhooks", "9")
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr == "livetill: nothing is parked as webhooks 9: livetill parked shows what is\n"


def test_times_are_told_as_the_api_tells_them(ask: Any) -> None:
    """RFC 3339 in UTC, for people and for programs, also in what a state holds."""
    now = document(ask("replay", "--json"))["recorded_at"]
    assert re.fullmatch(TIME, now)
    assert f"recorded {now}\n" in ask("replay").stdout
    stream = document(ask("replay", "--stream", STREAM, "--json"))
    assert re.fullmatch(TIME, stream["recorded_at"])
    assert re.fullmatch(TIME, stream["state"]["scheduled_at"])
    told = ask("replay", "--stream", STREAM).stdout
    assert f", {stream['recorded_at']}\n" in told
    assert fields_of(told)["scheduled_at"] == stream["state"]["scheduled_at"]
    assert "+00:00" not in told


def test_doctor_compares_the_clocks(ask: Any, nats_url: str) -> None:
    """The database's is this machine's here; one that is a second off is said, in both directions."""
    clock = document(ask("doctor", "--json", "--nats-url", nats_url))["postgresql"]["clock"]
    told = re.fullmatch(r"([+-]\d+\.\d{3}) s from this machine's", clock)
    assert told is not None
    assert abs(float(told[1])) < 1
    assert not _clock_findings(0.9)
    for seconds, said in ((1.1, "+1.1 s"), (-3600.0, "-3600.0 s")):
        [finding] = _clock_findings(seconds)
        assert f"clock is {said} from this machine's" in finding


async def test_another_process_compares_the_same(shop_url: str) -> None:
    """What verify has a second process replay and compare is what it would have found itself."""
    journal, store = PostgresJournal(shop_url), PostgresStore(shop_url)
    await journal.open()
    await store.open()
    try:
        here = await compared_with_replay(journal.facts, JsonWire(), store)
    finally:
        await store.close()
        await journal.close()
    assert await _compare_elsewhere(shop_url) == here
    assert [each.live.name for each in here] == list(NAMES)
    with pytest.raises(CommandError, match="could not be replayed: livetill: The database cannot be reached"):
        await _compare_elsewhere("postgresql://nobody@127.0.0.1:1/nothing")


async def test_each_read_model_is_replayed_to_a_position_of_its_own(shop_url: str) -> None:
    """A follower may have brought some further than others; each is compared where it stands."""
    ends = {"live_stock": 50, "orders": 40}
    journal = PostgresJournal(shop_url)
    await journal.open()
    try:
        found = await replay_to(journal.facts, JsonWire(), ends)
        then = [await digest_at(journal, JsonWire(), position, named(name)) for name, position in ends.items()]
    finally:
        await journal.close()
    assert [[each] for each in found] == then


async def test_facts_are_the_records_without_their_envelopes(shop_url: str) -> None:
    """Events and places are those of the records, page by page."""
    journal = PostgresJournal(shop_url)
    await journal.open()
    try:
        records, facts = await journal.read(3, 60), await journal.facts(3, 60)
    finally:
        await journal.close()
    assert [(each.position, each.history_id, each.topic, each.state) for each in facts] == [
        (each.position, each.history_id, each.topic, each.state) for each in records
    ]
