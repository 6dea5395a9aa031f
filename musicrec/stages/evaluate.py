"""The truth for a sample of items: their exact neighbors, in one pass over the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.algorithms.exact import CHUNK_ROWS, exact_nearest
from musicrec.algorithms.kernel import Lists, Members, empty_lists, merge_lists
from musicrec.algorithms.spaces import Space
from musicrec.arrow import column_vectors, gather_batches, numbers, present_columns
from musicrec.schemas import CANDIDATES


def as_exact_candidates(items: DataFrame, *, queries: pa.Table, k: int, space: Space) -> DataFrame:
    """Return `schemas.CANDIDATES`: for each task the nearest of its items to each query.

    Parameters
    ----------
    items : DataFrame
        `item_key, item_recording_key, vector`.
    queries : pyarrow.Table
        Some of these rows, a few thousand.
    k : int
    space : Space
    """
    sample = as_items(queries, space.vector_type)
    return items.mapInArrow(_searcher(sample, k, space), CANDIDATES)


def keep_listed(neighbors: DataFrame, *, queries: DataFrame) -> DataFrame:
    """Return `item_key, scores` of the queries."""
    return neighbors.join(F.broadcast(queries), on="item_key", how="left_semi").select("item_key", "scores")


def as_items(table: pa.Table, vector_type: str) -> Members:
    """Return the items of a collected table by rising key."""
    keys, recordings = numbers(table.column("item_key")), numbers(table.column("item_recording_key"))
    return Members(keys, recordings, column_vectors(table.column("vector"), vector_type)).sorted()


def keep_costs(neighbors: DataFrame) -> DataFrame:
    """Return `n_pairs, n_items`, one row per file: what each task of the join compared."""
    by_file = neighbors.groupBy(F.col("_metadata.file_path").alias("file"))
    return by_file.agg(F.sum("n_compared").alias("n_pairs"), F.count("*").alias("n_items")).drop("file")


def _searcher(
    queries: Members, k: int, space: Space
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def search_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)
        best, n_compared = empty_lists(len(queries), k), 0
        for table in gather_batches(batches, n_rows=CHUNK_ROWS):
            n_compared += table.num_rows
            best = merge_lists(
                best, exact_nearest(queries, as_items(table, space.vector_type), k=k, metric=space.metric)
            )
        yield _as_batch(queries, best, n_compared=n_compared)

    return search_batches


def _as_batch(queries: Members, lists: Lists, *, n_compared: int) -> pa.RecordBatch:
    columns = present_columns(~np.isnan(lists.scores), lists.keys, lists.recordings, lists.scores)
    compared = pa.array(np.full(len(queries), n_compared, dtype=np.int64))
    return pa.RecordBatch.from_arrays([pa.array(queries.keys), compared, *columns], names=CANDIDATES.names)
