"""Rows of any export → songs and a quarantine: each row ends in exactly one of them.

Canonical columns are parsed, and each broken rule becomes a reason, array by array, whichever reader delivers the
rows. A bad row therefore never reaches the statistics that other songs depend on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from musicrec.arrays import Bools, Doubles
from musicrec.catalog import texts
from musicrec.catalog.columns import MALFORMED, YEAR
from musicrec.catalog.derived import same_keys
from musicrec.catalog.hashes import hash_texts
from musicrec.catalog.named import name_columns
from musicrec.catalog.refused_rows import MAX_ID_LENGTH, as_quarantine
from musicrec.catalog.values import (
    MISSING_NUMBERS,
    ROUNDED_ID,
    Values,
    explicit_of,
    feature_numbers,
    features_of,
    no_numbers,
    release_dates,
    short_texts,
    track_ids,
)
from musicrec.config import InputConfig
from musicrec.messages import AUDITED_SONGS
from musicrec.songs import ANALYZED_FEATURES, FEATURE_RULES, FEATURES, LOCAL_PREFIX, TEXT_COLUMNS, FeatureRule
from musicrec.spark.arrow import bools

# What may be wrong with a feature, after its name.
PROBLEMS = ("not_a_number", "infinite", "out_of_range")
REASONS = (
    "",
    "malformed_row",
    "missing_id",
    *(f"{rule.name}_{problem}" for rule in FEATURE_RULES for problem in PROBLEMS),
    "popularity_out_of_range",
    "release_date_out_of_range",
    "too_few_features",
    "local_file",
    "id_too_long",
    "id_rounded",
)
# Where no run says what year it is: dates have four digits.
ANY_YEAR = 9999
# Of songs, beside the columns of `schemas.TRACKS` and `named.py`: how many features are known.
N_KNOWN = "n_known"


@dataclass(frozen=True)
class Audited:
    """Rows by what they are: `messages.AUDITED_SONGS`, several of one id maybe, and `schemas.QUARANTINE`.

    `missing` counts the values that break a rule and count as missing, by what would be the reason of a refusal.
    Until all songs of a title are known, `recording_key` and `work_key` are names, as `named.Named` has them.
    """

    songs: pa.Table
    quarantine: pa.Table
    missing: dict[str, int]


@dataclass(frozen=True)
class Optional:
    """What may stand beside the features: `popularity` (n,), NaN where it is not known, and ISO `dates` (n,)."""

    popularity: Doubles
    dates: pa.StringArray

    def take(self, rows: NDArray[np.int64]) -> Optional:
        """Return those of some rows."""
        return Optional(self.popularity[rows], self.dates.take(pa.array(rows)))


def audit_rows(
    rows: pa.Table,
    *,
    columns: Mapping[str, str],
    settings: InputConfig,
    newest_year: int = ANY_YEAR,
    same: Sequence[str] = (),
) -> Audited:
    """Return what the rows of a source are.

    Parameters
    ----------
    rows : pyarrow.Table
        The source's columns, `columns.MALFORMED` and `columns.SOURCE_FILE`.
    columns : mapping
        Canonical name -> source name.
    settings : InputConfig
        Rules for ids, values and text.
    newest_year : int
        No song is from a later one.
    same : sequence of str
        Columns whose values together are the songs' `same_key`.
    """
    given = {name: whole(rows[name]) for name in rows.column_names}
    given = {name: texts.repaired(c) if pa.types.is_string(c.type) else c for name, c in given.items()}
    source = {name: given[column] for name, column in columns.items()}
    ids = track_ids(source.get("track_id"), given, n=rows.num_rows, settings=settings)
    found = {name: features_of(name, source[name], settings=settings) for name in FEATURES if name in source}
    problems = {rule.name: _problems(rule, found[rule.name]) for rule in FEATURE_RULES if rule.name in found}
    optional, late = _optional(source, n=rows.num_rows, settings=settings, newest_year=newest_year)
    broken = {**_by_reason(problems), **late}
    reasons = _reasons(given[MALFORMED], ids, broken, settings=settings)
    values = _known_values(found, problems, n=rows.num_rows)
    n_known = np.sum([~np.isnan(column) for column in values.values()], axis=0)
    has_few = (reasons == 0) & (n_known < settings.min_features)
    reasons[has_few] = REASONS.index("too_few_features")
    is_local = bools(pc.fill_null(pc.starts_with(ids, LOCAL_PREFIX), False))
    reasons[has_few & is_local] = REASONS.index("local_file")
    kept, told = (
        np.flatnonzero(reasons == 0),
        pa.array([reason or None for reason in REASONS]).take(pa.array(reasons)),
    )
    some = {name: column.take(pa.array(kept)) for name, column in source.items()}
    songs = _songs(ids.take(pa.array(kept)), some, values, optional, kept, n_known, settings=settings)
    if same:
        key = same_keys([given[name].take(pa.array(kept)) for name in same])
        songs = songs.set_column(songs.schema.get_field_index("same_key"), "same_key", key)
    return Audited(
        songs,
        as_quarantine(ids, given, told),
        _count_missing({**broken, "release_date_not_a_date": _unread(source, optional.dates, late)}, kept),
    )


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, of its values."""
    one = column.combine_chunks()
    plain = pa.concat_arrays(one.chunks) if isinstance(one, pa.ChunkedArray) else one
    return plain.dictionary_decode() if pa.types.is_dictionary(plain.type) else plain


def _problems(rule: FeatureRule, found: Values) -> NDArray[np.int8]:
    """Return what is wrong with each value (n,), from 1 as in `PROBLEMS`; 0 where nothing is or stands."""
    values = found.values
    with np.errstate(invalid="ignore"):
        within = (values >= rule.low) & (values <= rule.high)
        if rule.missing_at is not None:
            within |= values == rule.missing_at
        if rule.whole:
            within &= values == np.floor(values)
    problems = np.select(
        [found.given & ~found.is_number, ~found.is_number, np.isinf(values), ~within],
        [1, 0, 2, 3],
    )
    return problems.astype(np.int8)


def _optional(
    source: Mapping[str, pa.Array], *, n: int, settings: InputConfig, newest_year: int
) -> tuple[Optional, dict[str, Bools]]:
    """Return popularity and dates of n rows, and by reason which of them are none."""
    popular = source.get("popularity")
    found = no_numbers(n) if popular is None else feature_numbers(popular, decimal=settings.decimal)
    dates = release_dates(source["release_date"]) if "release_date" in source else texts.no_texts(n)
    if YEAR in source:
        # It serves where there is no date that can be read.
        dates = pc.coalesce(dates, release_dates(source[YEAR]))
    popularity = np.where(found.is_number, found.values, np.nan)
    with np.errstate(invalid="ignore"):
        is_wrong = (popularity < 0) | (popularity > settings.max_popularity)
    is_late = bools(pc.fill_null(pc.greater(_years_of(dates), newest_year), False))
    known = Optional(
        np.where(is_wrong, np.nan, popularity), pc.if_else(pa.array(is_late), pa.scalar(None, pa.string()), dates)
    )
    return known, {"popularity_out_of_range": is_wrong, "release_date_out_of_range": is_late}


def _unread(source: Mapping[str, pa.Array], dates: pa.StringArray, late: Mapping[str, Bools]) -> Bools:
    """Return which rows (n,) have text for a date that says none."""
    unread = bools(pc.is_null(dates)) & ~late["release_date_out_of_range"]
    rows = np.flatnonzero(unread)
    if "release_date" not in source or not len(rows):
        return np.zeros(len(dates), dtype=bool)
    said = texts.lowered(texts.stripped(texts.as_texts(source["release_date"].take(pa.array(rows)))))
    unread[rows] = ~bools(texts.is_in(said, MISSING_NUMBERS)) & bools(pc.is_valid(said))
    return unread


def _years_of(dates: pa.StringArray) -> pa.Int32Array:
    return pc.cast(pc.utf8_slice_codeunits(dates, start=0, stop=4), pa.int32())


def _by_reason(problems: dict[str, NDArray[np.int8]]) -> dict[str, Bools]:
    return {
        f"{name}_{problem}": found == i + 1
        for name, found in problems.items()
        for i, problem in enumerate(PROBLEMS)
    }


def _reasons(
    malformed: pa.StringArray, ids: pa.StringArray, broken: dict[str, Bools], *, settings: InputConfig
) -> NDArray[np.int64]:
    """Return the first reason (n,) of each row as in `REASONS`, 0 where it has none."""
    reasons = np.zeros(len(ids), dtype=np.int64)
    if settings.invalid_values == "quarantine":
        for name, rows in reversed(broken.items()):
            reasons[rows] = REASONS.index(name)
    reasons[bools(pc.is_null(ids))] = REASONS.index("missing_id")
    reasons[bools(pc.fill_null(pc.greater(pc.utf8_length(ids), MAX_ID_LENGTH), False))] = REASONS.index(
        "id_too_long"
    )
    is_rounded = pc.fill_null(pc.match_substring_regex(ids, ROUNDED_ID), False)
    reasons[bools(is_rounded)] = REASONS.index("id_rounded")
    reasons[bools(pc.is_valid(malformed))] = REASONS.index("malformed_row")
    return reasons


def _count_missing(broken: dict[str, Bools], kept: NDArray[np.int64]) -> dict[str, int]:
    counts = {reason: int(rows[kept].sum()) for reason, rows in broken.items()}
    return {reason: n for reason, n in counts.items() if n}


def _known_values(
    found: dict[str, Values], problems: dict[str, NDArray[np.int8]], *, n: int
) -> dict[str, Doubles]:
    """Return the features, NaN where they are not known: bad, or a value that stands for that."""
    values = {}
    for rule in FEATURE_RULES:
        numbers = found.get(rule.name) or no_numbers(n)
        is_good = numbers.is_number & (problems[rule.name] == 0) if rule.name in found else numbers.is_number
        values[rule.name] = np.where(is_good, numbers.values, np.nan)
    never_analyzed = np.all([values[name] == 0 for name in ANALYZED_FEATURES], axis=0)
    for rule in FEATURE_RULES:
        if rule.missing_at is not None:
            values[rule.name][values[rule.name] == rule.missing_at] = np.nan
        if rule.name in ANALYZED_FEATURES:
            values[rule.name][never_analyzed] = np.nan
    return values


def _songs(
    ids: pa.StringArray,
    source: Mapping[str, pa.Array],
    values: Mapping[str, Doubles],
    optional: Optional,
    rows: NDArray[np.int64],
    n_known: NDArray[Any],
    *,
    settings: InputConfig,
) -> pa.Table:
    n = len(ids)
    none = texts.no_texts(n)
    said = {
        name: short_texts(source[name], settings=settings) if name in source else none for name in TEXT_COLUMNS
    }
    optional = optional.take(rows)
    keys = hash_texts(ids)
    columns = {
        "track_key": pa.array(keys),
        "track_id": ids,
        **name_columns(said["artist"], said["title"], keys),
        **said,
        "release_date": optional.dates,
        "release_year": _years_of(optional.dates),
        "popularity": pa.array(optional.popularity, from_pandas=True),
        "explicit": explicit_of(source["explicit"]) if "explicit" in source else pa.nulls(n, pa.bool_()),
        **{name: pa.array(values[name][rows], from_pandas=True) for name in FEATURES},
        "same_key": pa.nulls(n, pa.int64()),
        N_KNOWN: pa.array(n_known[rows].astype(np.int32)),
    }
    return pa.table({name: columns[name] for name in AUDITED_SONGS.names})
