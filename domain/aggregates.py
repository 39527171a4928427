"""All aggregates, by the kind that the ids of their histories begin with."""

from collections.abc import Mapping
from typing import Any, Final

from domain import ids
from domain.commission import COMMISSION
from domain.decider import Decider
from domain.listing import LISTING
from domain.order import ORDER
from domain.presence import PRESENCE
from domain.stream import STREAM

DECIDERS: Final[Mapping[str, Decider[Any, Any, Any]]] = {
    ids.STREAM: STREAM,
    ids.LISTING: LISTING,
    ids.ORDER: ORDER,
    ids.COMMISSION: COMMISSION,
    ids.PRESENCE: PRESENCE,
}
