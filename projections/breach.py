"""What an auditor is told when the journal is not what it must be: where, which rule, and what was found."""

from domain.values import frozen


@frozen
class Breach:
    """The first place at which a rule does not hold."""

    position: int
    rule: str
    found: str


class BreachError(Exception):
    """A rule does not hold at a position of the journal."""

    def __init__(self, position: int, rule: str, found: str) -> None:
        super().__init__(f"position {position}: {rule}: {found}")
        self.breach = Breach(position, rule, found)


RULES = {
    "dense": "positions are 1, 2, 3 … without a gap",
    "time": "no record is recorded before the one in front of it",
    "version": "the versions of each history are 1, 2, 3 … without a gap",
    "readable": "every record can be read, and is of its history's aggregate",
    "fold": "every history begins once, and folds through its decider",
    "command": "a command's records stand together under one envelope, and its id is used once",
    "causation": "what is reacted to lies before the reaction",
    "arrival": "orders for one listing stand in the order in which they reached their till",
    "units": "every unit is in one bucket, no bucket is negative, and no more is missing than is promised",
    "lines": "what is ordered, paid, sent or given up is reserved, sold, sent or taken back by its command, no more",
    "offer": "an order is of a show that sells, by its host, terms and currency, for what its listings sold then",
    "sold_out": "who was told that it is sold out had asked for more than there was",
    "captured": "what was captured is what was due, once, line by line",
    "deadlines": "what is held stays so until its time or its order's word, goods return by terms, told times are true",
    "refunds": "no more went back than had come in, to where it came from, and what buys nothing goes back at once",
    "commission": "it follows from its order, by the terms of the sale and its own rules, and shares sum to it",
}
"""Every rule that is verified, by its name."""
