"""A record of a CSV file → its fields, also where its quotes are not as RFC 4180 wants them.

Most writers double a quote inside quotes, some put a backslash before it, some leave it as it is. Each of these
readings of a record is tried in turn; the first that gives as many fields as the file has columns is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

QUOTE = '"'


@dataclass(frozen=True)
class _Reading:
    """How a quote inside quotes is taken.

    Attributes
    ----------
    doubles : bool
        Two quotes are one, also before a delimiter; else the second of these ends the field.
    escapes : bool
        A quote after a backslash never ends the field.
    skips : bool
        Blanks before a quote that opens a field are left out.
    """

    doubles: bool = True
    escapes: bool = False
    skips: bool = False


READINGS = (_Reading(), _Reading(escapes=True), _Reading(doubles=False), _Reading(skips=True))


def split_record(text: str, *, delimiter: str, n_fields: int) -> list[str] | None:
    """Return the fields of a record, None where no reading gives as many as there are columns.

    Parameters
    ----------
    text : str
        Without the end of its last line.
    delimiter : str
    n_fields : int
        Columns of the file. What stands beyond them may be empty.
    """
    for reading in READINGS:
        fields = _fields(text, delimiter=delimiter, reading=reading)
        if fields is not None and _fits(fields, n_fields):
            return fields[:n_fields]
    # Quotes that are a part of the text: "Heroes" - 2017 Remaster. One alone may have lost its other half.
    fields = text.split(delimiter)
    if "\n" not in text and _fits(fields, n_fields) and all(field.count(QUOTE) % 2 == 0 for field in fields):
        return fields[:n_fields]
    return None


def split_line(text: str, *, delimiter: str) -> list[str]:
    """Return the fields of a line of which nobody knows how many it has, such as a header."""
    fields = _fields(text, delimiter=delimiter, reading=READINGS[0])
    return text.split(delimiter) if fields is None else fields


def has_open_quote(text: str, *, delimiter: str) -> bool:
    """Return whether a quote is open at the end of a text, so that the record may go on in the next line."""
    return _fields(text, delimiter=delimiter, reading=READINGS[0]) is None


def _fits(fields: list[str], n_fields: int) -> bool:
    return len(fields) >= n_fields and not any(field.strip() for field in fields[n_fields:])


def _fields(text: str, *, delimiter: str, reading: _Reading) -> list[str] | None:
    """Return the fields by one reading, None where a quote stays open."""
    found, at = list[str](), 0
    while True:
        first = _opening(text, at, skips=reading.skips)
        if first is None:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            found.append(text[at:end])
        else:
            closing = _closing(text, first + 1, delimiter=delimiter, reading=reading)
            if closing is None:
                return None
            end, field = closing
            found.append(field)
        if end >= len(text):
            return found
        at = end + 1


def _opening(text: str, at: int, *, skips: bool) -> int | None:
    while skips and text[at : at + 1] == " ":
        at += 1
    return at if text[at : at + 1] == QUOTE else None


def _closing(text: str, at: int, *, delimiter: str, reading: _Reading) -> tuple[int, str] | None:
    """Return where the field ends that was opened before `at`, and what it says."""
    parts, begin = list[str](), at
    for quote in _quotes(text, at):
        if quote < begin:
            continue
        after = text[quote + 1 : quote + 2]
        ends = after in ("", delimiter)
        escaped = quote > begin and text[quote - 1] == "\\"
        if escaped and (reading.escapes or not (ends or after == QUOTE)):
            parts.append(text[begin : quote - 1] + QUOTE)
            begin = quote + 1
        elif after == QUOTE and (reading.doubles or text[quote + 2 : quote + 3] not in ("", delimiter)):
            parts.append(text[begin:quote].removesuffix("\\") + QUOTE)
            begin = quote + 2
        elif ends:
            return quote + 1, "".join(parts) + text[begin:quote]
    return None


def _quotes(text: str, at: int) -> Iterator[int]:
    while (at := text.find(QUOTE, at)) >= 0:
        yield at
        at += 1
