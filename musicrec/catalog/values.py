"""What stands in a column of an export, as number, date, text or id of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Doubles
from musicrec.catalog import texts
from musicrec.config import InputConfig
from musicrec.songs import ID_PREFIXES
from musicrec.spark.arrow import bools

# What exports write where a number is missing.
MISSING_NUMBERS = ("", "NA", "N/A", "null", "NULL", "None", "\\N")
NOT_A_NAME = ("", "NA")
# A number is longer than this in nobody's file.
MAX_NUMBER_LENGTH = 64
PLAIN_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
# As Java writes and reads them.
WORDS = {"nan": np.nan, "inf": np.inf, "infinity": np.inf}


@dataclass(frozen=True)
class Values:
    """What stands in a column: `values` (n,), numbers where `is_number` (n,), and anything where `given` (n,)."""

    values: Doubles
    is_number: Bools
    given: Bools


def no_numbers(n: int) -> Values:
    """Return a column in which nothing stands."""
    return Values(np.full(n, np.nan), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))


def feature_numbers(column: pa.Array) -> Values:
    """Return a column of an audio feature; Parquet holds numbers, CSV text."""
    if not pa.types.is_string(column.type):
        return _typed_numbers(column)
    said = texts.cut(pc.utf8_trim(column, characters=" "), MAX_NUMBER_LENGTH)
    given = bools(pc.and_(pc.is_valid(said), pc.invert(texts.is_in(said, MISSING_NUMBERS))))
    values, is_number = _parsed(said)
    return Values(values, is_number & given, given)


def short_texts(column: pa.Array, *, settings: InputConfig) -> pa.StringArray:
    """Return texts of at most `input.expert.max_text_length` characters, NULL where none stands."""
    longest = settings.expert.max_text_length
    # Cut first, so that a text of megabytes costs one copy; 64 more for the white space around it.
    found = texts.cut(texts.stripped(texts.cut(texts.as_texts(column), longest + 64)), longest)
    return pc.if_else(texts.is_in(found, NOT_A_NAME), pa.scalar(None, pa.string()), found)


def release_dates(column: pa.Array) -> pa.StringArray:
    """Return days, months or years as ISO text, NULL where none stands."""
    # "1985.0" is what pandas makes of a year column with gaps.
    pattern = r"^(?P<date>(?:18|19|20)[0-9][0-9](?:-[0-9][0-9](?:-[0-9][0-9])?)?)(?:\.0+|[T ].*)?$"
    found = pc.extract_regex(texts.stripped(texts.as_texts(column)), pattern)
    return pc.struct_field(found, "date")


def explicit_of(column: pa.Array) -> pa.BooleanArray:
    """Return true or false, NULL where neither stands."""
    said = texts.lowered(texts.stripped(texts.as_texts(column)))
    yes, no = (texts.is_in(said, words) for words in (("true", "t", "yes", "y", "1", "1.0"),
                                                      ("false", "f", "no", "n", "0", "0.0")))  # fmt: skip
    return pc.if_else(pc.or_(yes, no), yes, pa.scalar(None, pa.bool_()))


def track_ids(
    source: pa.Array | None, table: Mapping[str, pa.Array], *, n: int, settings: InputConfig
) -> pa.StringArray:
    """Return the ids of songs: those of their column without prefix, else made of `input.id_from`.

    Parameters
    ----------
    source : pyarrow.Array or None
        The column of ids.
    table : mapping
        All columns of the source, by their names there.
    n : int
        Rows.
    settings : InputConfig
    """
    made = _made_ids([table[name] for name in settings.id_from]) if settings.id_from else texts.no_texts(n)
    if source is None:
        return made
    bare = texts.stripped(texts.as_texts(source))
    for prefix in ID_PREFIXES:
        has = pc.starts_with(bare, prefix)
        bare = pc.if_else(has, pc.utf8_slice_codeunits(bare, start=len(prefix)), bare)
    return pc.if_else(pc.fill_null(pc.not_equal(bare, ""), False), bare, made)


def _made_ids(columns: list[pa.Array]) -> pa.StringArray:
    said = [texts.stripped(texts.as_texts(column)).to_pylist() for column in columns]
    return pa.array(
        [_made_id([part or "" for part in parts]) for parts in zip(*said, strict=True)], type=pa.string()
    )


def _made_id(parts: list[str]) -> str | None:
    if not any(parts):
        return None
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    marked = "|".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(marked.encode()).hexdigest()[:32]


def _typed_numbers(column: pa.Array) -> Values:
    given = bools(pc.is_valid(column))
    kind = column.type
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return Values(np.full(len(column), np.nan), np.zeros(len(column), dtype=bool), given)
    # A whole number beyond 2**53 is no feature; it may lose its last digits.
    values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return Values(values, given, given)


def _parsed(said: pa.StringArray) -> tuple[Doubles, Bools]:
    """Return the numbers that texts say, and which of them say one."""
    said = pc.utf8_trim_whitespace(said)
    plain = pc.fill_null(pc.match_substring_regex(said, PLAIN_NUMBER), False)
    values = np.full(len(said), np.nan)
    is_number = bools(plain)
    values[is_number] = _as_doubles(pc.filter(said, plain))
    odd = np.flatnonzero(~is_number & bools(pc.is_valid(said)))
    for row in odd.tolist() if len(odd) else ():
        number = _odd_number(said[row].as_py())
        if number is not None:
            values[row], is_number[row] = number, True
    return values, is_number


def _as_doubles(said: pa.StringArray) -> Doubles:
    try:
        return np.asarray(pc.cast(pc.utf8_ltrim(said, characters="+"), pa.float64()))
    except pa.ArrowInvalid:
        # Beyond the largest number, which counts as infinite.
        return np.array([float(text) for text in said.to_pylist()], dtype=np.float64)


def _odd_number(text: str) -> float | None:
    word = text.lower()
    sign = -1.0 if word.startswith("-") else 1.0
    if (name := word.lstrip("+-")) in WORDS and len(word) - len(name) <= 1:
        return sign * float(WORDS[name])
    # What Java takes for a number, as some exports hold it: 1.5f, 2d.
    return float(word[:-1]) if word[-1:] in ("d", "f") and re.match(PLAIN_NUMBER, word[:-1]) else None
