"""A commission: what one payee earns from one order line. It protects the cents.

Rate, base and shares are frozen when it is accrued. What is due is always computed from the whole and rounded once:
``due = share(round(rate * remaining base))``, and a reversal is the difference to what stands. So any sequence of
partial refunds ends exactly where one full refund ends, and the payees' parts always sum to the commission.

States: ``accrued → qualified → locked``, reversed, partially_reversed, held and released, out_of_terms.
"""

from typing import Final

from domain.commission.facts import Command, Event
from domain.commission.rules import Commission, decide, evolve
from domain.decider import Decider

COMMISSION: Final = Decider[Commission, Command, Event](Commission(), decide, evolve)
