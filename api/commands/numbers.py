"""Numbers as options, refused in words: click's own say "not a valid integer range", and take NaN for a number."""

import math
from typing import Any

import rich_click as click


class WholeNumber(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it; wrong usage when it is none, or out of bounds."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value} is no whole number {_within(self)}", param, ctx)


class Number(click.FloatRange):
    """A finite number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it; wrong usage when it is none, or out of bounds."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{value} is no number {_within(self)}", param, ctx)
        return number


def _within(bounds: click.IntRange | click.FloatRange) -> str:
    """Say in words what is allowed."""
    least = f"above {bounds.min}" if bounds.min_open else f"from {bounds.min}"
    return least if bounds.max is None else f"{least} to {bounds.max}"
