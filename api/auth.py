"""Who is asking: JSON Web Tokens, signed with HMAC-SHA256 and a secret that only this shop's servers share.

A token says a role and a subject. It is checked once and remembered until it expires, for a viewer who taps "buy"
sends the same one again and again. The algorithm is pinned, so a token cannot choose how it is checked.
"""

import time
from enum import StrEnum
from typing import Any, Final

import jwt

from application.cache import Cache
from domain.ids import PSEUDONYM
from domain.refusal import Refusal, refusal
from domain.values import frozen

ALGORITHM: Final = "HS256"
LEEWAY_SECONDS: Final = 30
"""How far the clocks of those who issue and those who check may be apart."""
SECRET_BYTES: Final = 32
"""RFC 7518, section 3.2: a key must be as long as what the hash puts out."""
REMEMBERED: Final = 20_000
LONGEST: Final = 4_096


class Role(StrEnum):
    """What somebody is to the shop."""

    BUYER = "buyer"
    CLIENT = "client"
    """A system that orders for buyers: a shop front, a marketplace."""
    HOST = "host"
    BRAND = "brand"
    FINANCE = "finance"
    AUDITOR = "auditor"
    ADMIN = "admin"


@frozen
class Principal:
    """Who is asking; a host's, brand's or buyer's subject is its id in the shop."""

    role: Role
    subject: str

    @property
    def actor(self) -> str:
        """How the journal names it."""
        return f"{self.role.value}:{self.subject}"


@refusal
class Unauthenticated(Refusal):
    """We need to know who is asking."""

    problem: str


@refusal
class Forbidden(Refusal):
    """This token's role and subject do not allow it."""

    role: str


class WeakSecretError(ValueError):
    """The secret for tokens is missing or so short that it could be guessed."""


class UnknownRoleError(ValueError):
    """There is no such role."""


def issue(role: str, subject: str, ttl: int, secret: str) -> str:
    """Return a token that is good for ``ttl`` seconds from now."""
    if role not in set(Role):
        raise UnknownRoleError(f"There is no role {role}: choose from {', '.join(Role)}")
    if not PSEUDONYM.fullmatch(subject):
        raise ValueError("A subject has 1 to 64 letters, digits, _ or -")
    now = int(time.time())
    claims = {"sub": subject, "role": role, "iat": now, "exp": now + ttl}
    return jwt.encode(claims, strong(secret), algorithm=ALGORITHM)


def strong(secret: str) -> str:
    """Return a secret for tokens; ``WeakSecretError`` when it is too short."""
    if len(secret.encode()) < SECRET_BYTES:
        raise WeakSecretError(f"The secret for tokens must have at least {SECRET_BYTES} bytes")
    return secret


class Authenticator:
    """Tells who sent a request."""

    def __init__(self, secret: str) -> None:
        self._secret = strong(secret)
        self._known: Cache[tuple[Principal, float]] = Cache(REMEMBERED)

    def principal(self, authorization: bytes | None) -> Principal | None:
        """Return who asks; None when no token was sent, ``Unauthenticated`` when it is no good."""
        if authorization is None:
            return None
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("the Authorization header must be: Bearer, a blank and the token")
        token = token.strip()
        known = self._known.get(token)
        if known is not None and time.time() < known[1]:
            return known[0]
        return self._checked(token)

    def _checked(self, token: str) -> Principal:
        if len(token) > LONGEST:
            raise Unauthenticated("the token is too long")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                leeway=LEEWAY_SECONDS,
                options={"require": ["sub", "role", "iat", "exp"]},
            )
            ends = float(claims["exp"]) + LEEWAY_SECONDS
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise Unauthenticated("the token is not valid") from None
        principal = _principal(claims)
        self._known.put(token, (principal, ends))
        return principal


def _principal(claims: dict[str, Any]) -> Principal:
    role, subject = claims["role"], claims["sub"]
    known = isinstance(role, str) and role in set(Role)
    if not known or not PSEUDONYM.fullmatch(subject):
        raise Unauthenticated("the token's role or subject is unknown")
    return Principal(Role(role), subject)
