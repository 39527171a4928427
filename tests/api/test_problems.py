"""When something is wrong: every answer is a problem, and none tells how the shop is built."""

from collections.abc import Sequence
from typing import Any

import pytest

from adapters.journal_memory import MemoryJournal
from api.problems import STATUSES, problem_of, status_of
from application.ports import (
    Appended,
    Batch,
    Conflict,
    JournalDamagedError,
    JournalRejectedError,
    JournalUnavailableError,
    Limits,
)
from application.till import Till
from domain.record import Record
from domain.refusal import Refusal
from tests.api.shopfront import Build, Shopfront, opened, problem


class BrokenJournal(MemoryJournal):
    """A journal that fails from a moment on."""

    fault: Exception | None = None

    async def append(self, batch: Batch) -> Appended | Conflict:
        """Append, or fail."""
        if self.fault is not None:
            raise self.fault
        return await super().append(batch)

    async def read(self, after: int, limit: int) -> Sequence[Record]:
        """Read, or fail."""
        if self.fault is not None:
            raise self.fault
        return await super().read(after, limit)


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/streams/stream-1/nothing", "/v1/orders/a/b/c/d"])
async def test_a_path_that_is_none_is_not_found(shop: Shopfront, path: str) -> None:
    """A problem like any other."""
    told = problem(await shop.get(path), 404, "not_found")
    assert told["what"] == "path"
    assert "id" not in told


async def test_a_method_that_is_none_says_which_there_are(shop: Shopfront) -> None:
    """405 with Allow."""
    response = await shop.http.delete("/v1/orders")
    problem(response, 405, "method_not_allowed")
    assert "POST" in response.headers["allow"]
    asked = await shop.http.options("/v1/orders")
    assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


async def test_a_database_that_is_away_says_when_to_come_again() -> None:
    """503 with Retry-After for writes and reads; with the same key the order is placed once it is back."""
    journal = BrokenJournal()
    async with opened(Build(journal=journal)) as shop:
        stream_id, listing_id = await shop.open()
        journal.fault = JournalUnavailableError("connection to 10.0.0.7 refused, password wrong")
        away = await shop.order(stream_id, listing_id, key="tap-1")
        problem(away, 503, "unavailable")
        assert away.headers["retry-after"] == "1"
        assert "10.0.0.7" not in away.text
        problem(await shop.get("/v1/journal"), 503, "unavailable")
        journal.fault = None
        assert (await shop.order(stream_id, listing_id, key="tap-1")).status_code == 201


async def test_what_cannot_be_stored_is_refused_alone() -> None:
    """The client is told not to try again."""
    journal = BrokenJournal()
    async with opened(Build(journal=journal)) as shop:
        stream_id, listing_id = await shop.open()
        journal.fault = JournalRejectedError("invalid byte sequence")
        problem(await shop.order(stream_id, listing_id), 422, "invalid")


async def test_a_damaged_journal_is_no_fault_of_the_client(capfd: pytest.CaptureFixture[str]) -> None:
    """500 at once, and the operator's log says what is wrong with it."""
    journal = BrokenJournal()
    async with opened(Build(journal=journal)) as shop:
        stream_id, listing_id = await shop.open()
        journal.fault = JournalDamagedError("The journal contradicts itself: position 1 is taken")
        problem(await shop.order(stream_id, listing_id), 500, "internal_fault")
        logged = capfd.readouterr()
        assert "position 1 is taken" in logged.out + logged.err


async def test_a_fault_of_ours_tells_its_id_and_no_more(capfd: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw is a 500 with the id under which the log has it."""
    journal = BrokenJournal()
    async with opened(Build(journal=journal)) as shop:
        journal.fault = ZeroDivisionError("secret detail")
        fault = await shop.get("/v1/journal", X_Request_Id="trace-7")
        assert problem(fault, 500, "internal_fault")["trace_id"] == "trace-7"
        assert "secret" not in fault.text
        logged = capfd.readouterr()
        assert "trace-7" in logged.out + logged.err
        assert "ZeroDivisionError" in logged.out + logged.err


async def test_a_full_till_sheds_load() -> None:
    """503 at once, with the time to come again, and nothing is written."""
    async with opened(Build(limits=Limits(queue=0))) as shop:
        response = await shop.post("/v1/orders", {"stream_id": "stream-1", "lines": [LINE]}, who="buyer")
        assert problem(response, 503, "overloaded")["retry_after"] == 1
        assert response.headers["retry-after"] == "1"
        assert await shop.head() == 0


LINE = {"listing_id": "listing-1", "quantity": 1}


async def test_a_fault_in_the_till_is_no_answer_of_the_shop(shop: Shopfront, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken rule of ours is 500 for whom it hit; the next request is served."""

    async def broken(*_: Any) -> None:
        raise KeyError("stream-1")

    with monkeypatch.context() as patched:
        patched.setattr(Till, "look", broken)
        problem(await shop.get("/v1/streams/stream-1"), 500, "internal_fault")
    problem(await shop.get("/v1/streams/stream-1"), 404, "not_found")


def test_every_problem_has_a_status_and_a_name_of_its_own() -> None:
    """Refusals are 409 unless they are listed; what is listed is a refusal that there is."""
    assert set(STATUSES) <= set(Refusal.known)
    assert status_of("sold_out") == 409
    assert {status for status in STATUSES.values() if not 400 <= status <= 503} == set()


@pytest.mark.parametrize("name", sorted(Refusal.known))
def test_a_detail_is_a_sentence_for_whoever_reads_it(name: str) -> None:
    """Without the marks of our source, and without the names of members that the problem does not have."""
    kind = Refusal.known[name]
    said = problem_of(kind(**{field.name: "x" for field in kind.__attrs_attrs__}))["detail"]  # type: ignore[attr-defined]
    assert "`" not in said
    assert "\n" not in said


@pytest.mark.parametrize("name", sorted(Refusal.known))
def test_no_fact_hides_a_member_of_the_problem(name: str) -> None:
    """Facts never overwrite type, title, status or detail."""
    kind = Refusal.known[name]
    facts = {field.name: "x" for field in kind.__attrs_attrs__}  # type: ignore[attr-defined]
    members = problem_of(kind(**facts))
    assert members["type"] == f"urn:livetill:problem:{name}"
    assert members["status"] == status_of(name)
    assert not {"type", "title", "detail"} & set(facts)
