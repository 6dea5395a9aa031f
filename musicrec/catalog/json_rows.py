"""JSON of any shape → flat rows of text.

It may be a song a line, one array, the answer of a web service, or a data frame by columns. What is nested gets
the names on the way to it, joined by dots: `audio_features.energy`. A list of texts, or of objects with names, is
one text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, str | None]

# Between the texts of a list.
JOINED_BY = "; "
# What a web service calls its lists, from the outside to the inside.
LIST_KEYS = ("tracks", "items", "data", "songs", "results", "rows", "playlists", "audio_features", "features")
OWNER = ("name", "id", "pid", "uri")
IDS = ("id", "uri", "track_id", "track_uri", "spotify_id", "song_id")
BLANKS = " \t\n\r"


class NotJsonError(ValueError):
    """Text that is no JSON, or is cut off."""


def read_lines(lines: Iterable[str]) -> Iterator[tuple[list[Row], str]]:
    """Yield the rows of each line that is no blank, and the text of one that has none."""
    for line in lines:
        if line.strip():
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                yield [], line
                continue
            rows = rows_of(document) if isinstance(document, dict) else []
            yield rows, "" if rows else line


def read_documents(chunks: Iterable[str]) -> Iterator[list[Row]]:
    """Yield the rows of a text that is one JSON value, or several: of an array a few at a time.

    Raises
    ------
    NotJsonError
        It is none, or is cut off.
    """
    text, at, chunks = "", 0, iter(chunks)
    decoder, in_array, is_over = json.JSONDecoder(), None, False
    while True:
        at = _skip(text, at, "," if in_array else "")
        if at >= len(text) or (not is_over and len(text) - at < _LOOKAHEAD):
            more = next(chunks, None)
            is_over = is_over or more is None
            text, at = text[at:] + (more or ""), 0
            if is_over and not text.strip():
                break
            if not is_over:
                continue
            at = _skip(text, at, "," if in_array else "")
        if in_array is None:
            in_array = text[at] == "["
            at += in_array
            continue
        if in_array and text[at] == "]":
            at, in_array = at + 1, None
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except RecursionError:
            raise NotJsonError("it is nested too deeply") from None
        except ValueError as error:
            # As much again as there is: what is long is not begun again for each chunk.
            more = "".join(_at_least(chunks, len(text) - at))
            if not more:
                raise NotJsonError(str(error)) from None
            text, at = text[at:] + more, 0
            continue
        in_array = in_array or None
        yield rows_of(value)
    if in_array:
        raise NotJsonError("the array does not end")


# A number may go on behind what was read.
_LOOKAHEAD = 64


def rows_of(value: Any) -> list[Row]:
    """Return the rows that a JSON value holds; none where it is no object and no list of these."""
    if isinstance(value, list):
        return [row for item in value for row in rows_of(item)]
    if not isinstance(value, dict) or not value:
        return []
    if (found := _of_frame(value)) is not None:
        return found
    lists = [] if _is_song(value) else [rows for rows in map(rows_of, _lists_in(value)) if rows]
    if not lists:
        return [_flat(value)]
    # What is said of a list of songs, such as its name, is said of each of them.
    owner: Row = {f"playlist.{key}": text_of(value[key]) for key in OWNER if isinstance(value.get(key), str | int)}
    return [{**owner, **row} for row in _joined(lists)]


def _is_song(value: dict[str, Any]) -> bool:
    nested = [
        value,
        *(value[key] for key in ("track", "song", "audio_features") if isinstance(value.get(key), dict)),
    ]
    plain = [one for one in nested if any(not isinstance(one.get(key, {}), dict | list) for key in IDS)]
    return bool(plain) and not any(isinstance(value.get(key), dict | list) for key in ("tracks", "items", "songs"))


def _lists_in(value: dict[str, Any]) -> list[Any]:
    """Return the lists of objects of an answer, in the order of `LIST_KEYS`, those within its parts, too."""
    found = list[Any]()
    for key in LIST_KEYS:
        inner = value.get(key)
        if isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            found.append(inner)
        elif isinstance(inner, dict):
            found += _lists_in(inner)
    return found


def _joined(lists: list[list[Row]]) -> list[Row]:
    """Return the rows of several lists: those of one id as one row, which the first list says first."""
    rows, by_id = list[Row](), dict[str, Row]()
    for some in lists:
        for row in some:
            name = _id_of(row)
            known = by_id.get(name) if name and some is not lists[0] else None
            if known is None:
                rows.append(row)
                if name:
                    by_id.setdefault(name, row)
            else:
                known.update({key: text for key, text in row.items() if known.get(key) is None})
    return rows


def _id_of(row: Row) -> str | None:
    return next((row[key] for key in row if key.rsplit(".", 1)[-1] in IDS and row[key]), None)


def _of_frame(value: dict[str, Any]) -> list[Row] | None:
    """Return the rows of a data frame that was written by columns, None where this is none."""
    if set(value) >= {"columns", "data"} and isinstance(value["data"], list):
        return [_flat(dict(zip(value["columns"], row, strict=False))) for row in value["data"]]
    columns = list(value.values())
    if len(columns) > 2 and all(isinstance(column, dict) for column in columns):
        keys = list(columns[0])
        if len(keys) > 0 and all(list(column) == keys for column in columns):
            return [_flat({name: column[key] for name, column in value.items()}) for key in keys]
    return None


def _flat(value: dict[str, Any], before: str = "") -> Row:
    row: Row = {}
    for key, item in value.items():
        if isinstance(item, dict) and len(item) == 1 and next(iter(item)).startswith("$"):
            # As MongoDB writes numbers.
            row[f"{before}{key}"] = text_of(next(iter(item.values())))
        elif isinstance(item, dict):
            row |= _flat(item, f"{before}{key}.")
        else:
            row[f"{before}{key}"] = text_of(item)
    return row


def text_of(value: Any) -> str | None:
    """Return a JSON value as one text, None for null."""
    if value is None:
        return value
    if isinstance(value, str):
        # Half of a character that takes two is none.
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # NaN and Infinity are as Python says them, which the cleaning knows.
        return repr(value)
    if isinstance(value, list):
        said = [item.get("name") if isinstance(item, dict) else item for item in value]
        if all(isinstance(item, str | int | float) for item in said):
            return JOINED_BY.join(map(str, said))
    return json.dumps(value, ensure_ascii=False)


def _at_least(chunks: Iterator[str], n: int) -> Iterator[str]:
    while n >= 0 and (chunk := next(chunks, None)):
        yield chunk
        n -= len(chunk)


def _skip(text: str, at: int, more: str) -> int:
    skipped = BLANKS + more
    while at < len(text) and text[at] in skipped:
        at += 1
    return at
