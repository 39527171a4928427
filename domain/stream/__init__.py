"""A stream: a live show of one brand, presented by a host.

It protects who may say what when: sales happen only while it is on air, at most three listings are pinned, terms are
cut only after their notice, and a show that ended may come back for two hours. What viewers do (comments, likes,
joins) is unbounded and no part of it, but for samples.

States: ``scheduled → live ⇄ interrupted → ended``, ``cancelled`` from scheduled, ``ended → live`` as a restart.
"""

from typing import Final

from domain.decider import Decider
from domain.stream.commands import Command
from domain.stream.events import Event
from domain.stream.rules import decide
from domain.stream.state import Stream, evolve

STREAM: Final = Decider[Stream, Command, Event](Stream(), decide, evolve)
