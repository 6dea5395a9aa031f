"""Embeddings → items (songs with equal vectors are one) → blocks of items that share a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from musicrec.algorithms.hashing import HashFamily
from musicrec.arrow import (
    VECTOR_TYPE,
    column_matrix,
    column_vectors,
    gather_batches,
    numbers,
    vector_column,
)
from musicrec.schemas import BLOCKS, MEMBERS

# Rows grouped together: many per bucket, so that a block is worth its overhead; and rows of one block at
# most, so that a row of Spark stays below a megabyte.
GROUPED_ROWS = 131_072
MAX_BLOCK_ROWS = 4096
BLOCKS_PER_BATCH = 512


def as_members(embeddings: DataFrame, *, k: int, one_per_recording: bool) -> DataFrame:
    """Return `schemas.MEMBERS`: each song with its item.

    Catalogs are full of songs with equal vectors, and no splitter can divide them: comparing n equal songs
    would cost n squared. Of an item's songs a list can hold only the first k + 1 recordings by id, one of
    which may be the query's own.

    Parameters
    ----------
    embeddings : DataFrame
        `schemas.EMBEDDINGS`.
    k : int
    one_per_recording : bool
        A list holds a recording once and never the song's own; else each song is its own recording.
    """
    packed = embeddings.mapInArrow(_pack, "track_key long, track_id string, recording_key long, vector binary")
    if not one_per_recording:
        packed = packed.withColumn("recording_key", F.col("track_key"))
    item = Window.partitionBy("vector")
    so_far = item.orderBy("track_id").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    of_recording = Window.partitionBy("vector", "recording_key").orderBy("track_id")
    grouped = packed.withColumns(
        {
            "is_first": F.row_number().over(of_recording) == 1,
            "item_key": F.min("track_key").over(item),
            "n_members": F.count("*").over(item),
            "one_recording": F.min("recording_key").over(item) == F.max("recording_key").over(item),
        }
    )
    place = F.sum(F.col("is_first").cast("int")).over(so_far)
    return grouped.withColumns(
        {
            "position": F.when(F.col("is_first") & (place <= k + 1), place).cast("int"),
            "item_recording_key": F.when(F.col("one_recording"), F.col("recording_key")).otherwise(
                F.col("item_key")
            ),
            "vector": F.when(F.col("track_key") == F.col("item_key"), F.col("vector")),
        }
    ).select(*MEMBERS.names)


def keep_items(members: DataFrame) -> DataFrame:
    """Return `item_key, item_recording_key, vector`, one row per item."""
    return members.where("vector IS NOT NULL").select("item_key", "item_recording_key", "vector")


def as_blocks(items: DataFrame, *, family: HashFamily) -> DataFrame:
    """Return `schemas.BLOCKS`: the items of each bucket, those of some Arrow batches together.

    Parameters
    ----------
    items : DataFrame
        What `keep_items` returns.
    family : HashFamily
        Which buckets an item belongs to.
    """
    return items.mapInArrow(_blocker(family), BLOCKS)


def _pack(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            vectors = vector_column(column_matrix(batch.column("embedding")).astype(VECTOR_TYPE))
            keys = [batch.column(name) for name in ("track_key", "track_id", "recording_key")]
            yield pa.RecordBatch.from_arrays(
                [*keys, vectors], names=["track_key", "track_id", "recording_key", "vector"]
            )


def _blocker(family: HashFamily) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def block_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)
        for table in gather_batches(batches, n_rows=GROUPED_ROWS):
            keys, recordings = numbers(table.column("item_key")), numbers(table.column("item_recording_key"))
            vectors = column_vectors(table.column("vector"))
            buckets = family.assign(vectors.astype(np.float32))  # (n, max_copies)
            yield from _grouped(buckets, keys, recordings, vectors, n_homes=family.n_homes)

    return block_batches


def _grouped(
    buckets: NDArray[np.int64],
    keys: NDArray[np.int64],
    recordings: NDArray[np.int64],
    vectors: NDArray[np.float16],
    *,
    n_homes: int,
) -> Iterator[pa.RecordBatch]:
    blocks = _rows_by_bucket(buckets, n_homes=n_homes)
    # Yielded in slices: the blobs of all blocks at once would double the memory of a large group.
    for first in range(0, len(blocks), BLOCKS_PER_BATCH):
        names, homes, rows = zip(*blocks[first : first + BLOCKS_PER_BATCH], strict=True)
        columns = [
            pa.array(names, type=pa.int64()),
            pa.array(homes, type=pa.bool_()),
            pa.array([len(members) for members in rows], type=pa.int32()),
            *[
                pa.array([values[members].tobytes() for members in rows], type=pa.binary())
                for values in (keys, recordings, vectors)
            ],
        ]
        yield pa.RecordBatch.from_arrays(columns, names=BLOCKS.names)


def _rows_by_bucket(buckets: NDArray[np.int64], *, n_homes: int) -> list[tuple[int, bool, NDArray[np.int64]]]:
    """Return (bucket, is_home, rows) of each block; a bucket of many rows has several."""
    row, slot = np.nonzero(buckets >= 0)
    named = 2 * buckets[row, slot] + (slot < n_homes)
    order = np.argsort(named, kind="stable")
    row, named = row[order], named[order]
    starts = np.flatnonzero(np.r_[True, named[1:] != named[:-1]])
    return [
        (int(named[start]) // 2, bool(named[start] % 2), members[first : first + MAX_BLOCK_ROWS])
        for start, members in zip(starts, np.split(row, starts[1:]), strict=True)
        for first in range(0, len(members), MAX_BLOCK_ROWS)
    ]
