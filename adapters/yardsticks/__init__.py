"""What one would use instead of livetill, to be measured beside it: ``python -m adapters.yardsticks NAME …``.

Each runs in a process of its own and prints one JSON document. So the shop's process stays as it is without them: the
``eventsourcing`` library changes ``dataclasses`` for all it is imported into, and UmaDB's client starts threads.
"""
