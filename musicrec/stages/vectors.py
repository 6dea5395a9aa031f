"""Anyone's ids and vectors → embeddings for the join, and its neighbors back under their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.algorithms.drawing import is_drawn
from musicrec.algorithms.kernel import Lists
from musicrec.algorithms.spaces import as_stored
from musicrec.arrow import numbers
from musicrec.schemas import EMBEDDINGS, VECTOR_NEIGHBORS

Batches = Iterator[pa.RecordBatch]

WHOLE_NUMBERS = ("tinyint", "smallint", "int", "bigint")
MIN_DIM, MAX_DIM = 2, 2048

SURVEY = (
    "n_rows long, n_without_id long, n_empty long, min_dim long, max_dim long, n_not_finite long, n_zero long, "
    "max_norm double, is_half boolean, keys binary, vectors binary"
)


def as_survey(vectors: DataFrame, *, share: float, seed: int) -> DataFrame:
    """Return `SURVEY`, one row for each Arrow batch: counts, lengths, whether halves are enough, and a sample.

    The sample, `keys` and `vectors`, is as in `schemas.DRAWN`; it is empty where vectors are not fit for it.

    Parameters
    ----------
    vectors : DataFrame
        `id, vector` (array<float> or array<double>).
    share : float
        Of the vectors that are drawn by the hash of their keys.
    seed : int
    """
    columns = vectors.select(as_key(vectors).alias("key"), "id", F.col("vector").cast("array<float>"))
    return columns.mapInArrow(_surveyor(share, seed), SURVEY)


def total(survey: pa.Table) -> dict[str, Any]:
    """Return the one row, without the sample, that the rows of a survey add up to."""
    sums = {
        name: sum(survey[name].to_pylist())
        for name in ("n_rows", "n_without_id", "n_empty", "n_not_finite", "n_zero")
    }
    return {
        **sums,
        "min_dim": min(survey["min_dim"].to_pylist(), default=0),
        "max_dim": max(survey["max_dim"].to_pylist(), default=0),
        "max_norm": max(survey["max_norm"].to_pylist(), default=0.0),
        "is_half": all(survey["is_half"].to_pylist()),
    }


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


def as_row_table(keys: NDArray[np.int64], lists: Lists) -> pa.Table:
    """Return `id, rank, neighbor_id, score` of lists whose keys are the ids."""
    present = ~np.isnan(lists.scores)
    row, place = np.nonzero(present)
    columns = (keys[row], (place + 1).astype(np.int32), lists.keys[present], lists.scores[present])
    return pa.Table.from_arrays([pa.array(column) for column in columns], names=VECTOR_NEIGHBORS["bigint"].names)


def as_rows(recommendations: DataFrame, *, whole_ids: bool) -> DataFrame:
    """Return `id, rank, neighbor_id, score` of `schemas.RECOMMENDATIONS`."""
    kind = "bigint" if whole_ids else "string"
    return recommendations.select(
        F.col("track_id").cast(kind).alias("id"),
        "rank",
        F.col("recommended_track_id").cast(kind).alias("neighbor_id"),
        "score",
    )


def _surveyor(share: float, seed: int) -> Callable[[Batches], Batches]:
    def survey_batches(batches: Batches) -> Batches:
        for batch in batches:
            column = batch.column("vector")
            lengths = numbers(pa.compute.fill_null(pa.compute.list_value_length(column), 0)).astype(np.int64)
            flat = column.flatten()
            # A missing number is no number.
            values = numbers(pa.compute.fill_null(flat, float("nan"))).astype(np.float32)
            shape = (len(lengths), int(lengths.max(initial=0)))
            if values.size == shape[0] * shape[1] and np.isfinite(values).all():
                yield _survey_even(batch, values.reshape(shape), share=share, seed=seed)
            else:
                yield _survey_odd(batch, values, lengths)

    return survey_batches


def _survey_even(batch: pa.RecordBatch, values: NDArray[np.float32], *, share: float, seed: int) -> pa.RecordBatch:
    squares = np.einsum("ij,ij->i", values, values, dtype=np.float64)
    keys = numbers(pa.compute.fill_null(batch.column("key"), 0)).astype(np.int64)
    rows = np.flatnonzero(is_drawn(keys, share=share, seed=seed))
    return _as_survey(
        batch, values, n_empty=0, dims=(values.shape[1],) * 2, n_not_finite=0, squares=squares,
        n_zero=int((squares == 0).sum()), sample=(keys[rows].tobytes(), values[rows].tobytes()),
    )  # fmt: skip


def _survey_odd(batch: pa.RecordBatch, values: NDArray[np.float32], lengths: NDArray[np.int64]) -> pa.RecordBatch:
    owner = np.repeat(np.arange(len(lengths)), lengths)
    finite = np.isfinite(values)
    bad_rows = np.bincount(owner[~finite], minlength=len(lengths)) > 0
    known = np.where(finite, values, 0.0).astype(np.float64)
    squares = np.bincount(owner, weights=known**2, minlength=len(lengths)).astype(np.float64)
    return _as_survey(
        batch, values[finite], n_empty=int((lengths == 0).sum()),
        dims=(int(lengths.min(initial=MAX_DIM + 1)), int(lengths.max(initial=0))),
        n_not_finite=int(bad_rows.sum()), squares=squares,
        n_zero=int(((squares == 0) & (lengths > 0) & ~bad_rows).sum()), sample=(b"", b""),
    )  # fmt: skip


def _as_survey(
    batch: pa.RecordBatch,
    values: NDArray[np.float32],
    *,
    n_empty: int,
    dims: tuple[int, int],
    n_not_finite: int,
    squares: NDArray[np.float64],
    n_zero: int,
    sample: tuple[bytes, bytes],
) -> pa.RecordBatch:
    with np.errstate(over="ignore"):
        is_half = bool((as_stored(values, "<f2")[1] == values).all())
    row = {
        "n_rows": batch.num_rows,
        "n_without_id": batch.column("id").null_count,
        "n_empty": n_empty,
        "min_dim": dims[0],
        "max_dim": dims[1],
        "n_not_finite": n_not_finite,
        "n_zero": n_zero,
        "max_norm": float(np.sqrt(squares.max(initial=0.0))),
        "is_half": is_half,
        "keys": sample[0],
        "vectors": sample[1],
    }
    return pa.RecordBatch.from_pylist([row])
