"""An order: what a buyer asked for in a show, and what became of it. It protects the buyer's money.

Facts are kept per line (ordered, cancelled, returned, refunded) and for the money (captured, refunded, per payment);
the status is derived from them. A payment that cannot be served any more is recorded and returned in the same breath:
never kept silently. Refunds are bounded here, line by line, so two at once cannot both pass.

``placed → paid → shipped → delivered → completed``, with refused, expired, payment_failed, cancelled,
partially_refunded and refunded. Buyers are pseudonyms; personal data lives elsewhere.
"""

from typing import Final

from domain.decider import Decider
from domain.order.commands import Command
from domain.order.events import Event
from domain.order.rules import decide
from domain.order.state import Order, evolve

ORDER: Final = Decider[Order, Command, Event](Order(), decide, evolve)
