"""Dates as people and programs write them, beside ISO 8601."""

from __future__ import annotations

import re
from datetime import date

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FULL_YEAR = r"(?P<year>(?:18|19|20)\d\d)"
MONTH = rf"(?P<name>{'|'.join(MONTHS)})[a-z]*\.?"
# What may follow a day: a time.
REST = r"(?:[T ,].*)?"
BY_NUMBER = (
    re.compile(rf"{FULL_YEAR}[./-](?P<month>\d\d?)(?:[./-](?P<day>\d\d?))?{REST}"),
    re.compile(rf"{FULL_YEAR}(?P<month>\d\d)(?P<day>\d\d)"),
    # With dots the day comes first, wherever dots are written.
    re.compile(rf"(?P<day>\d\d?)\.(?P<month>\d\d?)\.{FULL_YEAR}{REST}"),
    re.compile(rf"(?P<month>\d\d?)[./-]{FULL_YEAR}"),
)
EITHER = re.compile(rf"(?P<first>\d\d?)[/-](?P<second>\d\d?)[/-]{FULL_YEAR}{REST}")
# As spreadsheets shorten days: 25-Mar-10.
SHORT = re.compile(rf"(?P<day>\d\d?)[- ]{MONTH}[- ](?P<year>\d\d)")
BY_NAME = (
    re.compile(rf"(?:(?P<day>\d\d?)(?:st|nd|rd|th)?\.?[ -])?{MONTH}[ ,-]+{FULL_YEAR}{REST}"),
    re.compile(rf"{MONTH} (?P<day>\d\d?)(?:st|nd|rd|th)?,? {FULL_YEAR}{REST}"),
)


def read_date(text: str) -> str | None:
    """Return a day, a month or a year as ISO text, as far as the text tells it; None where it tells none."""
    said = " ".join(text.lower().split())
    for pattern in BY_NUMBER:
        if found := pattern.fullmatch(said):
            return _iso(found["year"], found["month"], found.groupdict().get("day"))
    if found := EITHER.fullmatch(said):
        first, second = int(found["first"]), int(found["second"])
        if first == second or first > 12 >= second:
            return _iso(found["year"], second, first)
        return _iso(found["year"], first, second) if second > 12 else found["year"]
    if found := SHORT.fullmatch(said):
        century = "20" if int(found["year"]) < 50 else "19"
        return _iso(century + found["year"], MONTHS.index(found["name"]) + 1, found["day"])
    for pattern in BY_NAME:
        if found := pattern.fullmatch(said):
            return _iso(found["year"], MONTHS.index(found["name"]) + 1, found["day"])
    return None


def _iso(year: str, month: str | int, day: str | int | None) -> str | None:
    try:
        whole = date(int(year), int(month), int(day or 1))
    except ValueError:
        return None
    return whole.isoformat() if day else whole.isoformat()[:7]
