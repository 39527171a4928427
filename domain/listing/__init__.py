"""A listing: a product offered in a show, the hot aggregate. It protects the units.

No unit is promised twice: demand is summed per command, expired holds are released before judging, and the ledger in
``domain.listing.units`` is kept by moves. The price a buyer got at reservation stands until the hold ends.

States: ``draft → scheduled → countdown → open ⇄ sold_out → closed``, ``withdrawn``; a new window has a new number. A
look (a bundle) has a price and a window but no units of its own: it reserves those of its components.
"""

from typing import Final

from domain.decider import Decider
from domain.listing.commands import Command
from domain.listing.events import Event
from domain.listing.rules import decide
from domain.listing.state import Listing, evolve

LISTING: Final = Decider[Listing, Command, Event](Listing(), decide, evolve)
