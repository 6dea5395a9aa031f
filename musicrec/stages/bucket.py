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
from musicrec.arrow import VECTOR_TYPE, column_matrix, column_vectors, numbers, vector_column
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


def as_blocks(members: DataFrame, *, family: HashFamily) -> DataFrame:
    """Return `schemas.BLOCKS`: the items of each bucket, grouped within an Arrow batch.

    Parameters
    ----------
    members : DataFrame
        `schemas.MEMBERS`.
    family : HashFamily
        Which buckets an item belongs to.
    """
    items = members.where("vector IS NOT NULL").select("item_key", "item_recording_key", "vector")
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
        for table in _gathered(batches):
            keys, recordings = numbers(table.column("item_key")), numbers(table.column("item_recording_key"))
            vectors = column_vectors(table.column("vector"))
            buckets = family.assign(vectors.astype(np.float32))  # (n, max_copies)
            yield from _grouped(buckets, keys, recordings, vectors)

    return block_batches


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= GROUPED_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if sum(b.num_rows for b in held):
        yield pa.Table.from_batches(held)


def _grouped(
    buckets: NDArray[np.int64],
    keys: NDArray[np.int64],
    recordings: NDArray[np.int64],
    vectors: NDArray[np.float16],
) -> Iterator[pa.RecordBatch]:
    copies = (buckets >= 0).sum(axis=1).astype(np.uint8)
    blocks = _rows_by_bucket(buckets)
    # Yielded in slices: the blobs of all blocks at once would double the memory of a large group.
    for first in range(0, len(blocks), BLOCKS_PER_BATCH):
        names, rows = zip(*blocks[first : first + BLOCKS_PER_BATCH], strict=True)
        columns = [
            pa.array(names, type=pa.int64()),
            pa.array([len(members) for members in rows], type=pa.int32()),
            *[
                pa.array([values[members].tobytes() for members in rows], type=pa.binary())
                for values in (keys, recordings, copies, vectors)
            ],
        ]
        yield pa.RecordBatch.from_arrays(columns, names=BLOCKS.names)


def _rows_by_bucket(buckets: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
    """Return (bucket, rows) pairs; a bucket of many rows has several."""
    row, slot = np.nonzero(buckets >= 0)
    named = buckets[row, slot]
    order = np.argsort(named, kind="stable")
    row, named = row[order], named[order]
    starts = np.flatnonzero(np.r_[True, named[1:] != named[:-1]])
    return [
        (int(named[start]), members[first : first + MAX_BLOCK_ROWS])
        for start, members in zip(starts, np.split(row, starts[1:]), strict=True)
        for first in range(0, len(members), MAX_BLOCK_ROWS)
    ]
