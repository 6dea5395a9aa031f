"""Columns of any type as text, and what is done to text: array by array, a row at a time only where it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

WHITE_SPACE = " \t\n\r\f\v\u00a0\u2003\u3000\ufeff"


def no_texts(n: int) -> pa.StringArray:
    """Return n times NULL."""
    return pa.nulls(n, type=pa.string())


def as_texts(column: pa.Array) -> pa.StringArray:
    """Return a column of any type as text; a list of texts joined by commas."""
    kind = column.type
    if pa.types.is_string(kind):
        return repaired(column)
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return pa.array([_joined(value) for value in plain_values(column)], type=pa.string())
    if pa.types.is_nested(kind) or pa.types.is_map(kind):
        values = plain_values(column)
        said = (None if value is None else json.dumps(value, default=str) for value in values)
        return pa.array(said, type=pa.string())
    if pa.types.is_binary(kind):
        return _decoded(column)
    if pa.types.is_floating(kind):
        return _whole_numbers(column)
    return pc.cast(column, pa.string())


def repaired(texts: pa.StringArray) -> pa.StringArray:
    """Return texts of which all are UTF-8: what is none becomes U+FFFD."""
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


def _joined(value: list[str | None] | None) -> str:
    return ", ".join(part for part in value or () if part is not None)


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
    said = (None if value is None else value.decode("utf-8", "replace") for value in column.to_pylist())
    return pa.array(said, type=pa.string())
