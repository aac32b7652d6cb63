"""Numbers as people read them, in tables, reports and figures: a true minus, no negative zero, a dash for none."""

from __future__ import annotations

from math import isnan

NONE = "–"


def number(value: float, decimals: int = 2) -> str:
    """Rounded to so many decimals."""
    if isnan(value):
        return NONE
    # Adding 0 after rounding turns a negative zero into a plain one.
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}".replace("-", "−")


def percent(share: float, decimals: int = 0) -> str:
    """A share as so many hundredths."""
    return NONE if isnan(share) else f"{number(100 * share, decimals)}%"
