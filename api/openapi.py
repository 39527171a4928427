"""The API's description, OpenAPI 3.1, made of what serves the requests: signatures, bodies, views and refusals.

Bodies and views are described by msgspec, the library that also reads and writes them, so the description cannot
disagree with the code about what is accepted.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from api.auth import Role
from api.edge import Endpoint, Key
from api.problems import MEDIA_TYPE, TYPE, status_of

REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+):str\}")
_TAG: Final = r'(W/)?"[0-9]{1,15}"'
IF_MATCH: Final = rf"^({_TAG}( *, *{_TAG})*|\*)$"
STREAM_ID: Final = r"^stream-[A-Za-z0-9_-]{1,57}$"

DESCRIPTION: Final = """\
The till of a live show. Writes answer with the `position` they reached; a read with `min_position` (or the header
`Livetill-Min-Position`) waits until it knows of it. Reads take `as_of` (a position or a time) from everybody but
buyers. Errors are problems (RFC 9457) whose `type` never changes.
"""

LIVE_PATH: Final = "/v1/streams/{stream_id}/live"
LIVE_DESCRIPTION: Final = """\
Server-Sent Events for everybody. A `snapshot` comes first: the show, its pins, listings, boards and totals. Then
`stock`, `boards` and `stream` as they are now; `pin`, `window`, `stream`, `sold_out` and `back_in_stock` one by one as
they happened; `order`, what was sold since the frame before; `tick`, the till's time, when there is nothing else. The
data of each is a JSON object; its `id` is the position of the journal up to which all has been told.

Roles: none needed.
"""

PATH_PATTERNS: Final = {
    "stream_id": STREAM_ID,
    "listing_id": r"^listing-[A-Za-z0-9_-]{1,57}$",
    "order_id": r"^order-[A-Za-z0-9_-]{1,57}$",
    "board": r"^(listings|hosts|buyers)$",
}
PATH_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}$"


class Problem(Struct):
    """What went wrong (RFC 9457). Further members are the facts of its type."""

    type: str
    title: str
    status: int
    detail: str


def document(endpoints: Iterable[Endpoint], version: str) -> bytes:
    """Return the description as JSON."""
    served = list(endpoints)
    kinds = {Problem, *(kind for each in served for kind in (each.body, each.query, each.view) if kind is not None)}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=REF)
    components["Problem"]["additionalProperties"] = True
    paths: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for each in served:
        path = _PARAMETER.sub(r"{\1}", each.path)
        paths[path][each.method.lower()] = _operation(each, components)
    paths[LIVE_PATH]["get"] = _live()
    queries = {each.query.__name__ for each in served if each.query is not None}
    return msgspec.json.encode({
        "openapi": "3.1.0",
        "info": {"title": "livetill", "version": version, "description": DESCRIPTION, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "securitySchemes": {
                "token": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": f"HS256; claims sub, role ({', '.join(Role)}), iat, exp.",
                }
            },
        },
    })  # fmt: skip


def _live() -> dict[str, Any]:
    """Describe the feed, which is no endpoint: it answers with events for as long as somebody listens."""
    failures = {404: ["not_found"], 500: ["internal_fault"], 503: ["overloaded", "unavailable"]}
    headers = {"X-Request-Id": {"schema": {"type": "string"}}}
    content = {"text/event-stream": {"schema": {"type": "string"}}}
    last = {"type": "string", "pattern": "^[0-9]{1,18}$"}
    said = "The id of the last event that was heard: what came after it is told, or else a new snapshot."
    return {
        "operationId": "watch",
        "summary": "Watch a show live.",
        "description": LIVE_DESCRIPTION,
        "tags": ["streams"],
        "parameters": [
            {"name": "stream_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": STREAM_ID}},
            _header("Last-Event-ID", last, said),
        ],
        "responses": {
            "200": {"description": "Events, without end.", "headers": headers, "content": content},
            **{str(status): _failure(status, names) for status, names in failures.items()},
        },
        "security": [],
    }


def _operation(endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    doc = (endpoint.handle.__doc__ or "").strip().replace("``", "`")
    operation: dict[str, Any] = {
        "operationId": getattr(endpoint.handle, "__name__", ""),
        "summary": doc.partition("\n")[0],
        "description": f"{doc}\n\nRoles: {_roles(endpoint)}.",
        "tags": [_tag(endpoint.path)],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, components), *_headers(endpoint)],
        "responses": _responses(endpoint),
        "security": [] if endpoint.roles is None else [{"token": []}],
    }
    if endpoint.body is not None:
        optional = not any(each.required for each in msgspec.structs.fields(endpoint.body))
        content = {"application/json": {"schema": _ref(endpoint.body)}}
        operation["requestBody"] = {"required": not optional, "content": content}
    return operation


def _roles(endpoint: Endpoint) -> str:
    if endpoint.roles is None:
        return "none needed"
    return ", ".join(role.value for role in Role if role in endpoint.roles)


def _tag(path: str) -> str:
    parts = path.strip("/").split("/")
    return (parts[1] if parts[0] == "v1" else parts[0]).partition(":")[0]


def _ref(kind: type[Struct]) -> dict[str, str]:
    return {"$ref": REF.format(name=kind.__name__)}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "in": "path", "required": True,
            "schema": {"type": "string", "pattern": PATH_PATTERNS.get(name, PATH_PATTERN)},
        }
        for name in _PARAMETER.findall(endpoint.path)
    ]  # fmt: skip


def _query_parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = components[endpoint.query.__name__]
    return [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": _without_null(each)}
        for name, each in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe an optional parameter: it is left out, it is never null."""
    choices = [each for each in schema.get("anyOf", [schema]) if each != {"type": "null"}]
    bare = {**choices[0]}
    if "enum" in bare:
        bare["enum"] = [each for each in bare["enum"] if each is not None]
    if schema.get("default") is not None:
        bare["default"] = schema["default"]
    elif bare.get("default", ...) is None:
        del bare["default"]
    return bare


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    headers = []
    if endpoint.key is not Key.NONE:
        headers.append(
            _header(
                "Idempotency-Key",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
                "Say it again with the same key and get the first answer; nothing is done twice.",
                required=endpoint.key is Key.REQUIRED,
            )
        )  # fmt: skip
    if endpoint.edits:
        said = "The version that was read, as ETag gave it; 412 when it has changed since."
        headers.append(_header("If-Match", {"type": "string", "pattern": IF_MATCH}, said))
    if endpoint.query is not None and "min_position" in endpoint.query.__struct_fields__:
        said = "The same as the query parameter min_position."
        headers.append(_header("Livetill-Min-Position", {"type": "string", "pattern": "^[0-9]{1,15}$"}, said))
    return headers


def _header(name: str, schema: dict[str, Any], description: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for name in (*_usual(endpoint), *endpoint.refusals):
        by_status[status_of(name)].append(name)
    responses: dict[str, Any] = {str(endpoint.status): _success(endpoint)}
    if "payment_declined" in endpoint.refusals:
        responses["202"] = {**_success(endpoint), "description": "The provider will say later."}
    if endpoint.path == "/v1/webhooks/payments":
        responses["202"] = {**_success(endpoint), "description": "Put aside: it fits no order that is known."}
    if endpoint.path == "/health/ready":
        by_status.pop(503, None)
        responses["503"] = {**_success(endpoint), "description": "Not ready."}
    for status, names in sorted(by_status.items()):
        responses[str(status)] = _failure(status, names)
    return responses


def _usual(endpoint: Endpoint) -> Iterable[str]:
    """Name the problems that follow from what an endpoint takes."""
    yield from ("bad_request", "unauthenticated", "internal_fault", "unavailable")
    if endpoint.roles is not None or endpoint.query is not None:
        yield "forbidden"
    if "{" in endpoint.path or endpoint.body is not None:
        yield "not_found"
    if endpoint.query is not None:
        yield from ("invalid", "position_not_reached")
    if endpoint.body is not None:
        yield from ("malformed_body", "invalid", "body_too_large", "unsupported_media_type", "overloaded")
    if endpoint.key is not Key.NONE:
        yield from ("idempotency_key_malformed", "idempotency_conflict")
    if endpoint.key is Key.REQUIRED:
        yield "idempotency_key_required"
    if endpoint.edits:
        yield from ("malformed_if_match", "stale_version")


def _success(endpoint: Endpoint) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"schema": {"type": "string"}}}
    if "version" in getattr(endpoint.view, "__struct_fields__", ()):
        headers["ETag"] = {"schema": {"type": "string"}, "description": "The version of what is shown."}
    if endpoint.status == 201:  # noqa: PLR2004 - created
        headers["Location"] = {"schema": {"type": "string"}}
    if endpoint.key is not Key.NONE:
        headers["Idempotent-Replayed"] = {"schema": {"type": "string"}, "description": "true on a repeated answer."}
    return {
        "description": "Done." if endpoint.method == "POST" else "Found.",
        "headers": headers,
        "content": {"application/json": {"schema": _ref(endpoint.view)}},
    }


def _failure(status: int, names: Iterable[str]) -> dict[str, Any]:
    unique = list(dict.fromkeys(names))
    example = {"type": TYPE + unique[0], "title": unique[0].replace("_", " ").capitalize(), "status": status}
    content = {"schema": _ref(Problem), "example": {**example, "detail": "What went wrong, in a sentence."}}
    headers = {"X-Request-Id": {"schema": {"type": "string"}}}
    if status == 503:  # noqa: PLR2004 - come again
        headers["Retry-After"] = {"schema": {"type": "string"}}
    return {"description": " or ".join(unique), "headers": headers, "content": {MEDIA_TYPE: content}}
