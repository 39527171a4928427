"""A request as a controller sees it: who asks, what is looked at, and the ticket for the till."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import define

from api import access, idempotency
from api.auth import Forbidden, Principal, Role, Unauthenticated
from api.fields import utc
from api.params import ReadQuery
from api.problems import MalformedIfMatch, PositionNotReached
from api.services import Services
from application.desk import Versioned
from application.tickets import Command, Ticket, Verdict
from domain.ids import PSEUDONYM
from domain.listing.state import Listing
from domain.refusal import Invalid, NotFound
from domain.values import frozen
from projections.store import Tables

WAIT_SECONDS: Final = 5.0
_TAG: Final = re.compile(rb'(?P<weak>W/)?"(?P<version>[0-9]{1,15})"')
_ID: Final = re.compile(r"(stream|listing|order)-[A-Za-z0-9_-]{1,57}")


@frozen
class Seen:
    """Something that was looked at: its id, state and version."""

    id: str
    state: Any
    version: int


@define
class Ask:
    """A request, as a controller sees it."""

    services: Services
    method: str
    path: str
    headers: Mapping[bytes, bytes]
    parameters: Mapping[str, str]
    now: datetime
    """When it arrived: the instant it is judged by."""
    raw: bytes = b""
    who: Principal | None = None
    key: str | None = None
    edits: bool = False
    command_id: str = ""
    replayed: bool = False
    position: int | None = None
    trace_id: str = ""

    @property
    def principal(self) -> Principal:
        """Who asks; only for endpoints that need a token."""
        if self.who is None:
            raise Unauthenticated(
                "send the header Authorization: Bearer TOKEN, with a token as livetill token prints it"
            )
        return self.who

    # writing

    async def ring(self, command: Command, *, edits: bool | None = None) -> Verdict:
        """Have the till ring a command up; raises its refusal."""
        verdict = await self.services.till.ring_up(self.ticket(command, edits=edits))
        return self.accept(verdict)

    def accept(self, verdict: Verdict) -> Verdict:
        """Note what the answer's headers need of a verdict; raise its refusal."""
        self.replayed = verdict.replayed
        if verdict.events:
            self.position = verdict.position
        if verdict.refusal is not None:
            raise verdict.refusal
        return verdict

    async def told(self, verdict: Verdict, history_id: str) -> Seen:
        """Return what a command was about as its verdict left it; looked up when the till has let go of it."""
        if verdict.state is not None:
            return Seen(history_id, verdict.state, verdict.version)
        return await self.seen(history_id, history_id.partition("-")[0])

    def ticket(self, command: Command, *, edits: bool | None = None) -> Ticket:
        """Return the ticket of this request."""
        keyed = self.key is not None
        return Ticket(
            command=command,
            actor=self.principal.actor,
            command_id=self.command_id,
            ingress_at=self.now,
            keyed=keyed,
            fingerprint=idempotency.fingerprint(self.method, self.path, self.raw) if keyed else "",
            if_match=self._if_match() if (self.edits if edits is None else edits) else None,
        )

    def _if_match(self) -> tuple[int, ...] | None:
        """Return the versions that may be edited; None for any. A weak tag stands for none (RFC 9110, 13.1.1)."""
        header = self.headers.get(b"if-match")
        if header is None or header == b"*":
            return None
        tags = [_TAG.fullmatch(tag.strip()) for tag in header.split(b",")]
        if None in tags:
            raise MalformedIfMatch
        return tuple(int(tag["version"]) for tag in tags if tag and not tag["weak"])

    def part(self, key: str, raw: bytes) -> "Ask":
        """Return a part of this request that is a request in its own right, with a key and bytes of its own."""
        return Ask(
            self.services, self.method, self.path, self.headers, self.parameters, self.now, raw, self.who, key,
            command_id=idempotency.command_id(self.principal.actor, key), trace_id=self.trace_id,
        )  # fmt: skip

    # looking

    async def seen(self, history_id: str, kind: str) -> Seen:
        """Return the newest state of something; ``NotFound`` when there is none, or its id cannot be one."""
        if not _is_id(kind, history_id):
            raise NotFound(kind, history_id)
        return _existing(kind, history_id, await self.services.till.look(history_id))

    async def known(self, history_id: str, kind: str) -> Seen:
        """Return a state of something that may be older than the newest: it says whose it is, which never changes."""
        if not _is_id(kind, history_id):
            raise NotFound(kind, history_id)
        return _existing(kind, history_id, await self.services.till.glance(history_id))

    async def stream(self, allowed: access.OfShow | None = None) -> Seen:
        """Return the show of the path, if this principal may do this to it."""
        show = await self.seen(self.parameters["stream_id"], "stream")
        self.require(allowed is None or allowed(self.principal, show.state))
        return show

    async def listing(self, allowed: access.OfShow | None = None) -> Seen:
        """Return the listing of the path, if this principal may do this to listings of its show."""
        listing_id = self.parameters["listing_id"]
        if allowed is None:
            return await self.seen(listing_id, "listing")
        found = await self.known(listing_id, "listing")
        if self.principal.role is not Role.ADMIN:
            show = await self.known(found.state.offer.stream_id, "stream")
            self.require(allowed(self.principal, show.state))
        return found

    async def parts(self, look: Listing, position: int | None = None) -> dict[str, Listing]:
        """Return the listings that a look is made of, as of a position or of now."""
        till, found = self.services.till, dict[str, Listing]()
        for part in look.offer.components:
            if position is None:
                then = await till.look(part.listing_id)
            else:
                then = await till.histories.at_position(self.services.journal, part.listing_id, position)
            found[part.listing_id] = then.state
        return found

    async def order(self, allowed: access.OfOrder, *, newest: bool = False) -> Seen:
        """Return the order of the path, if this principal may do this to it; its newest state if that is needed."""
        look = self.seen if newest else self.known
        found = await look(self.parameters["order_id"], "order")
        show = await self.known(found.state.stream_id, "stream")
        self.require(allowed(self.principal, found.state, show.state))
        return found

    def require(self, allowed: bool) -> None:
        """Refuse what this principal is not allowed to do."""
        if not allowed:
            raise Forbidden(self.principal.role.value)

    def named(self, parameter: str) -> str:
        """Return a name of the path that clients gave; ``NotFound`` when it cannot be one."""
        name = self.parameters[parameter]
        if not PSEUDONYM.fullmatch(name):
            raise NotFound(parameter.removesuffix("_id"), name)
        return name

    # reading at a position

    async def of(self, found: Seen, kind: str, query: ReadQuery) -> tuple[Seen, int]:
        """Return something as of the position that the query names, or as of now, with the position it is true at."""
        wanted = await self._min_position(query)
        position = await self.as_of(query)
        if position is None:
            return await self._as_of_now(found, kind, wanted)
        histories = self.services.till.histories
        then = await histories.at_position(self.services.journal, found.id, position)
        return _existing(kind, found.id, then), position

    async def _as_of_now(self, found: Seen, kind: str, wanted: int) -> tuple[Seen, int]:
        """Look again; what has been seen of the journal before, the look does not lack.

        If it finds more than was known then, it is true from its own last record on.
        """
        known = max(wanted, self.services.till.histories.position)
        now = await self.seen(found.id, kind)
        if now.version == found.version:
            return now, known
        [last] = await self.services.journal.at(now.id, [now.version])
        return now, max(known, last.position)

    async def tables(self, query: ReadQuery) -> Tables:
        """Return the read models as of the position that the query names, or those of now."""
        wanted = await self._min_position(query)
        position = await self.as_of(query)
        if position is not None:
            return await self.services.tables_at(position)
        if wanted and not await self.services.wait_for(wanted, WAIT_SECONDS):
            raise PositionNotReached(wanted, 1)
        return self.services.tables

    async def as_of(self, query: ReadQuery) -> int | None:
        """Return the position that a query's ``as_of`` means; None when it has none."""
        if query.as_of is None:
            return None
        self.require(self.principal.role in access.PAST_READERS)
        if query.as_of.isascii() and query.as_of.isdigit():
            position = int(query.as_of[:19])
            await self._require_written("as_of", position)
            return position
        return await self.services.journal.position_at(self._instant(query.as_of))

    def _instant(self, text: str) -> datetime:
        """Read a time; a plus sign that was not escaped has become a space on the way."""
        try:
            read = datetime.fromisoformat(text.replace(" ", "+").upper())
            instant = utc(read)
        except (ValueError, OverflowError):
            raise Invalid("as_of", "must be a position or a time in RFC 3339") from None
        if read.tzinfo is None:
            raise Invalid("as_of", "must say its offset from UTC")
        if instant > self.services.till.now() + timedelta(seconds=1):
            raise Invalid("as_of", "must not be in the future")
        return instant

    async def _min_position(self, query: ReadQuery) -> int:
        """Return the position that the answer must know of, 0 for any; one that nobody was told of is a mistake."""
        header = self.headers.get(b"livetill-min-position")
        wanted = query.min_position
        if header is not None:
            if not header.isdigit() or len(header) > 15:  # noqa: PLR2004 - more digits than any position has
                raise Invalid("Livetill-Min-Position", "must be a position")
            wanted = max(wanted, int(header))
        if wanted:
            await self._require_written("min_position", wanted)
        return wanted

    async def _require_written(self, name: str, position: int) -> None:
        head = await self.services.journal.head()
        if position > head:
            raise Invalid(name, f"must be at most {head}, the last position of the journal")


def _existing(kind: str, history_id: str, found: Versioned) -> Seen:
    if not found.version:
        raise NotFound(kind, history_id)
    return Seen(history_id, found.state, found.version)


def _is_id(kind: str, text: str) -> bool:
    found = _ID.fullmatch(text)
    return found is not None and found[1] == kind
