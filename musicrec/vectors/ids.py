"""Anyone's ids and vectors → embeddings for the join, and its neighbors back under their ids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from musicrec.neighbors.cells import Cells
from musicrec.neighbors.join_tasks import Found
from musicrec.schemas import VECTOR_NEIGHBORS
from musicrec.spark.arrow import numbers
from musicrec.storage.rows import RowFiles
from musicrec.vectors.shared_items import ListRows, Shared, expand, make_shared

# Songs that share their vector with others: 24 bytes each, for every task.
MAX_SHARED = 5_000_000

WHOLE_NUMBERS = ("tinyint", "smallint", "int", "bigint")
MIN_DIM, MAX_DIM = 2, 2048
# What makes the least whole number zero, and numbers with room for the sum.
LEAST, WIDE, N_DIGITS = str(2**63), "decimal(22,0)", 22


def keep_repeated_ids(vectors: DataFrame) -> DataFrame:
    """Return `key, n_rows, first, last`, one row per key that more than one row has: an id, or a collision."""
    keys = vectors.groupBy(as_key(vectors).alias("key"))
    counts = keys.agg(F.count("*").alias("n_rows"), F.min("id").alias("first"), F.max("id").alias("last"))
    return counts.where("n_rows > 1")


def as_embeddings(vectors: DataFrame) -> DataFrame:
    """Return `track_key, track_id, facts, embedding`: each vector as it is, and known by its key alone."""
    key = as_key(vectors)
    return vectors.select(
        key.alias("track_key"),
        _as_text(vectors).alias("track_id"),
        F.array(key).alias("facts"),
        F.col("vector").cast("array<float>").alias("embedding"),
    )


def as_key(vectors: DataFrame) -> Column:
    """Return the 64-bit key of `id`: a whole number itself, else its hash; NULL without an id."""
    if has_whole_ids(vectors):
        return F.col("id").cast("long")
    return F.when(F.col("id").isNotNull(), F.xxhash64("id"))


def has_whole_ids(vectors: DataFrame) -> bool:
    """Return whether `id` is a whole number."""
    return vectors.schema["id"].dataType.simpleString() in WHOLE_NUMBERS


def as_row_table(rows: ListRows) -> pa.Table:
    """Return `id, rank, neighbor_id, score` of lists whose keys are the ids."""
    columns = (rows.songs, rows.ranks, rows.neighbors, rows.scores)
    return pa.Table.from_arrays([pa.array(column) for column in columns], names=VECTOR_NEIGHBORS["bigint"].names)


def _as_text(vectors: DataFrame) -> Column:
    """Return `id` as text that sorts as ids do: whole numbers by their value."""
    if not has_whole_ids(vectors):
        return F.col("id")
    return F.lpad((F.col("id").cast(WIDE) + F.lit(LEAST).cast(WIDE)).cast("string"), N_DIGITS, "0")


def row_writer(files: RowFiles, shared: Shared, k: int) -> Callable[[int, Found], None]:
    """Return what stores the lists of a unit as rows, where a key is an id: tasks write what is published.

    Parameters
    ----------
    files : RowFiles
    shared : Shared
        Of all songs.
    k : int
        Rows of a song.
    """

    def write(unit: int, found: Found) -> None:
        files.write(unit, as_row_table(expand(found.keys, found.lists, shared, k=k)))

    return write


def shared_items(cells: Cells) -> Shared | None:
    """Return what songs share, None where that is too much to send to every task."""
    if cells.n_repeated > MAX_SHARED:
        return None
    if not cells.n_repeated:
        nothing = np.empty(0, dtype=np.int64)
        return make_shared(nothing, nothing, np.empty(0, dtype=np.float32))
    table = cells.repeated.read()
    return make_shared(*(numbers(table.column(name)) for name in ("track_key", "item_key", "self_score")))
