"""Rows of any export → tracks, duplicates and a quarantine: each row ends in exactly one of them.

One plan decides all of it, without a Python function per row: canonical columns are parsed with `try_cast`,
each broken rule becomes a reason, and of the rows with one id the first in a total order over all columns
stays. A bad row therefore never reaches the statistics that other songs depend on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.catalog.values import (
    explicit_of,
    popularity_of,
    quoted,
    raw_feature,
    release_date_of,
    short_text,
    track_id_of,
)
from musicrec.config import InputConfig
from musicrec.schemas import QUARANTINE, TRACKS
from musicrec.songs import (
    ANALYZED_FEATURES,
    FEATURE_RULES,
    FEATURES,
    TEXT_COLUMNS,
    TRACK_COLUMNS,
    FeatureRule,
)

MAX_ROW_LENGTH = 2000


# What a title says about a release but not about the recording. "Remix", "Live" and "Acoustic" are other
# recordings and stay.
RELEASE_WORDS = (
    r"(?:\d{4}\s+)?(?:digital(?:ly)?\s+)?re-?master(?:ed)?(?:\s+version)?(?:\s+\d{4})?"
    r"|(?:single|album|original|mono|stereo|lp|explicit|clean)(?:\s+(?:version|mix))?"
    r"|radio\s+edit|explicit|clean|bonus\s+track|deluxe(?:\s+(?:edition|version))?"
)
RELEASE_SUFFIX = rf"(?i)\s*(?:[(\[](?:{RELEASE_WORDS})[)\]]|[-–—]\s+(?:{RELEASE_WORDS})\s*$)"


def audit_rows(rows: DataFrame, *, columns: Mapping[str, str], settings: InputConfig) -> DataFrame:
    """Return one row per input row with its verdict: track, duplicate or quarantine.

    Parameters
    ----------
    rows : DataFrame
        The source's columns, `_malformed` (the row's text where it could not be parsed) and `_source_file`.
    columns : mapping
        Canonical name -> source name.
    settings : InputConfig
        Rules for ids, values and text.

    Returns
    -------
    DataFrame
        The columns of `schemas.TRACKS` and `schemas.QUARANTINE`, and `verdict`.
    """
    return (
        rows.transform(lambda source: as_canonical(source, columns=columns, settings=settings))
        .transform(compute_once)
        .transform(lambda songs: with_reason(songs, settings=settings))
        .transform(compute_once)
        .transform(with_missing_features)
        .transform(lambda songs: with_count_reason(songs, min_features=settings.min_features))
        .transform(with_row)
        .transform(with_keys)
        .transform(compute_once)
        .transform(with_verdict)
    )


def keep_tracks(audited: DataFrame) -> DataFrame:
    """Return the songs, with the columns of `schemas.TRACKS`."""
    return audited.where("verdict = 'track'").select(*TRACKS.names)


def keep_quarantine(audited: DataFrame) -> DataFrame:
    """Return the rows that are no songs, with the columns of `schemas.QUARANTINE`."""
    return audited.where("verdict = 'quarantine'").select(*QUARANTINE.names)


def count_verdicts(audited: DataFrame) -> DataFrame:
    """Return `verdict, reason, n_rows, n_collisions`, one row per verdict and reason."""
    return audited.groupBy("verdict", "reason").agg(
        F.count("*").alias("n_rows"), F.sum(F.col("collides").cast("long")).alias("n_collisions")
    )


def as_canonical(rows: DataFrame, *, columns: Mapping[str, str], settings: InputConfig) -> DataFrame:
    """Return canonical columns, features still raw, with what the quarantine tells of a row.

    Parameters
    ----------
    rows : DataFrame
        The source's columns, `_malformed` and `_source_file`.
    columns : mapping
        Canonical name -> source name.
    settings : InputConfig
    """
    kinds = {field.name: field.dataType for field in rows.schema.fields}
    source = {name: (quoted(columns[name]), kinds[columns[name]]) for name in columns}
    texts = {name: short_text(*source[name], settings=settings) for name in TEXT_COLUMNS if name in source}
    given = [name for name in rows.columns if not name.startswith("_")]
    return rows.select(
        track_id_of(source.get("track_id"), settings=settings).alias("track_id"),
        *[texts.get(name, F.lit(None).cast("string")).alias(name) for name in TEXT_COLUMNS],
        release_date_of(source.get("release_date")).alias("release_date"),
        popularity_of(source.get("popularity")).alias("popularity"),
        explicit_of(source.get("explicit")).alias("explicit"),
        *[raw_feature(source.get(name)).alias(name) for name in FEATURES],
        F.col("_malformed").alias("malformed"),
        F.col("_source_file").alias("source_file"),
        F.struct(*[quoted(name) for name in given]).alias("source"),
    )


def compute_once(songs: DataFrame) -> DataFrame:
    """Return the same rows behind a generator, which the optimizer does not look through.

    It would otherwise inline each rule into every column that refers to it, until the generated code passes the
    JVM's 64 KB per method and is not compiled.
    """
    return songs.select(F.inline(F.array(F.struct(*songs.columns))))


def with_reason(songs: DataFrame, *, settings: InputConfig) -> DataFrame:
    """Add `reason` (NULL where every rule holds) and turn the features into numbers, bad ones into NULL."""
    problems = [_problem(rule) for rule in FEATURE_RULES]
    broken = problems if settings.invalid_values == "quarantine" else []
    reason = F.coalesce(
        F.when(F.col("malformed").isNotNull(), F.lit("malformed_row")),
        F.when(F.col("track_id").isNull(), F.lit("missing_id")),
        *broken,
    )
    numbers = [
        F.when(problem.isNull(), _number(rule.name)).alias(rule.name)
        for rule, problem in zip(FEATURE_RULES, problems, strict=True)
    ]
    kept = [name for name in songs.columns if name not in FEATURES]
    return songs.select(*kept, reason.alias("reason"), *numbers)


def with_missing_features(songs: DataFrame) -> DataFrame:
    """Turn the values that stand for "unknown" into NULL: key -1, tempo 0, a song never analyzed."""
    never_analyzed = reduce(Column.__and__, [F.col(name) == 0 for name in ANALYZED_FEATURES])
    unknown = {
        rule.name: F.col(rule.name) == rule.missing_at for rule in FEATURE_RULES if rule.missing_at is not None
    }
    # The columns refer to each other, so all of them are replaced in one step.
    replaced = {
        rule.name: F.when(
            ~F.coalesce(
                unknown.get(rule.name, F.lit(False))
                | (never_analyzed if rule.name in ANALYZED_FEATURES else F.lit(False)),
                F.lit(False),
            ),
            F.col(rule.name),
        )
        for rule in FEATURE_RULES
    }
    return songs.withColumns(replaced)


def with_count_reason(songs: DataFrame, *, min_features: int) -> DataFrame:
    """Give a song with fewer than `min_features` known features a reason."""
    n_known = reduce(Column.__add__, [F.col(name).isNotNull().cast("int") for name in FEATURES])
    too_few = F.when(n_known < min_features, F.lit("too_few_features"))
    return songs.withColumns({"reason": F.coalesce("reason", too_few), "n_known": n_known})


def with_row(songs: DataFrame) -> DataFrame:
    """Replace the source's columns by `row`: the text of a row that goes to the quarantine, else NULL."""
    row = F.substring(F.coalesce("malformed", F.to_json("source")), 1, MAX_ROW_LENGTH)
    return songs.withColumn("row", F.when(F.col("reason").isNotNull(), row)).drop("source", "malformed")


def with_keys(songs: DataFrame) -> DataFrame:
    """Add `track_key`, `recording_key` and `release_year`."""
    artist = F.lower("artist")
    recording = F.when(
        artist.isNotNull() & F.col("title").isNotNull(), F.xxhash64(artist, normalized_title(F.col("title")))
    )
    return songs.withColumn("track_key", F.xxhash64("track_id")).withColumns(
        {
            "recording_key": F.coalesce(recording, F.col("track_key")),
            "release_year": F.substring("release_date", 1, 4).cast("int"),
        }
    )


def with_verdict(songs: DataFrame) -> DataFrame:
    """Add `verdict`, and `collides` where two ids share a track_key.

    Of the rows with one id the winner knows most features, is the most popular, then first by all columns.
    """
    order = [
        F.col("n_known").desc(),
        F.col("popularity").desc_nulls_last(),
        *[F.col(name).asc_nulls_last() for name in TRACK_COLUMNS if name != "popularity"],
    ]
    refused = F.col("reason").isNotNull()
    # Quarantined rows are spread by their text: on one key they would all land in one task.
    group = F.when(refused, F.xxhash64("row")).otherwise(F.col("track_key"))
    same_song = Window.partitionBy(refused, group).orderBy("track_id", *order)
    winner = F.row_number().over(same_song) == 1
    collides = F.lag("track_id").over(same_song) != F.col("track_id")
    return songs.withColumns(
        {
            "verdict": F.when(refused, "quarantine").when(winner, "track").otherwise("duplicate"),
            "collides": ~refused & F.coalesce(collides, F.lit(False)),
        }
    )


def normalized_title(title: Column) -> Column:
    """Return a title without what tells releases of one recording apart.

    Lower case, without "(2011 Remaster)", "- Single Version" and the like, letters and digits only. A
    title that would become empty stays as it is.
    """
    # Most titles have neither bracket nor dash; the test for them is cheap, the expression is not.
    marked = title.contains("(") | title.contains("[") | title.rlike("[-–—] ")
    bare = F.when(marked, F.regexp_replace(title, RELEASE_SUFFIX, "")).otherwise(title)
    plain = F.trim(F.regexp_replace(F.lower(bare), r"[^\p{L}\p{N}]+", " "))
    return F.when(plain != "", plain).otherwise(F.lower(title))


def _number(name: str) -> Column:
    return F.col(name)["number"]


def _problem(rule: FeatureRule) -> Column:
    number, given = _number(rule.name), F.col(rule.name)["given"]
    within = number.between(rule.low, rule.high)
    if rule.missing_at is not None:
        within = within | (number == rule.missing_at)
    if rule.whole:
        within = within & (number == F.floor(number))
    return (
        F.when(given & number.isNull(), f"{rule.name}_not_a_number")
        .when(F.isnan(number), f"{rule.name}_nan")
        .when(F.abs(number) == float("inf"), f"{rule.name}_infinite")
        .when(~within, f"{rule.name}_out_of_range")
    )
