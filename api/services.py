"""What the edge works with: the rooms behind it, put together by ``compose`` and handed to every handler."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from attrs import define, field

from application.payments import Cashier
from application.ports import Announcer, Journal, Parking, Wire
from application.till import Till
from domain.values import frozen
from projections.store import Feed, Store, Tables


@frozen
class Settings:
    """How a server is started; secrets come from the environment or from files in the data directory."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".livetill")
    database_url: str | None = None
    """None: the PostgreSQL that comes along, in the data directory."""
    nats_url: str | None = None
    """None: the NATS that comes along, in the data directory."""
    jwt_secret: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    """Of Standard Webhooks: ``whsec_`` and base64."""


@define
class Services:
    """The running shop, as the edge sees it."""

    settings: Settings
    journal: Journal
    feed: Feed
    """The journal, for those who follow it."""
    wire: Wire
    till: Till
    cashier: Cashier
    tables: Store
    """The read models of now."""
    tables_at: Callable[[int], Awaitable[Tables]]
    """The read models as of a position, replayed from the journal."""
    wait_for: Callable[[int, float], Awaitable[bool]]
    """Wait until the read models have a position; False when they did not in so many seconds."""
    announcer: Announcer
    parking: Parking
    gauges: Callable[[], Mapping[str, float]]
    """What is measured now: name of the metric without its prefix, and its value."""
    ready: Callable[[], Awaitable[Mapping[str, str]]]
    """What is wrong now, by part; empty when all is well."""
