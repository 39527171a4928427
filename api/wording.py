"""What is wrong with a request, in the API's words: msgspec speaks of its own types and of regular expressions."""

import re
from typing import Any, Final

import msgspec

from api.fields import WORDS
from domain.refusal import Invalid

LONGEST: Final = 200
"""How much of a field's name is told: a client chose it."""
TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a time in RFC 3339",
    "null": "null",
}
THINGS: Final = {"str": ("character", "characters"), "array": ("entry", "entries")}
"""What texts and lists are made of."""
_MEMBER = re.compile(r"(?P<said>Object missing required field|Object contains unknown field|The field) `(?P<name>.*)`"
                     r"(?P<more>.*)", re.DOTALL)  # fmt: skip
TYPES_GIVEN: Final = TYPES | {"float": "a number with a point or an exponent"}
"""What was given where something else was to be: a fraction is a number, too."""
_TYPE = re.compile(r"Expected `(?P<wanted>[a-z| ]+)`, got `(?P<got>[a-z]+)`")
_BOUND = re.compile(r"Expected `(?P<type>[a-z]+)`(?P<length> of length)? (?P<sign>[<>]=) (?P<bound>-?[0-9]+)")
_TOLD: Final = {
    "Object missing required field": "is needed",
    "Object contains unknown field": "is not known here: leave it out, or correct its name",
    "Expected `datetime` with a timezone component": "must say its offset from UTC",
    "Invalid RFC3339 encoded datetime": "must be a time in RFC 3339",
    "Number out of range": "is a number out of range",
}


def invalid(
    error: msgspec.ValidationError, kind: type[msgspec.Struct], *, within: str = "", typed: bool = True
) -> Invalid:
    """Take a message such as ``Expected `int`, got `str` - at `$.lines[0].quantity``` apart.

    Where nothing has a type, as in a query string, what was given instead goes without saying.
    """
    said, _, path = str(error).rpartition(" - at ")
    if not said:
        said, path = path, ""
    name = path.strip("`").removeprefix("key in ").removeprefix("$").removeprefix(".")
    if member := _MEMBER.fullmatch(said):
        name = _path(name, member["name"])
        said = member["more"].strip() or member["said"]
    problem = _one_of(kind, name) if said.startswith("Invalid enum value") else _problem(said, typed=typed)
    field = _path(within, name)[:LONGEST]
    return Invalid(field, problem if field else f"the body {problem}")


def malformed(error: Exception) -> str:
    """Say why a body is no JSON; half of a pair of escapes is to msgspec what a missing bracket is."""
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _ if str(error) == "Input data was truncated":
            return "it is incomplete: a bracket, a quote or the second half of a \\u escape is missing"
        case _:
            return str(error)


def _path(*names: str) -> str:
    return ".".join(name for name in names if name)


def _problem(said: str, *, typed: bool) -> str:
    _, matched, pattern = said.partition(" matching regex ")
    if matched:
        return WORDS[pattern]
    if found := _TYPE.fullmatch(said):
        wanted = " or ".join(TYPES.get(each, each) for each in found["wanted"].split(" | "))
        return f"must be {wanted}" + (f", not {TYPES_GIVEN.get(found['got'], found['got'])}" if typed else "")
    if found := _BOUND.fullmatch(said):
        least = "at least" if found["sign"] == ">=" else "at most"
        return f"must have {least} {_things(found)}" if found["length"] else f"must be {least} {found['bound']}"
    return _TOLD.get(said, said[:1].lower() + said[1:])


def _things(found: re.Match[str]) -> str:
    """Say how many, and of what a text or list is made."""
    one, many = THINGS[found["type"]]
    return f"1 {one}" if found["bound"] == "1" else f"{found['bound']} {many}"


def _one_of(kind: type[msgspec.Struct], name: str) -> str:
    """Say what one of a shape's own fields may say."""
    shape: Any = msgspec.inspect.type_info(kind)
    [*others, last] = next(each.type.values for each in shape.fields if each.encode_name == name)
    return f"must be {', '.join(others)} or {last}"
