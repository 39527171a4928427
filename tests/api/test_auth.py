"""Tokens: who is believed, and for how long."""

import time
from typing import Any

import jwt
import pytest

from api.auth import Authenticator, Principal, Role, UnknownRoleError, WeakSecretError, issue
from tests.api.shopfront import SECRET, Shopfront, problem

CLAIMS: dict[str, Any] = {"sub": "brand-1", "role": "brand", "iat": int(time.time()), "exp": int(time.time()) + 3600}


def bearer(token: str) -> bytes:
    """Return the header's value."""
    return f"Bearer {token}".encode()


def test_a_token_says_who_asks() -> None:
    """What was issued is believed, also when it is shown again."""
    authenticator, token = Authenticator(SECRET), issue("host", "host-1", 60, SECRET)
    for _ in range(2):
        assert authenticator.principal(bearer(token)) == Principal(Role.HOST, "host-1")
    assert authenticator.principal(None) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 60},
        {"iat": int(time.time()) + 3600},
        {"role": "king"},
        {"role": ["admin"]},
        {"sub": "no spaces"},
        {"sub": ""},
        {"sub": None},
        {"exp": None},
        {"exp": 10**400},
        {"exp": "soon"},
        {"iat": None},
        {"nbf": int(time.time()) + 3600},
    ],
)
async def test_a_token_must_be_whole_and_of_now(shop: Shopfront, claims: dict[str, Any]) -> None:
    """Expired, early, nameless and roleless tokens are refused."""
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    header = {"Authorization": f"Bearer {jwt.encode(said, SECRET, algorithm='HS256')}"}
    response = await shop.http.get("/v1/journal", headers=header)
    problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_who_sends_no_token_is_told_how(shop: Shopfront) -> None:
    """In one sentence that can be read: the header, and where a token comes from."""
    told = problem(await shop.get("/v1/journal", who=""), 401, "unauthenticated")["detail"]
    sending = "send the header Authorization: Bearer TOKEN, with a token as livetill token prints it"
    assert told == f"We need to know who is asking: {sending}."


@pytest.mark.parametrize(
    "header",
    [
        "Bearer", "Bearer ", "Bearer a.b.c", "Basic dXNlcjpwYXNz", "Bearer " + "x" * 5000, "\xff\xfe",
        "Bearer " + jwt.encode(CLAIMS, "another secret that is long enough", algorithm="HS256"),
        "Bearer " + jwt.encode(CLAIMS, SECRET * 2, algorithm="HS512"),
        "Bearer " + jwt.encode(CLAIMS, "", algorithm="none"),
    ],
)  # fmt: skip
async def test_a_token_must_be_ours(shop: Shopfront, header: str) -> None:
    """Another secret, another algorithm, none at all, or no token: refused without a reason to try again."""
    response = await shop.http.get("/v1/journal", headers=[(b"authorization", header.encode("latin-1"))])
    problem(response, 401, "unauthenticated")


def test_clocks_may_be_apart_a_little() -> None:
    """A token from a server whose clock is ahead is good, as is one that has just expired."""
    now = int(time.time())
    for claims in ({"iat": now + 20}, {"exp": now - 20}):
        token = jwt.encode(CLAIMS | claims, SECRET, algorithm="HS256")
        assert Authenticator(SECRET).principal(bearer(token)) is not None


def test_a_remembered_token_expires_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a token was good once does not make it good for ever."""
    authenticator, token = Authenticator(SECRET), issue("host", "host-1", 60, SECRET)
    authenticator.principal(bearer(token))
    later = time.time() + 600
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(jwt, "decode", _expired)
    with pytest.raises(Exception, match="expired"):
        authenticator.principal(bearer(token))


def _expired(*_: object, **__: object) -> None:
    raise jwt.ExpiredSignatureError


def test_a_secret_that_could_be_guessed_is_refused() -> None:
    """Neither issuing nor checking works with less than 32 bytes."""
    with pytest.raises(WeakSecretError, match="32 bytes"):
        issue("admin", "me", 60, "short")
    with pytest.raises(WeakSecretError):
        Authenticator("")


def test_tokens_are_issued_for_what_there_is() -> None:
    """An unknown role, or a subject that could be no id, is refused before anybody is given such a token."""
    with pytest.raises(UnknownRoleError, match="buyer"):
        issue("king", "me", 60, SECRET)
    with pytest.raises(ValueError, match="subject"):
        issue("admin", "Jane Doe", 60, SECRET)
