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
from musicrec.arrow import column_vectors, list_column, numbers
from musicrec.schemas import CANDIDATES


def as_exact_candidates(members: DataFrame, *, queries: pa.Table, k: int) -> DataFrame:
    """Return `schemas.CANDIDATES`: for each task the nearest of its items to each query.

    Parameters
    ----------
    members : DataFrame
        `schemas.MEMBERS`.
    queries : pyarrow.Table
        `item_key, item_recording_key, vector` of the sample, a few thousand rows.
    k : int
    """
    sample = as_items(queries)
    items = keep_items(members)
    return items.mapInArrow(_searcher(sample, k), CANDIDATES)


def keep_items(members: DataFrame) -> DataFrame:
    """Return `item_key, item_recording_key, vector`, one row per item."""
    return members.where("vector IS NOT NULL").select("item_key", "item_recording_key", "vector")


def keep_listed(neighbors: DataFrame, *, queries: DataFrame) -> DataFrame:
    """Return `item_key, scores` of the queries."""
    return neighbors.join(F.broadcast(queries), on="item_key", how="left_semi").select("item_key", "scores")


def as_items(table: pa.Table) -> Members:
    """Return the items of a collected table by rising key."""
    keys, recordings = numbers(table.column("item_key")), numbers(table.column("item_recording_key"))
    return Members(keys, recordings, column_vectors(table.column("vector"))).sorted()


def _searcher(queries: Members, k: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def search_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)
        best = empty_lists(len(queries), k)
        for chunk in _chunks(batches):
            best = merge_lists(best, exact_nearest(queries, chunk, k=k))
        yield _as_batch(queries, best)

    return search_batches


def _chunks(batches: Iterator[pa.RecordBatch]) -> Iterator[Members]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= CHUNK_ROWS:
            yield as_items(pa.Table.from_batches(held))
            held = []
    if sum(b.num_rows for b in held):
        yield as_items(pa.Table.from_batches(held))


def _as_batch(queries: Members, lists: Lists) -> pa.RecordBatch:
    found = ~np.isnan(lists.scores)
    lengths = found.sum(axis=1)
    # Two copies, so that the merge takes them: a query has a list from each task.
    copies = np.full(len(queries), 2, dtype=np.int32)
    columns = [
        pa.array(queries.keys),
        pa.array(copies),
        *[list_column(values[found], lengths) for values in (lists.keys, lists.recordings, lists.scores)],
    ]
    return pa.RecordBatch.from_arrays(columns, names=CANDIDATES.names)
