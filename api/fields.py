"""The fields that requests are made of: shapes of names, texts, amounts and times.

Texts hold no control characters (PostgreSQL cannot store a zero byte), numbers fit into what every JSON reader holds
exactly, and every time has its offset.
"""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from domain.money import BPS, MAX_MINOR

END = r"(?!\n)$"
"""The very end: alone, ``$`` would let a last newline through."""
MAX_QUANTITY = 10**9
MAX_LINES = 1000
MAX_ORDERS = 100
MAX_SECONDS = 604_800
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

EXAMPLE_LISTING = "listing-0198c5d2a0007b1e8f3a5c6d7e8f9a0b"

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}" + END, max_length=64, examples=["host-7f3a"])]
"""A pseudonym that the client gives: of a host, buyer, brand or payee."""
StreamName = Annotated[str, Meta(pattern=r"^stream-[A-Za-z0-9_-]{1,57}" + END, max_length=64)]
ListingName = Annotated[
    str, Meta(pattern=r"^listing-[A-Za-z0-9_-]{1,56}" + END, max_length=64, examples=[EXAMPLE_LISTING])
]
OrderName = Annotated[str, Meta(pattern=r"^order-[A-Za-z0-9_-]{1,58}" + END, max_length=64)]
LineNumber = Annotated[str, Meta(pattern=r"^[0-9]{1,6}" + END, max_length=6, examples=["1"])]
PLAIN = r"^[^\u0000-\u001f\u007f]*" + END
Line = Annotated[str, Meta(pattern=PLAIN, min_length=1, max_length=200, examples=["Red scarf"])]
Text = Annotated[str, Meta(pattern=r"^[^\u0000]*$", min_length=1, max_length=2000)]
Reason = Annotated[str, Meta(pattern=PLAIN, min_length=1, max_length=200, examples=["goodwill"])]
Token = Annotated[str, Meta(pattern=r"^[!-~]+" + END, min_length=1, max_length=255, examples=["tok_ok"])]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}" + END, max_length=3, examples=["EUR"])]
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
                raise ValueError(f"{name} must be between {EARLIEST:%Y} and {LATEST:%Y}")


def utc(instant: datetime) -> datetime:
    """Return an instant in UTC."""
    return instant.astimezone(UTC)
