"""Brute-force top-k: the truth that recall is measured against."""

from __future__ import annotations

from musicrec.algorithms.kernel import Lists, Members, empty_lists, merge_lists, nearest_in_bucket
from musicrec.algorithms.spaces import Metric

CHUNK_ROWS = 16_384


def exact_nearest(queries: Members, candidates: Members, *, k: int, metric: Metric = "cosine") -> Lists:
    """Return the exact k nearest of each query, shapes (n_queries, k), in memory for one chunk of candidates."""
    lists = empty_lists(len(queries), k)
    for start in range(0, len(candidates), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        chunk = Members(candidates.keys[rows], candidates.recordings[rows], candidates.vectors[rows])
        lists = merge_lists(lists, nearest_in_bucket(queries, chunk, k=k, metric=metric))
    return lists
