"""Columns of any type as text, and what is done to text: array by array, a row at a time only where it must be."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from musicrec.catalog.csv_records import recode
from musicrec.catalog.json_rows import JOINED_BY, text_of

WHITE_SPACE = " \t\n\r\f\v\u00a0\u2003\u3000\ufeff"


def no_texts(n: int) -> pa.StringArray:
    """Return n times NULL."""
    return pa.nulls(n, type=pa.string())


def as_texts(column: pa.Array) -> pa.StringArray:
    """Return a column of any type as text; a list of texts joined by semicolons."""
    kind = column.type
    if pa.types.is_string(kind):
        return repaired(column)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return repaired(pc.cast(column, pa.string()))
    if pa.types.is_nested(kind) or pa.types.is_map(kind):
        return pa.array([text_of(_for_json(value)) for value in plain_values(column)], type=pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _decoded(column)
    if pa.types.is_floating(kind):
        return _whole_numbers(pc.cast(column, pa.float32()) if pa.types.is_float16(kind) else column)
    return pc.cast(column, pa.string())


def coalesced(columns: Sequence[pa.StringArray]) -> pa.StringArray:
    """Return of each row the first text that says something."""
    if len(columns) == 1:
        return columns[0]
    return pc.coalesce(
        *(pc.if_else(pc.equal(stripped(one), ""), pa.scalar(None, pa.string()), one) for one in columns)
    )


def unlisted(texts: pa.StringArray) -> pa.StringArray:
    """Return texts, and of those that print a list, such as ['A', "B's"], its parts between semicolons."""
    # Hardly any text begins so, and the expression takes its time.
    if not pc.any(pc.starts_with(texts, "[")).as_py():
        return texts
    printed = pc.fill_null(pc.match_substring_regex(texts, r"""^\[\s*['"].*['"]\s*\]$"""), False)
    if not pc.any(printed).as_py():
        return texts
    parts = [_unlisted(text) for text in pc.filter(texts, printed).to_pylist()]
    return pc.replace_with_mask(texts, printed, pa.array(parts, type=pa.string()))


def repaired(texts: pa.StringArray) -> pa.StringArray:
    """Return texts of which all are UTF-8; what is none is read as `csv_records.recode` does."""
    try:
        # Whoever wrote the file may not have written UTF-8.
        pc.cast(pc.cast(texts, pa.binary()), pa.string())
    except pa.ArrowInvalid:
        return _decoded(pc.cast(texts, pa.binary()))
    return texts


def plain_values(column: pa.Array) -> list[Any]:
    """Return the values of a column as Python's own, and as text those that Python has no words for."""
    kind = column.type
    if pa.types.is_temporal(kind):
        # Years beyond 9999.
        return cast("list[Any]", pc.cast(column, pa.string()).to_pylist())
    try:
        return cast("list[Any]", column.to_pylist())
    except (UnicodeDecodeError, OverflowError, ValueError):
        return [_plain_value(value) for value in column]


def stripped(texts: pa.StringArray) -> pa.StringArray:
    """Return text without NUL and without white space around it."""
    # NUL ends a string for C readers and is refused by databases.
    return pc.utf8_trim(pc.replace_substring(texts, "\0", ""), characters=WHITE_SPACE)


def cut(texts: pa.StringArray, n: int) -> pa.StringArray:
    """Return the first n characters of each text."""
    # To count bytes is quick, to count characters is not.
    longest = pc.max(pc.binary_length(texts)).as_py()
    if longest is None or longest <= n:
        return texts
    return pc.utf8_slice_codeunits(texts, start=0, stop=n)


def lowered(texts: pa.StringArray) -> pa.StringArray:
    """Return texts in lower case, as Unicode has it."""
    return _where_needed(texts, pc.ascii_lower(texts), str.lower)


def is_in(texts: pa.StringArray, several: Sequence[str]) -> pa.BooleanArray:
    """Return which texts are among several; NULL is not."""
    return pc.is_in(texts, value_set=pa.array(several, type=pa.string()))


def _where_needed(texts: pa.StringArray, of_ascii: pa.StringArray, change: Callable[[str], str]) -> pa.StringArray:
    """Return `of_ascii`, and of those texts that have other characters what `change` makes of each."""
    other = pc.fill_null(pc.not_equal(pc.binary_length(texts), pc.utf8_length(texts)), False)
    if not pc.any(other).as_py():
        return of_ascii
    changed = pa.array([change(text) for text in pc.filter(texts, other).to_pylist()], type=pa.string())
    return pc.replace_with_mask(of_ascii, other, changed)


# An item of a printed list, in the quotes of Python or JSON.
ITEM = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(?:,|$|(?=['"]))""", re.DOTALL)


def _unlisted(text: str) -> str:
    inside, at, parts = text.strip()[1:-1], 0, list[str]()
    while at < len(inside):
        found = ITEM.match(inside, at)
        if found is None:
            return text
        parts.append(re.sub(r"\\(.)", r"\1", found[1] if found[1] is not None else found[2]))
        at = found.end()
    return JOINED_BY.join(parts)


def _for_json(value: Any) -> Any:
    """Return a value of Arrow as JSON has it: without what stands for a missing part of a list."""
    if isinstance(value, dict):
        return {name: _for_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(item) for item in value if item is not None]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _plain_value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (UnicodeDecodeError, OverflowError, ValueError):
        return None


def _whole_numbers(column: pa.FloatingPointArray) -> pa.StringArray:
    """Return numbers as text; an id that was a whole number before it had gaps is one again, without exponent."""
    is_whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
    whole = pc.if_else(is_whole, column, pa.scalar(None, column.type))
    return pc.if_else(
        pc.fill_null(is_whole, False),
        pc.cast(pc.cast(whole, pa.int64()), pa.string()),
        pc.cast(column, pa.string()),
    )


def _decoded(column: pa.BinaryArray) -> pa.StringArray:
    # As lines of CSV are: two texts that differ stay different.
    said = (None if value is None else recode(value).decode() for value in column.to_pylist())
    return pa.array(said, type=pa.string())
