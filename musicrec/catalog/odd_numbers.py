"""Numbers that exports write as words or with a unit: keys, on Camelot's wheel too, times by the clock, 85 %."""

from __future__ import annotations

import re
from functools import cache

PITCHES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
ACCIDENTALS = {"": 0, "#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}
MODES = {"major": 1.0, "maj": 1.0, "dur": 1.0, "minor": 0.0, "min": 0.0, "m": 0.0, "moll": 0.0}
NOTE = r"([a-g])\s*(#|♯|b|♭|sharp|flat|)"
KEY = re.compile(rf"{NOTE}(?:\s*/\s*{NOTE})?\s*[-_]?\s*(major|maj|dur|minor|min|moll|m|)")
CAMELOT = re.compile(r"(1[0-2]|[1-9])\s*([ab])")
MEASURE = re.compile(r"([+\-\u2212]?\d+(?:[.,]\d+)?)\s*(%|bpm|db|ms|s|secs?|seconds)?")
LASTING = re.compile(r"(?:pt)?(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+(?:[.,]\d+)?)\s*s(?:ec)?)?")
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


def read_share(text: str) -> float | None:
    """Return a share of 1 that is written as percent: 85 %."""
    number, unit = _measure(text)
    return None if number is None or unit not in ("%", "") else number / (100.0 if unit else 1.0)


def read_tempo(text: str) -> float | None:
    """Return the beats of a minute: 120 bpm."""
    number, unit = _measure(text)
    return number if unit in ("bpm", "") else None


def read_loudness(text: str) -> float | None:
    """Return decibels: -4.5 dB."""
    number, unit = _measure(text)
    return number if unit in ("db", "") else None


def _measure(text: str) -> tuple[float | None, str]:
    """Return a number and its unit; one without a unit is read here only where its minus is a sign of its own."""
    found = MEASURE.fullmatch(text.strip().casefold())
    if found is None or not (found[2] or "\u2212" in text):
        return None, ""
    return float(found[1].replace("\u2212", "-").replace(",", ".")), found[2] or ""


def read_clock(text: str) -> float | None:
    """Return the milliseconds of a time by the clock, or in words: 3:05, 1:02:03, 3m 5s, PT3M5S, 185 s."""
    said = text.strip().casefold()
    if said.endswith("ms") and (number := _measure(said)[0]) is not None:
        return number
    found = CLOCK.fullmatch(said) or (LASTING.fullmatch(said) if said[-1:] in "smhcn" and said else None)
    if not found or not any(found.groups()):
        return None
    hours, minutes, seconds = found.groups()
    return 1000.0 * (3600 * int(hours or 0) + 60 * int(minutes or 0) + float((seconds or "0").replace(",", ".")))
