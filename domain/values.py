"""Values: classes whose instances never change.

``frozen`` is attrs' own to every type checker, so assigning to a field of a value is an error that ``make lint``
finds; ``tests/test_house.py`` finds what hides behind ``Any``. When the program runs it makes plain classes that hash
by value: guarding each field against assignment costs three quarters of an ``__init__``, and with some twenty-five
values an order that was a sixth of the till's time. See T. Tvrtković, "Zero-overhead frozen attrs classes" (2022). In
Python's development mode (``python -X dev``) they are guarded.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.flags.dev_mode:
    from attrs import frozen
else:
    from attrs import define

    def frozen(maybe_class: type | None = None, **options: Any) -> Any:
        """Make a class of values; what is compared by content can be a key."""
        if options.get("eq", True):
            options.setdefault("unsafe_hash", True)
        return define(maybe_class, **options)


__all__ = ["frozen"]
