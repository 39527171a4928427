"""The page: its shell, its files and the shows it offers, through the whole application."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from application import commands as c
from domain.stream.events import EndReason
from projections.store import StoreUnavailableError
from tests.api.watching import Theatre, Watcher, theatre
from tests.builders import schedule_stream
from tests.rehearsal import STREAM

STATIC = Path(__file__).parents[2] / "api" / "static"
FILES = sorted(STATIC.iterdir())


def name_of(path: Path) -> str:
    """Name a file of the page."""
    return path.name


@pytest.fixture
async def house() -> AsyncIterator[Theatre]:
    """A shop without a show."""
    async with theatre() as running:
        yield running


async def asked(house: Theatre, path: str, **headers: str) -> Watcher:
    """Return an answer, read to its end."""
    watcher = Watcher(house.app, path, {name.replace("_", "-"): value for name, value in headers.items()})
    await watcher.connect()
    await watcher.ended()
    return watcher


@pytest.mark.parametrize(("path", "status"), [("/", 200), (f"/shows/{STREAM}", 200), ("/shows/stream-none", 404)])
async def test_the_page_is_served_to_everybody(house: Theatre, path: str, status: int) -> None:
    """No token, no build step: a shell of HTML that says which show it is about by its address."""
    await house.shop.go_live()
    assert await house.services.wait_for(await house.shop.journal.head(), 10)
    page = await asked(house, path)
    assert (page.status, page.answer["content-type"]) == (status, "text/html; charset=utf-8")
    assert page.body == (STATIC / "show.html").read_bytes()


@pytest.mark.parametrize("name", ["nope", "stream-", "stream-%00", "listing-1", "stream-1%0a"])
async def test_an_address_of_no_show_is_not_found_however_it_is_asked(house: Theatre, name: str) -> None:
    """Nothing is looked up by a name that cannot be one, and no tag makes it found."""
    assert (await asked(house, f"/shows/{name}")).status == 404
    assert (await asked(house, f"/shows/{name}", If_None_Match="*")).status == 404


async def test_while_the_database_is_away_the_page_is_still_served(
    house: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds out by itself, and says that it tries again."""

    async def away(*_: object) -> None:
        raise StoreUnavailableError

    monkeypatch.setattr(house.store, "load", away)
    assert (await asked(house, f"/shows/{STREAM}")).status == 200


@pytest.mark.parametrize("path", ["/", "/static/show.js", "/static/show.css", "/static/icon.svg"])
async def test_the_content_policy_lets_nothing_foreign_in(house: Theatre, path: str) -> None:
    """Scripts, styles and connections are this server's alone, and nothing is written into the page."""
    answer = (await asked(house, path)).answer
    policy = dict(part.split(" ", 1) for part in answer["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer["content-security-policy"]
    assert answer["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("name", "data"), [(path.name, path.read_bytes()) for path in FILES])
async def test_each_file_is_kept_until_it_changes(house: Theatre, name: str, data: bytes) -> None:
    """A browser that has a file asks by its tag and is told in no bytes that it is still the same."""
    first = await asked(house, f"/static/{name}")
    assert (first.status, first.body) == (200, data)
    assert first.answer["cache-control"] == "no-cache"
    again = await asked(house, f"/static/{name}", If_None_Match=f'"old", W/{first.answer["etag"]}')
    assert (again.status, again.body) == (304, b"")
    changed = await asked(house, f"/static/{name}", If_None_Match='"old"')
    assert changed.status == 200


@pytest.mark.parametrize("name", ["none.js", "..%2Fpages.py", "__init__.py"])
async def test_only_files_of_the_page_are_served(house: Theatre, name: str) -> None:
    """Nothing beside them can be had by a clever name."""
    assert (await asked(house, f"/static/{name}")).status == 404


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_page_refers_to_nothing_outside(path: Path) -> None:
    """It works without the internet: no address of another server in any file but names of formats."""
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"')]*", path.read_text()))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_everything_the_page_refers_to_is_there() -> None:
    """Every file that HTML, scripts and styles name is one of ours."""
    names = {path.name for path in FILES}
    for path in FILES:
        text = path.read_text()
        wanted = set(re.findall(r"/static/([\w.-]+)", text)) | set(re.findall(r'from "\./([\w.-]+)"', text))
        assert wanted <= names, path.name


def test_the_page_has_no_script_or_style_written_into_it() -> None:
    """The content policy would refuse them, and a page that half works is worse than a test that fails."""
    html = (STATIC / "show.html").read_text()
    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    assert not re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    scripts = "".join(path.read_text() for path in FILES if path.suffix == ".js")
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", scripts)


def test_scripts_use_only_elements_that_the_page_has() -> None:
    """Each id that a script asks for is in the page."""
    html, scripts = (STATIC / "show.html").read_text(), "".join(each.read_text() for each in STATIC.glob("*.js"))
    wanted = set(re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', scripts))
    assert wanted
    assert wanted <= set(re.findall(r'\bid="([\w-]+)"', html))


async def test_without_a_show_the_list_is_empty(house: Theatre) -> None:
    """A fresh shop has a page too."""
    assert await house.ask("/shows") == {"shows": []}


async def test_the_running_show_is_offered_first(house: Theatre) -> None:
    """What is on comes before what is over, and what is over before what is only announced."""
    shop = house.shop
    now = shop.clock.now()
    for number, hours in ((2, 48), (3, 24), (4, 0), (5, 0)):
        show = schedule_stream(host_id=f"host-{number}", scheduled_at=now + timedelta(hours=hours))
        await shop.do(c.Tell(f"stream-{number}", show, new=True))
    for number in (4, 5):
        await shop.do(c.StartStream(f"stream-{number}"))
        shop.clock.advance(60)
        await shop.do(c.EndStream(f"stream-{number}", EndReason.HOST))
    await shop.go_live()
    assert await house.services.wait_for(await shop.journal.head(), 10)
    shows = (await house.ask("/shows"))["shows"]
    assert [each["stream_id"] for each in shows] == [STREAM, "stream-5", "stream-4", "stream-3", "stream-2"]
    assert [each["status"] for each in shows] == ["live", "ended", "ended", "scheduled", "scheduled"]
