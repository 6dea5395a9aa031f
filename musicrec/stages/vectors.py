"""Anyone's ids and vectors → embeddings for the join, and its neighbors back under their ids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.arrow import numbers
from musicrec.schemas import EMBEDDINGS

WHOLE_NUMBERS = ("tinyint", "smallint", "int", "bigint")
MIN_DIM, MAX_DIM = 2, 2048

SURVEY = (
    "n_rows long, n_empty long, min_dim long, max_dim long, n_not_finite long, n_zero long, max_norm double, "
    "is_half boolean"
)


def as_survey(vectors: DataFrame) -> DataFrame:
    """Return `SURVEY`, one row for each Arrow batch of `vector`: counts, lengths, and whether halves hold them.

    Parameters
    ----------
    vectors : DataFrame
        `id, vector` (array<float> or array<double>).
    """
    return vectors.select(F.col("vector").cast("array<float>")).mapInArrow(_survey, SURVEY)


def as_total(survey: DataFrame) -> DataFrame:
    """Return the one row that the rows of a survey add up to."""
    sums = [F.sum(name).alias(name) for name in ("n_rows", "n_empty", "n_not_finite", "n_zero")]
    ranges = [F.min("min_dim").alias("min_dim"), F.max("max_dim").alias("max_dim")]
    return survey.agg(*sums, *ranges, F.max("max_norm").alias("max_norm"), F.min("is_half").alias("is_half"))


def keep_repeated_ids(vectors: DataFrame) -> DataFrame:
    """Return `key, n_rows, first, last`, one row per key that more than one row has: an id, or a collision."""
    keys = vectors.groupBy(as_key(vectors).alias("key"))
    counts = keys.agg(F.count("*").alias("n_rows"), F.min("id").alias("first"), F.max("id").alias("last"))
    return counts.where("n_rows > 1")


def as_embeddings(vectors: DataFrame) -> DataFrame:
    """Return `schemas.EMBEDDINGS`: each vector as it is, and a recording of its own."""
    key = as_key(vectors)
    return vectors.select(
        key.alias("track_key"),
        F.col("id").cast("string").alias("track_id"),
        key.alias("recording_key"),
        F.col("vector").cast("array<float>").alias("embedding"),
    ).select(*EMBEDDINGS.names)


def as_key(vectors: DataFrame) -> Column:
    """Return the 64-bit key of `id`: a whole number itself, else its hash."""
    return F.col("id").cast("long") if has_whole_ids(vectors) else F.xxhash64("id")


def has_whole_ids(vectors: DataFrame) -> bool:
    """Return whether `id` is a whole number."""
    return vectors.schema["id"].dataType.simpleString() in WHOLE_NUMBERS


def as_rows_by_key(neighbors: DataFrame) -> DataFrame:
    """Return `id, rank, neighbor_id, score` of `schemas.NEIGHBORS` whose keys are the ids."""
    listed = F.posexplode(F.arrays_zip("neighbor_keys", "scores")).alias("position", "place")
    return neighbors.select(F.col("item_key").alias("id"), listed).select(
        "id",
        (F.col("position") + 1).cast("int").alias("rank"),
        F.col("place.neighbor_keys").alias("neighbor_id"),
        F.col("place.scores").alias("score"),
    )


def as_rows(recommendations: DataFrame, *, whole_ids: bool) -> DataFrame:
    """Return `id, rank, neighbor_id, score` of `schemas.RECOMMENDATIONS`."""
    kind = "bigint" if whole_ids else "string"
    return recommendations.select(
        F.col("track_id").cast(kind).alias("id"),
        "rank",
        F.col("recommended_track_id").cast(kind).alias("neighbor_id"),
        "score",
    )


def _survey(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        column = batch.column("vector")
        lengths = numbers(pa.compute.fill_null(pa.compute.list_value_length(column), 0)).astype(np.int64)
        flat = column.flatten()
        # A missing number is no number.
        values = numbers(pa.compute.fill_null(flat, float("nan"))).astype(np.float32)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        finite = np.isfinite(values)
        bad_rows = np.bincount(owner[~finite], minlength=len(lengths)) > 0
        squares = np.bincount(
            owner, weights=np.where(finite, values, 0.0).astype(np.float64) ** 2, minlength=len(lengths)
        )
        with np.errstate(over="ignore"):
            is_half = bool((values.astype(np.float16) == values)[finite].all())
        yield pa.RecordBatch.from_pydict(
            {
                "n_rows": [len(lengths)],
                "n_empty": [int((lengths == 0).sum())],
                "min_dim": [int(lengths.min(initial=MAX_DIM + 1))],
                "max_dim": [int(lengths.max(initial=0))],
                "n_not_finite": [int(bad_rows.sum())],
                "n_zero": [int(((squares == 0) & (lengths > 0) & ~bad_rows).sum())],
                "max_norm": [float(np.sqrt(squares.max(initial=0.0)))],
                "is_half": [is_half],
            }
        )
