"""Numbers that exports write as words: keys by their names or on Camelot's wheel, times by the clock."""

from __future__ import annotations

import re
from functools import cache

PITCHES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}
MODES = {"major": 1.0, "maj": 1.0, "dur": 1.0, "minor": 0.0, "min": 0.0, "m": 0.0, "moll": 0.0}
NOTE = r"([a-g])\s*(#|♯|b|♭|sharp|flat|)"
KEY = re.compile(rf"{NOTE}(?:\s*/\s*{NOTE})?\s*[-_]?\s*(major|maj|dur|minor|min|moll|m|)")
CAMELOT = re.compile(r"(1[0-2]|[1-9])\s*([ab])")
CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):([0-5]?\d(?:[.,]\d+)?)")


@cache
def key_and_mode(text: str) -> tuple[int, float | None] | None:
    """Return the pitch class (0 is C) and the mode (1 major, 0 minor; None where it is not said) of a key.

    None where the text is none. "C#", "D♭ minor", "F#m", "A#/Bb", "8B".
    """
    said = " ".join(text.casefold().split())
    if camelot := CAMELOT.fullmatch(said):
        is_major = camelot.group(2) == "b"
        # 8B is C and 8A is A minor; a step on the wheel is a fifth.
        return (7 * (int(camelot.group(1)) - 8) + (0 if is_major else 9)) % 12, float(is_major)
    found = KEY.fullmatch(said)
    if not found:
        return None
    note, sign, other, other_sign, mode = found.groups()
    pitch = (PITCHES[note] + ACCIDENTALS[sign]) % 12
    if other and (PITCHES[other] + ACCIDENTALS[other_sign]) % 12 != pitch:
        return None
    return pitch, MODES.get(mode)


def read_key(text: str) -> float | None:
    """Return the pitch class of a key's name."""
    found = key_and_mode(text)
    return None if found is None else float(found[0])


def read_mode(text: str) -> float | None:
    """Return 1 for a major key and 0 for a minor one, by its name or by that of the mode alone."""
    said = text.strip().casefold()
    if said in MODES:
        return MODES[said]
    found = key_and_mode(text)
    return None if found is None else found[1]


def has_mode(text: str) -> bool:
    """Return whether the name of a key says its mode."""
    found = key_and_mode(text)
    return found is not None and found[1] is not None


def read_clock(text: str) -> float | None:
    """Return the milliseconds of a time by the clock: 3:05 or 1:02:03."""
    found = CLOCK.fullmatch(text.strip())
    if not found:
        return None
    hours, minutes, seconds = found.groups()
    return 1000.0 * (3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", ".")))
