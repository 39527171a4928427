"""The fields that requests are made of: shapes of names, texts, amounts and times.

Texts hold something to read and no control characters (PostgreSQL cannot store a zero byte), nor what turns the writing
direction of what follows around; numbers fit into what every JSON reader holds exactly, and every time has its offset.
"""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from domain.money import BPS, MAX_MINOR

END = r"(?!\n)$"
"""The very end: alone, ``$`` would let a last newline through."""
MAX_QUANTITY = 10**9
MAX_ORDERS = 100
MAX_SECONDS = 604_800
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

WORDS: dict[str, str] = {}
"""What a pattern asks for, as a client is told; by the pattern as msgspec writes it."""


def worded(pattern: str, words: str) -> str:
    """Return a pattern, having noted what it asks for."""
    WORDS[repr(pattern)] = words
    return pattern


EXAMPLE_LISTING = "listing-0198c5d2a0007b1e8f3a5c6d7e8f9a0b"

NAME = worded(r"^[A-Za-z0-9_-]{1,64}" + END, "must be 1 to 64 letters, digits, _ or -")
STREAM_NAME = worded(r"^stream-[A-Za-z0-9_-]{1,57}" + END, "must be the id of a stream: stream-…")
LISTING_NAME = worded(r"^listing-[A-Za-z0-9_-]{1,56}" + END, "must be the id of a listing: listing-…")
ORDER_NAME = worded(r"^order-[A-Za-z0-9_-]{1,58}" + END, "must be the id of an order: order-…")
LINE_NUMBER = worded(r"^[0-9]{1,6}" + END, "must be a line's number in digits, at most 6")
PLAIN = worded(r"^[^\u0000-\u001f\u007f]*" + END, "must hold no control characters, no line breaks either")
_TURNS = r"\u202a-\u202e\u2066-\u2069"
"""Characters that override the direction of writing, or embed another; each letter has its own without them."""
_HIDDEN = r"\u007f-\u009f\u2028\u2029" + _TURNS
_UNSEEN = r"\s\u00ad\u200b-\u200f\u2060-\u2064\u3164\ufeff"
"""Blanks of every width: alone they are no text."""
_TEXT, _LINE = r"\u0000-\u0008\u000b\u000c\u000e-\u001f" + _HIDDEN, r"\u0000-\u001f" + _HIDDEN
READABLE = worded(
    f"^[^{_LINE}]*[^{_LINE}{_UNSEEN}][^{_LINE}]*" + END,
    "must hold something to read, and no control characters, line breaks or marks that turn the writing direction",
)
READABLE_LINES = worded(
    f"^[^{_TEXT}]*[^{_TEXT}{_UNSEEN}][^{_TEXT}]*$",
    "must hold something to read, and no control characters or marks that turn the writing direction",
)
VISIBLE = worded(r"^[!-~]+" + END, "must be printable ASCII characters without blanks")
PRINTABLE = worded(r"^[ -~]{1,255}" + END, "must be 1 to 255 printable ASCII characters")
CURRENCY = worded(r"^[A-Z]{3}" + END, "must be three capital letters of ISO 4217, such as EUR")

Name = Annotated[str, Meta(pattern=NAME, max_length=64, examples=["host-7f3a"])]
"""A pseudonym that the client gives: of a host, buyer, brand or payee."""
StreamName = Annotated[str, Meta(pattern=STREAM_NAME, max_length=64)]
ListingName = Annotated[str, Meta(pattern=LISTING_NAME, max_length=64, examples=[EXAMPLE_LISTING])]
OrderName = Annotated[str, Meta(pattern=ORDER_NAME, max_length=64)]
LineNumber = Annotated[str, Meta(pattern=LINE_NUMBER, max_length=6, examples=["1"])]
Line = Annotated[str, Meta(pattern=READABLE, min_length=1, max_length=200, examples=["Red scarf"])]
Text = Annotated[str, Meta(pattern=READABLE_LINES, min_length=1, max_length=2000)]
Reason = Annotated[str, Meta(pattern=READABLE, min_length=1, max_length=200, examples=["goodwill"])]
Token = Annotated[str, Meta(pattern=VISIBLE, min_length=1, max_length=255, examples=["tok_ok"])]
Currency = Annotated[str, Meta(pattern=CURRENCY, max_length=3, examples=["EUR"])]
Amount = Annotated[int, Meta(ge=0, le=MAX_MINOR)]
Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
Units = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
Rate = Annotated[int, Meta(ge=0, le=BPS)]
Seconds = Annotated[int, Meta(ge=0, le=MAX_SECONDS)]
Count = Annotated[int, Meta(ge=0, le=MAX_MINOR)]
Instant = Annotated[datetime, Meta(tz=True, examples=["2030-06-01T20:00:00Z"])]


class Body(Struct, forbid_unknown_fields=True, frozen=True):
    """Refuses what it does not know."""

    def __post_init__(self) -> None:
        """Refuse times beyond any show, with which nothing could be computed."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, datetime) and not EARLIEST <= value < LATEST:
                raise ValueError(f"The field `{name}` must be between {EARLIEST:%Y} and {LATEST:%Y}")


def utc(instant: datetime) -> datetime:
    """Return an instant in UTC."""
    return instant.astimezone(UTC)
