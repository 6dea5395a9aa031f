"""Embeddings → items (songs with equal vectors are one) → blocks of items that share a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from musicrec.algorithms.hashing import HashFamily
from musicrec.algorithms.kernel import Members
from musicrec.algorithms.layout import Layout
from musicrec.algorithms.spaces import Space, pair_scores
from musicrec.arrow import (
    column_matrix,
    column_vectors,
    gather_batches,
    numbers,
    vector_column,
)
from musicrec.schemas import BLOCKS, MEMBERS, VECTORS

# Rows grouped together: many per bucket, so that a block is worth its overhead; and rows of one block at
# most, so that a row of Spark stays below a megabyte.
GROUPED_ROWS = 131_072
MAX_BLOCK_ROWS = 4096
BLOCKS_PER_BATCH = 512


def as_vectors(embeddings: DataFrame, *, one_per_recording: bool, space: Space) -> DataFrame:
    """Return `schemas.VECTORS`: each song's vector as one binary.

    Parameters
    ----------
    embeddings : DataFrame
        `schemas.EMBEDDINGS`.
    one_per_recording : bool
        A list holds a recording once and never the song's own; else each song is its own recording.
    space : Space
    """
    vectors = embeddings.mapInArrow(_packer(space), VECTORS)
    return vectors if one_per_recording else vectors.withColumn("recording_key", F.col("track_key"))


def keep_repeated(vectors: DataFrame) -> DataFrame:
    """Return `vector_key`, the hashes that more than one vector has."""
    counts = vectors.groupBy(F.xxhash64("vector").alias("vector_key")).agg(F.count("*").alias("n"))
    return counts.where("n > 1").select("vector_key")


def as_members(vectors: DataFrame, *, repeated: DataFrame, k: int) -> DataFrame:
    """Return `schemas.MEMBERS`: each song with its item.

    Catalogs are full of songs with equal vectors, and no splitter can divide them: comparing n equal songs
    would cost n squared. Of an item's songs a list can hold only the first k + 1 recordings by id, one of
    which may be the query's own.

    Parameters
    ----------
    vectors : DataFrame
        `schemas.VECTORS`.
    repeated : DataFrame
        What `keep_repeated` returns. Only songs with these hashes are compared: most songs have no equal.
    k : int
    """
    hashed = vectors.withColumn("vector_key", F.xxhash64("vector"))
    single = hashed.join(repeated, on="vector_key", how="left_anti").withColumns(
        {
            "item_key": F.col("track_key"),
            "n_members": F.lit(1).cast("long"),
            "item_recording_key": F.col("recording_key"),
            "position": F.lit(1),
        }
    )
    several = hashed.join(repeated, on="vector_key", how="left_semi").transform(lambda rows: _grouped(rows, k=k))
    return single.select(*MEMBERS.names).unionByName(several.select(*MEMBERS.names))


def _grouped(vectors: DataFrame, *, k: int) -> DataFrame:
    item = Window.partitionBy("vector")
    so_far = item.orderBy("track_id").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    of_recording = Window.partitionBy("vector", "recording_key").orderBy("track_id")
    grouped = vectors.withColumns(
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
    )


def keep_items(members: DataFrame) -> DataFrame:
    """Return `item_key, item_recording_key, vector`, one row per item."""
    return members.where("vector IS NOT NULL").select("item_key", "item_recording_key", "vector")


def as_blocks(
    items: DataFrame, *, family: HashFamily, space: Space, layout: Layout, targets: Sequence[int]
) -> DataFrame:
    """Return `schemas.BLOCKS`: the items of each bucket, those of some Arrow batches together.

    Parameters
    ----------
    items : DataFrame
        What `keep_items` returns.
    family : HashFamily
        Which buckets an item belongs to.
    space : Space
    layout : Layout
        Into how many parts a bucket is cut, and where its units go.
    targets : sequence of int
        For each partition a number that Spark's hash sends there.
    """
    return items.mapInArrow(_blocker(family, space, layout, tuple(targets)), BLOCKS)


def _packer(space: Space) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def pack_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)
        for batch in batches:
            if batch.num_rows:
                vectors = column_matrix(batch.column("embedding")).astype(space.vector_type)
                same = torch.from_numpy(vectors.astype(np.float32))
                keys = [batch.column(name) for name in ("track_key", "track_id", "recording_key")]
                columns = [*keys, pa.array(pair_scores(same, same, space.metric)), vector_column(vectors)]
                yield pa.RecordBatch.from_arrays(columns, names=VECTORS.names)

    return pack_batches


def _blocker(
    family: HashFamily, space: Space, layout: Layout, targets: tuple[int, ...]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def block_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)
        for table in gather_batches(batches, n_rows=GROUPED_ROWS):
            items = Members(
                numbers(table.column("item_key")),
                numbers(table.column("item_recording_key")),
                column_vectors(table.column("vector"), space.vector_type),
            )
            vectors = items.vectors.astype(np.float32)
            buckets = family.assign(space.as_found(vectors), space.as_asking(vectors))  # (n, copies)
            blocks = list(_blocks(buckets, items.keys, n_homes=family.n_homes, layout=layout))
            # In slices: the blobs of all blocks at once would double the memory of a large group.
            for first in range(0, len(blocks), BLOCKS_PER_BATCH):
                some = blocks[first : first + BLOCKS_PER_BATCH]
                yield _as_batch(some, items, layout=layout, targets=targets)

    return block_batches


@dataclass(frozen=True)
class _Block:
    """Rows of a group of items that stand in one part of a bucket, for one of its units."""

    bucket: int
    unit: int
    part: int
    is_home: bool
    rows: NDArray[np.int64]


def _blocks(
    buckets: NDArray[np.int64], keys: NDArray[np.int64], *, n_homes: int, layout: Layout
) -> Iterator[_Block]:
    row, slot = np.nonzero(buckets >= 0)
    named = 2 * buckets[row, slot] + (slot < n_homes)
    order = np.argsort(named, kind="stable")
    row, named = row[order], named[order]
    starts = np.flatnonzero(np.r_[True, named[1:] != named[:-1]])
    for start, rows in zip(starts, np.split(row, starts[1:]), strict=True):
        bucket, is_home = int(named[start]) // 2, bool(named[start] % 2)
        n_parts = layout.parts_of(bucket)
        for part in range(n_parts):
            members = rows if n_parts == 1 else rows[np.mod(keys[rows], n_parts) == part]
            for first in range(0, len(members), MAX_BLOCK_ROWS):
                for unit in range(n_parts):
                    yield _Block(bucket, unit, part, is_home, members[first : first + MAX_BLOCK_ROWS])


def _as_batch(blocks: list[_Block], items: Members, *, layout: Layout, targets: tuple[int, ...]) -> pa.RecordBatch:
    columns = [
        pa.array([targets[layout.partition_of(b.bucket, b.unit)] for b in blocks], type=pa.int32()),
        pa.array([b.bucket for b in blocks], type=pa.int64()),
        pa.array([b.unit for b in blocks], type=pa.int32()),
        pa.array([b.part for b in blocks], type=pa.int32()),
        pa.array([b.is_home for b in blocks], type=pa.bool_()),
        pa.array([len(b.rows) for b in blocks], type=pa.int32()),
        *[
            pa.array([values[b.rows].tobytes() for b in blocks], type=pa.binary())
            for values in (items.keys, items.recordings, items.vectors)
        ],
    ]
    return pa.RecordBatch.from_arrays(columns, names=BLOCKS.names)
