"""What stands in a column of an export, as number, date, text or id of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Doubles
from musicrec.catalog import texts
from musicrec.catalog.dates import read_date
from musicrec.catalog.odd_numbers import read_clock, read_key, read_loudness, read_mode, read_share, read_tempo
from musicrec.config import InputConfig
from musicrec.songs import SHARES, bare_id
from musicrec.spark.arrow import bools

# What exports write where a number is missing, in lower case.
MISSING_NUMBERS = (
    "", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "nil", "nat", "\\n", "-", "--", "?", "missing",
    "unknown", "undefined", "#value!", "#ref!",
)  # fmt: skip
# The same for text, as programs write it: a song may be called Unknown.
NOT_A_NAME = ("", "NA", "N/A", "nan", "NaN", "NULL", "null", "None", "<NA>", "#N/A", "\\N")
# And for ids, in lower case.
NOT_AN_ID = ("", "na", "n/a", "nan", "null", "none", "<na>", "#n/a", "\\n")
# Spreadsheets round a long number and write it so; its last digits are lost.
ROUNDED_ID = r"^[0-9](?:[.,][0-9]+)?[eE][+][0-9]+$"
# All links to songs hold it.
MARK = "spotify"
# A number is longer than this in nobody's file.
MAX_NUMBER_LENGTH = 64
PLAIN_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
# As Java writes and reads them.
WORDS = {"inf": np.inf, "infinity": np.inf}


@dataclass(frozen=True)
class Values:
    """What stands in a column: `values` (n,), numbers where `is_number` (n,), and anything where `given` (n,)."""

    values: Doubles
    is_number: Bools
    given: Bools


OddNumber = Callable[[str], float | None]


def no_numbers(n: int) -> Values:
    """Return a column in which nothing stands."""
    return Values(np.full(n, np.nan), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))


def feature_numbers(column: pa.Array, *, decimal: str = ".", read_odd: OddNumber | None = None) -> Values:
    """Return a column of an audio feature; Parquet holds numbers, CSV text.

    Parameters
    ----------
    column : pyarrow.Array
    decimal : {".", ","}
        What stands before the decimals in text.
    read_odd : callable, optional
        Returns the number that a text stands for that is none, such as a key's name, or None.
    """
    if not pa.types.is_string(column.type):
        return _typed_numbers(column)
    said = texts.cut(texts.stripped(column), MAX_NUMBER_LENGTH)
    said = _with_decimal_point(said, decimal)
    values, is_number = _parsed(said, read_odd)
    # Few values are neither: only these are compared with all words.
    given = bools(pc.fill_null(pc.not_equal(said, ""), False))
    odd = np.flatnonzero(given & ~is_number)
    if len(odd):
        words = pc.utf8_lower(said.take(pa.array(odd)))
        given[odd] = ~bools(texts.is_in(words, MISSING_NUMBERS))
    return Values(values, is_number & given, given)


def _with_decimal_point(said: pa.StringArray, decimal: str) -> pa.StringArray:
    """Return numbers without what groups their thousands, and with a point before their decimals."""
    group = "." if decimal == "," else ","
    if pc.any(pc.match_substring(said, group)).as_py():
        sign = re.escape(group)
        pattern = rf"^[+-]?[1-9][0-9]{{0,2}}(?:{sign}[0-9]{{3}})+(?:{re.escape(decimal)}[0-9]+)?$"
        grouped = pc.fill_null(pc.match_substring_regex(said, pattern), False)
        said = pc.if_else(grouped, pc.replace_substring(said, group, ""), said)
    return pc.replace_substring(said, ",", ".") if decimal == "," else said


# In what a feature's rule has it: shares in 0..1, times in milliseconds.
FACTORS = {"percent": 0.01, "share": 1.0, "ms": 1.0, "s": 1000.0, "min": 60_000.0}


def features_of(name: str, column: pa.Array, *, settings: InputConfig) -> Values:
    """Return a column of a feature in the unit of its rule.

    Parameters
    ----------
    name : str
        Of the feature.
    column : pyarrow.Array
    settings : InputConfig
        With the decimal sign and the units of the source.
    """
    factor = FACTORS[settings.units.get(name, "share")]
    readers: dict[str, OddNumber] = {
        **dict.fromkeys(SHARES, read_share),
        "key": read_key,
        "mode": read_mode,
        "tempo": read_tempo,
        "loudness": read_loudness,
        "duration_ms": read_clock,
    }

    def read(text: str) -> float | None:
        # What says its unit is what it is, whatever the unit of the numbers beside it.
        number = readers[name](text)
        return None if number is None else number / factor

    found = feature_numbers(column, decimal=settings.decimal, read_odd=read)
    return found if factor == 1.0 else Values(found.values * factor, found.is_number, found.given)


def short_texts(column: pa.Array, *, settings: InputConfig) -> pa.StringArray:
    """Return texts of at most `input.expert.max_text_length` characters, NULL where none stands."""
    longest = settings.expert.max_text_length
    # Cut first, so that a text of megabytes costs one copy; 64 more for the white space around it.
    found = texts.cut(texts.stripped(texts.cut(texts.as_texts(column), longest + 64)), longest)
    found = texts.unlisted(found)
    return pc.if_else(texts.is_in(found, NOT_A_NAME), pa.scalar(None, pa.string()), found)


def release_dates(column: pa.Array) -> pa.StringArray:
    """Return days, months or years as ISO text, NULL where none stands.

    Of a day whose order cannot be told (03/04/2010) the year alone is taken.
    """
    said = texts.stripped(texts.as_texts(column))
    # "1985.0" is what pandas makes of a year column with gaps.
    month, day = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|1[0-9]|2[0-8])"
    pattern = rf"^(?P<date>(?:18|19|20)[0-9][0-9](?:-{month}(?:-{day})?)?)(?:\.0+|[T ].*)?$"
    dates = pc.struct_field(pc.extract_regex(said, pattern), "date")
    odd = np.flatnonzero(bools(pc.and_(pc.is_null(dates), pc.fill_null(pc.not_equal(said, ""), False))))
    if not len(odd):
        return dates
    # Others are told one by one, each of them once.
    few = said.take(pa.array(odd)).dictionary_encode()
    read = pa.array([read_date(text) for text in few.dictionary.to_pylist()], type=pa.string())
    mask = np.zeros(len(said), dtype=bool)
    mask[odd] = True
    return pc.replace_with_mask(dates, pa.array(mask), read.take(few.indices))


def explicit_of(column: pa.Array) -> pa.BooleanArray:
    """Return true or false, NULL where neither stands."""
    said = texts.lowered(texts.stripped(texts.as_texts(column)))
    yes = texts.is_in(said, ("true", "t", "yes", "y", "1", "1.0", "explicit", "e"))
    no = texts.is_in(
        said, ("false", "f", "no", "n", "0", "0.0", "clean", "cleaned", "not explicit", "notexplicit")
    )
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
    linked = pc.fill_null(pc.match_substring(bare, MARK), False)
    if pc.any(linked).as_py():
        links = [bare_id(text) for text in pc.filter(bare, linked).to_pylist()]
        bare = pc.replace_with_mask(bare, linked, pa.array(links, type=pa.string()))
    return pc.if_else(is_id(bare), whole_ids(bare), made)


def is_id(ids: pa.StringArray) -> pa.BooleanArray:
    """Return which texts (n,) are ids, and no words for a missing one."""
    return pc.and_(pc.is_valid(ids), pc.invert(texts.is_in(pc.utf8_lower(ids), NOT_AN_ID)))


def whole_ids(ids: pa.StringArray) -> pa.StringArray:
    """Return ids; one that was a whole number before it had gaps is one again: 12345678.0."""
    if not pc.any(pc.ends_with(ids, ".0")).as_py():
        return ids
    return pc.replace_substring_regex(ids, r"^([0-9]+)\.0$", r"\1")


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
    if pa.types.is_floating(kind):
        # pandas writes NaN where a number is missing.
        given &= ~np.isnan(column.to_numpy(zero_copy_only=False).astype(np.float64))
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return Values(np.full(len(column), np.nan), np.zeros(len(column), dtype=bool), given)
    # A whole number beyond 2**53 is no feature; it may lose its last digits.
    values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return Values(values, given, given)


def _parsed(said: pa.StringArray, read_odd: OddNumber | None = None) -> tuple[Doubles, Bools]:
    """Return the numbers that texts say, and which of them say one."""
    said = pc.utf8_trim_whitespace(said)
    plain = pc.fill_null(pc.match_substring_regex(said, PLAIN_NUMBER), False)
    values = np.full(len(said), np.nan)
    is_number = bools(plain)
    values[is_number] = _as_doubles(pc.filter(said, plain))
    odd = np.flatnonzero(~is_number & bools(pc.is_valid(said)))
    for row in odd.tolist() if len(odd) else ():
        text = said[row].as_py()
        number = read_odd(text) if read_odd else None
        number = _odd_number(text) if number is None else number
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
