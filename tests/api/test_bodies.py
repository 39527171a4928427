"""Malformed requests: every kind of them is refused with the field that is wrong, and nothing is written."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from api.app import ENDPOINTS
from api.bodies import PaymentNews
from api.fields import WORDS
from domain.money import MAX_MINOR
from tests.api.shopfront import Shopfront, eur, problem

SHOW = {
    "title": "Spring", "host_id": "host-1", "brand_id": "brand-1", "scheduled_at": "2030-01-01T20:00:00Z",
    "currency": "EUR", "terms": {"rate_bps": 1000, "hold_days": 14},
}  # fmt: skip
LISTING = {"sku": "A", "title": "A", "price": eur(100), "allotment": 5}


def line(**changes: Any) -> dict[str, Any]:
    """Return an order of one line that is sound but for the changes."""
    sound = {"listing_id": "listing-1", "quantity": 1}
    return {"stream_id": "stream-1", "buyer_id": "buyer-1", "lines": [sound | changes]}


ORDERS: list[tuple[Any, str]] = [
    ({}, "stream_id"),
    ([], ""),
    ("text", ""),
    (7, ""),
    (line(quantity=0), "lines[0].quantity"),
    (line(quantity=-1), "lines[0].quantity"),
    (line(quantity=1.5), "lines[0].quantity"),
    (line(quantity="1"), "lines[0].quantity"),
    (line(quantity=True), "lines[0].quantity"),
    (line(quantity=None), "lines[0].quantity"),
    (line(quantity=10**9 + 1), "lines[0].quantity"),
    (line(quantity=2**63), "lines[0].quantity"),
    (line(quantity=10**40), "lines[0].quantity"),
    (line(unit_price_minor=-1), "lines[0].unit_price_minor"),
    (line(unit_price_minor=MAX_MINOR + 1), "lines[0].unit_price_minor"),
    (line(listing_id="order-1"), "lines[0].listing_id"),
    (line(listing_id="listing-\x00"), "lines[0].listing_id"),
    (line(listing_id="listing-1\n"), "lines[0].listing_id"),
    (line(listing_id="listing-" + "x" * 57), "lines[0].listing_id"),
    (line(listing_id="listing-é"), "lines[0].listing_id"),
    (line(colour="red"), "lines[0].colour"),
    (line() | {"gift": True}, "gift"),
    (line() | {"g" * 1000: True}, "g" * 200),
    (line() | {"lines": []}, "lines"),
    (line() | {"lines": [line()["lines"][0]] * 1001}, "lines"),
    (line() | {"lines": {"0": 1}}, "lines"),
    (line() | {"stream_id": "../stream-1"}, "stream_id"),
    (line() | {"stream_id": 1}, "stream_id"),
    (line() | {"buyer_id": "Jane Doe"}, "buyer_id"),
]


@pytest.mark.parametrize(("body", "field"), ORDERS)
async def test_an_order_that_makes_no_sense_says_where(shop: Shopfront, body: Any, field: str) -> None:
    """The field is named as a path, and the journal stays as it was."""
    response = await shop.http.post(
        "/v1/orders", json=body, headers={**shop.token("client"), "Idempotency-Key": "1"}
    )  # fmt: skip
    assert problem(response, 422, "invalid")["field"] == field
    assert await shop.head() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"stream_id":"\xff"}', b'{"stream_id":"\\ud800"}',
        b'{"lines":' + b"[" * 100_000, b'{"a":NaN}', b"{'stream_id':1}", b"\x00", b"<order/>", b"{}{}", b"null",
    ],
)  # fmt: skip
async def test_a_body_that_is_no_json_is_a_bad_request(shop: Shopfront, body: bytes) -> None:
    """Whatever the bytes, the answer is 400 or 422 and nothing is written."""
    response = await shop.post("/v1/orders", body, who="client")
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert await shop.head() == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "it is empty, and must be a JSON object"),
        (b" \n", "it is empty, and must be a JSON object"),
        (b'{"lines":', "it is incomplete: a bracket, a quote or the second half of a \\u escape is missing"),
        (
            b'{"stream_id":"\\ud800"}',
            "it is incomplete: a bracket, a quote or the second half of a \\u escape is missing",
        ),
        (b'{"stream_id":"\xff"}', "it is not UTF-8"),
        (b"nonsense", "JSON is malformed: invalid character (byte 4)"),
    ],
)
async def test_why_a_body_is_no_json_is_said_in_words(shop: Shopfront, body: bytes, told: str) -> None:
    """Whoever forgot the body, or sent half of it, reads so."""
    assert problem(await shop.post("/v1/orders", body, who="client"), 400, "malformed_body")["problem"] == told


async def test_the_last_of_two_equal_fields_counts(shop: Shopfront) -> None:
    """A field that is written twice is no fault of ours; the last one is taken, as every JSON reader does."""
    stream_id, listing_id = await shop.open()
    first = f'{{"stream_id":"stream-x","stream_id":"{stream_id}",'
    body = f'{first}"lines":[{{"listing_id":"{listing_id}","quantity":9,"quantity":2}}]}}'
    placed = await shop.must("/v1/orders", body.encode(), who="buyer")
    assert placed["lines"][0]["quantity"] == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "zero\x00byte"}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "the end\n"}, "title"),
        ({"title": "  "}, "title"),
        ({"title": "\u3000\u200b"}, "title"),
        ({"title": "next\u0085line"}, "title"),
        ({"title": "turned \u202eevil"}, "title"),
        ({"title": "apart \u2067evil"}, "title"),
        ({"host_id": "a b"}, "host_id"),
        ({"brand_id": ""}, "brand_id"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "XXX"}, "currency"),  # ISO 4217: no currency
        ({"scheduled_at": "2030-01-01T20:00:00"}, "scheduled_at"),
        ({"scheduled_at": "tomorrow"}, "scheduled_at"),
        ({"scheduled_at": 1893528000}, "scheduled_at"),
        ({"scheduled_at": "0001-01-01T00:00:00+23:59"}, "scheduled_at"),
        ({"scheduled_at": "9999-12-31T23:59:59-23:59"}, "scheduled_at"),
        ({"terms": {"rate_bps": 1000}}, "terms.hold_days"),
        ({"terms": {"rate_bps": 10_001, "hold_days": 1}}, "terms.rate_bps"),
        ({"terms": {"rate_bps": 1000, "hold_days": 3651}}, "terms.hold_days"),
        ({"terms": {"rate_bps": 1000, "hold_days": 1, "shares": [{"payee_id": "a", "share_bps": 1}]}}, "terms.shares"),
    ],
)
async def test_a_show_that_makes_no_sense_says_where(shop: Shopfront, changes: dict[str, Any], field: str) -> None:
    """Texts, ids, times, currencies and rates are checked before anything is decided."""
    refused = problem(await shop.post("/v1/streams", SHOW | changes), 422, "invalid")
    assert refused["field"] == field
    assert await shop.head() == 0


@pytest.mark.parametrize(
    "title",
    [
        "Ünïcode & Co.",
        "春のルック",
        "Весна",
        "مرحبا \u200fبكم",
        "نمی\u200cشود",
        "नमस्ते",
        "Family 👨\u200d👩\u200d👧 🏴\U000e0067\U000e007f",
        "·",
    ],
)
async def test_a_title_may_be_in_any_language(shop: Shopfront, title: str) -> None:
    """Letters, signs, pictures and the joiners that some scripts need are taken and told as they came."""
    assert (await shop.must("/v1/streams", SHOW | {"title": title}))["title"] == title


async def test_what_viewers_read_says_something(shop: Shopfront) -> None:
    """Teasers may have several lines; they, and a product's name, are held to the rest."""
    stream_id = await shop.schedule()
    assert (await shop.must(f"/v1/streams/{stream_id}/teasers", {"text": "Two\nlines\n"}))["teasers"] == [
        "Two\nlines\n"
    ]
    for text in ("\n \n", "turned \u202eevil", "\x1b[31mred"):
        refused = await shop.post(f"/v1/streams/{stream_id}/teasers", {"text": text})
        assert problem(refused, 422, "invalid")["field"] == "text"
    for name in ("sku", "title"):
        refused = await shop.post(f"/v1/streams/{stream_id}/listings", LISTING | {name: " \u2066"})
        assert problem(refused, 422, "invalid")["field"] == name


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price": eur(-1)}, "price.amount_minor"),
        ({"price": eur(MAX_MINOR + 1)}, "price.amount_minor"),
        ({"price": {"amount_minor": 100, "currency": "USD"}}, "price.currency"),
        ({"price": 100}, "price"),
        ({"price": {"amount_minor": 19.99, "currency": "EUR"}}, "price.amount_minor"),
        ({"allotment": -1}, "allotment"),
        ({"hold_seconds": 0}, "hold_seconds"),
        ({"hold_seconds": 86_401}, "hold_seconds"),
        ({"purchase_limit": 0}, "purchase_limit"),
        ({"closes_at": "2030-01-02T00:00:00Z"}, "opens_at"),
        ({"countdown_seconds": 10}, "opens_at"),
        ({"opens_at": "2030-01-02T00:00:00Z", "closes_at": "2030-01-01T00:00:00Z"}, "closes_at"),
        ({"discount": {"ends_at": "2030-01-02T00:00:00Z"}}, "discount"),
        ({"discount": {"ends_at": "2030-01-02T00:00:00Z", "percent_bps": 0}}, "discount.percent_bps"),
        ({"components": [{"listing_id": "stream-1"}]}, "components[0].listing_id"),
    ],
)
async def test_a_listing_that_makes_no_sense_says_where(shop: Shopfront, changes: dict[str, Any], field: str) -> None:
    """Prices, counts, periods and discounts are checked, here or by the rules behind, and nothing is written."""
    stream_id = await shop.schedule()
    head = await shop.head()
    refused = problem(await shop.post(f"/v1/streams/{stream_id}/listings", LISTING | changes), 422, "invalid")
    assert refused["field"] == field
    assert await shop.head() == head


async def test_a_large_body_is_refused_unread(shop: Shopfront) -> None:
    """More than a mebibyte is 413, whether its length is told beforehand or not."""
    body = b'{"a":"' + b"x" * 1_048_576 + b'"}'
    assert problem(await shop.post("/v1/orders", body), 413, "body_too_large")["limit_bytes"] == 1_048_576

    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 100_000

    headers = {**shop.token("admin"), "Idempotency-Key": "1", "content-type": "application/json"}
    problem(await shop.http.post("/v1/orders", content=chunks(), headers=headers), 413, "body_too_large")


@pytest.mark.parametrize("length", ["1", "3", "030"])
async def test_a_body_has_the_length_that_it_says(shop: Shopfront, length: str) -> None:
    """What came is not what was sent: it is refused, and not read as what it happens to be."""
    stream_id = await shop.schedule()
    before = await shop.head()
    refused = await shop.post(f"/v1/streams/{stream_id}/start", b"{}", content_length=length)
    assert problem(refused, 400, "bad_request")["problem"].startswith("the body has 2 bytes")
    assert await shop.head() == before
    assert (await shop.post(f"/v1/streams/{stream_id}/start", b"{}", content_length="002")).status_code == 200


async def test_a_body_is_json(shop: Shopfront) -> None:
    """Another media type is 415; JSON with its charset is fine."""
    stream_id, listing_id = await shop.open()
    order = {"stream_id": stream_id, "lines": [{"listing_id": listing_id, "quantity": 1}]}
    response = await shop.post("/v1/orders", order, who="buyer", content_type="text/plain")
    problem(response, 415, "unsupported_media_type")
    response = await shop.post("/v1/orders", order, who="buyer", content_type="application/json; charset=utf-8")
    assert response.status_code == 201


async def test_an_endpoint_that_needs_no_body_refuses_one_it_does_not_know(shop: Shopfront) -> None:
    """Nothing and ``{}`` are fine; a field is a misunderstanding."""
    stream_id = await shop.schedule()
    problem(await shop.post(f"/v1/streams/{stream_id}/start", {"now": True}), 422, "invalid")
    assert (await shop.post(f"/v1/streams/{stream_id}/start", {})).status_code == 200
    assert (await shop.post(f"/v1/streams/{stream_id}/start")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/streams/stream-1%00", "/v1/streams/listing-1", "/v1/streams/..", "/v1/streams/stream-" + "x" * 200,
        "/v1/streams/%FF", "/v1/listings/listing-%E2%82%AC", "/v1/orders/order-1%0A", "/v1/orders/stream-1",
        "/v1/streams/stream-1/leaderboards/unknown",
    ],
)  # fmt: skip
async def test_an_id_that_cannot_be_one_is_not_found(shop: Shopfront, path: str) -> None:
    """The journal is not even asked."""
    problem(await shop.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("after=-1", "after"),
        ("after=1.5", "after"),
        ("after=99999999999999999999", "after"),
        ("after=null", "after"),
        ("unknown=1", "unknown"),
        ("limit=1&limit=2", "limit"),
    ],
)
async def test_a_query_that_makes_no_sense_says_where(shop: Shopfront, query: str, field: str) -> None:
    """Query parameters are checked like bodies."""
    assert problem(await shop.get(f"/v1/journal?{query}"), 422, "invalid")["field"] == field


@pytest.mark.parametrize("cursor", ["nonsense", "WyJcdTAwMDAiXQ", "W10", "Ww", "WzFd", "%00", "bnVsbA"])
async def test_a_cursor_is_one_that_we_gave(shop: Shopfront, cursor: str) -> None:
    """A cursor that nobody was given is refused, whatever is in it."""
    problem(await shop.get(f"/v1/streams?cursor={cursor}"), 422, "invalid")


async def test_what_is_asked_of_a_text_is_said_in_words(shop: Shopfront) -> None:
    """Nobody has to read a regular expression."""
    body = {**SHOW, "currency": "eur"}
    told = problem(await shop.post("/v1/streams", body, who="brand"), 422, "invalid")
    assert told["problem"] == "must be three capital letters of ISO 4217, such as EUR"
    told = problem(await shop.get("/v1/orders?cursor=%3F%3F", who="client"), 422, "invalid")
    assert told["problem"] == "must be the next_cursor of the page before"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ([], "the body must be an object, not a list"),
        ({}, "stream_id: is needed"),
        (line() | {"gift": True}, "gift: is not known here: leave it out, or correct its name"),
        (line(quantity="1"), "lines[0].quantity: must be a whole number, not text"),
        (line(quantity=0), "lines[0].quantity: must be at least 1"),
        (line(quantity=10**9 + 1), "lines[0].quantity: must be at most 1000000000"),
        (
            line(unit_price_minor=1.0),
            "lines[0].unit_price_minor: must be a whole number or null, not a number with a point or an exponent",
        ),
        (line() | {"lines": []}, "lines: must have at least 1 entry"),
        (line() | {"lines": {}}, "lines: must be a list, not an object"),
        (line(listing_id="listing-" + "x" * 57), "lines[0].listing_id: must have at most 64 characters"),
    ],
)
async def test_what_is_wrong_with_an_order_is_said_in_words(shop: Shopfront, body: Any, detail: str) -> None:
    """Nobody has to know what reads the bytes here."""
    assert problem(await shop.post("/v1/orders", body, who="client"), 422, "invalid")["detail"] == detail


async def test_a_number_that_no_number_can_hold_is_said_to_be_one(shop: Shopfront) -> None:
    """Alone or in a field."""
    told = problem(await shop.post("/v1/orders", b"1e999", who="client"), 422, "invalid")
    assert told["detail"] == "the body is a number out of range"
    told = problem(await shop.post("/v1/orders", b'{"stream_id": 1e999}', who="client"), 422, "invalid")
    assert told["detail"] == "stream_id: is a number out of range"


async def test_a_correction_corrects_something(shop: Shopfront) -> None:
    """Nothing is neither too many nor too few."""
    _, listing_id = await shop.open()
    refused = await shop.post(f"/v1/listings/{listing_id}/adjust", {"delta": 0, "reason": "count"})
    assert problem(refused, 422, "invalid")["detail"] == "delta: must not be 0"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"title": ""}, "must have at least 1 character"),
        ({"scheduled_at": 1893528000}, "must be a time in RFC 3339, not a whole number"),
        ({"scheduled_at": "tomorrow"}, "must be a time in RFC 3339"),
        ({"scheduled_at": "2030-01-01T20:00:00"}, "must say its offset from UTC"),
        ({"scheduled_at": "0001-01-01T00:00:00+23:59"}, "must be between 2000 and 2200"),
    ],
)
async def test_what_is_wrong_with_a_show_is_said_in_words(shop: Shopfront, changes: dict[str, Any], told: str) -> None:
    """Times and titles too."""
    assert problem(await shop.post("/v1/streams", SHOW | changes, who="brand"), 422, "invalid")["problem"] == told


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/payouts?payee_id=host-1", "currency: is needed"),
        ("/v1/journal?foo=1", "foo: is not known here: leave it out, or correct its name"),
        ("/v1/journal?limit=many", "limit: must be a whole number"),
        ("/v1/journal?limit=1&limit=2", "limit: is given twice"),
        (
            "/v1/streams?status=over",
            "status: must be all, cancelled, ended, interrupted, live, running or scheduled",
        ),
    ],
)
async def test_what_is_wrong_with_a_query_is_said_in_words(shop: Shopfront, path: str, detail: str) -> None:
    """In a query all is text: what was given instead goes without saying."""
    assert problem(await shop.get(path), 422, "invalid")["detail"] == detail


def shapes(kind: Any) -> Iterator[msgspec.inspect.StructType]:
    """Walk over the shapes inside a shape."""
    match kind:
        case msgspec.inspect.StructType():
            yield kind
            for field in kind.fields:
                yield from shapes(field.type)
        case msgspec.inspect.UnionType():
            for each in kind.types:
                yield from shapes(each)
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            yield from shapes(kind.item_type)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[f"{each.method} {each.path}" for each in ENDPOINTS])
def test_what_may_be_chosen_stands_in_the_outermost_shape(endpoint: Any) -> None:
    """There the words for a wrong choice are looked up."""
    for shape in (endpoint.body, endpoint.query, PaymentNews):
        _, *inner = shapes(msgspec.inspect.type_info(shape)) if shape else (None,)
        fields = [field for each in inner for field in each.fields]
        assert not [field.name for field in fields if isinstance(field.type, msgspec.inspect.LiteralType)]


def texts(kind: Any) -> Iterator[msgspec.inspect.StrType]:
    """Walk over the texts that a shape is made of."""
    match kind:
        case msgspec.inspect.StrType():
            yield kind
        case msgspec.inspect.StructType():
            for field in kind.fields:
                yield from texts(field.type)
        case msgspec.inspect.UnionType():
            for each in kind.types:
                yield from texts(each)
        case msgspec.inspect.Metadata():
            yield from texts(kind.type)
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            yield from texts(kind.item_type)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[f"{each.method} {each.path}" for each in ENDPOINTS])
def test_every_pattern_has_its_words(endpoint: Any) -> None:
    """Whatever a text must look like can be said."""
    for shape in (endpoint.body, endpoint.query, PaymentNews):
        for text in texts(msgspec.inspect.type_info(shape)):
            assert text.pattern is None or repr(text.pattern) in WORDS
