"""Times and spans as people read and write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from musicrec.errors import ConfigError

_UNITS = {"m": 60, "h": 3600, "d": 86400}


def told_time(at: datetime | None) -> str:
    """Return a time in UTC to the minute; "?" where it is not known."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if at else "?"


def told_age(seconds: float) -> str:
    """Return a span in the unit that fits it."""
    for unit, n in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * n:
            return f"{seconds / n:.0f} {unit}"
    return f"{seconds:.0f} s"


def span_of(text: str) -> float:
    """Return the seconds of a span such as 90m, 26h or 2d.

    Raises
    ------
    ConfigError
        It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if not found or not float(found[1]):
        raise ConfigError(f"no span of time: {text!r}", todo="write 90m, 26h or 2d")
    return float(found[1]) * _UNITS[found[2]]
