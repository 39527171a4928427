"""The API's description: true about every endpoint, and whole."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import ENDPOINTS, description
from api.openapi import LIVE_PATH
from api.problems import status_of
from domain.refusal import Refusal
from tests.api.shopfront import Shopfront

PARAMETER = re.compile(r"\{(\w+):str\}")


@pytest.fixture
async def document(shop: Shopfront) -> Any:
    """The description as clients get it."""
    response = await shop.get("/schema/openapi.json", who="")
    assert response.headers["content-type"] == "application/json"
    return response.json()


def references(node: Any) -> Iterator[str]:
    """Walk over every reference."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Walk over every operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_endpoint_is_described(document: Any) -> None:
    """By its path and method, with an id of its own, a summary and a success."""
    described = {(path, method) for path, method, _ in operations(document)}
    endpoints = {(PARAMETER.sub(r"{\1}", each.path), each.method.lower()) for each in ENDPOINTS}
    assert described == endpoints | {(LIVE_PATH, "get")}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for _, _, operation in operations(document):
        assert operation["summary"].endswith((".", ".`"))
        assert any(status.startswith("2") for status in operation["responses"])


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[f"{each.method} {each.path}" for each in ENDPOINTS])
def test_every_endpoint_is_on_the_page_for_people(endpoint: Any) -> None:
    """What the API takes can be read in the documentation as well."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    path = re.escape(PARAMETER.sub(r"{\1}", endpoint.path))
    assert re.search(rf"\b{endpoint.method} +{path}(?=[\s`]|$)", page)


def test_every_reference_leads_somewhere(document: Any) -> None:
    """Nothing is named that is not described."""
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_what_is_protected_says_so(document: Any) -> None:
    """An operation that needs a token says that it does, and that 401 and 403 are possible."""
    for path, method, operation in operations(document):
        if path == LIVE_PATH:
            assert operation["security"] == []
            continue
        (endpoint,) = [
            each for each in ENDPOINTS if PARAMETER.sub(r"{\1}", each.path) == path and each.method.lower() == method
        ]
        assert bool(operation["security"]) == (endpoint.roles is not None)
        assert "401" in operation["responses"]
        if endpoint.roles is not None:
            assert "403" in operation["responses"]


def test_every_failure_is_a_problem(document: Any) -> None:
    """Whatever goes wrong has the same shape, except that readiness tells what is wrong in its own."""
    for path, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and (path, status) != ("/health/ready", "503"):
                assert list(response["content"]) == ["application/problem+json"]


def test_bodies_refuse_what_they_do_not_know(document: Any) -> None:
    """The description says so too."""
    for path, method, operation in operations(document):
        if method == "post" and path != "/v1/webhooks/payments":
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert document["components"]["schemas"][name]["additionalProperties"] is False


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[f"{each.method} {each.path}" for each in ENDPOINTS])
def test_refusals_are_named_as_they_are(endpoint: Any) -> None:
    """A refusal that an endpoint announces is one that there is, and no success."""
    for name in endpoint.refusals:
        assert name in Refusal.known
        assert status_of(name) >= 400


def test_the_live_feed_is_described_as_what_it_is(document: Any) -> None:
    """Events without end; every kind that the page listens for is named."""
    watched = document["paths"][LIVE_PATH]["get"]
    assert list(watched["responses"]["200"]["content"]) == ["text/event-stream"]
    script = (Path(__file__).parents[2] / "api" / "static" / "feed.js").read_text()
    (kinds,) = re.findall(r"EVENTS = \[(.*)\]", script)
    for kind in re.findall(r'"(\w+)"', kinds):
        assert f"`{kind}`" in watched["description"]


def test_the_description_is_made_once() -> None:
    """It is the same for every shop of a process."""
    assert description() is description()
