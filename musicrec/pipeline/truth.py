"""The truth of a sample of items: their exact neighbors, found in one pass, and the recall measured by them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.algorithms.kernel import Members
from musicrec.algorithms.metrics import mean_with_bound, recall_per_query
from musicrec.algorithms.spaces import Space, distances
from musicrec.algorithms.tuning import intrinsic_dimension
from musicrec.arrow import numbers
from musicrec.pipeline.context import Context, log
from musicrec.stages import evaluate, join, sample


@dataclass(frozen=True)
class Truth:
    """Exact neighbors of a sample of items: the k-th score is what a found neighbor must reach.

    `scores` (n, k) is NaN and `vectors` (n, k, d) 0 where fewer than k exist.
    """

    space: Space
    queries: Members
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32]


def find_truth(context: Context, items: DataFrame, *, n_items: int, space: Space) -> Truth:
    """Return the exact neighbors of `neighbors.n_truth_queries` items, drawn by hash."""
    settings, seed = context.config.neighbors, context.config.model.seed
    drawn = sample.keep_sample(
        items, key="item_key", n_rows=n_items, sample_size=settings.n_truth_queries, seed=seed
    ).toArrow()
    queries = evaluate.as_items(drawn, space.vector_type)
    exact = evaluate.as_exact_candidates(items, queries=drawn, k=settings.k, space=space)
    lists = join.as_neighbors(exact, n_partitions=1, k=settings.k).toArrow().sort_by("item_key")
    keys = _padded(lists.column("neighbor_keys"), settings.k, fill=-1).astype(np.int64)
    scores = _padded(lists.column("scores"), settings.k, fill=math.nan).astype(np.float32)
    return Truth(space, queries, scores, _vectors_of(context, items, keys, space=space))


def _vectors_of(
    context: Context, items: DataFrame, keys: NDArray[np.int64], *, space: Space
) -> NDArray[np.float32]:
    wanted = np.unique(keys[keys != -1])
    table = pa.table({"item_key": pa.array(wanted, type=pa.int64())})
    chosen = F.broadcast(context.session.createDataFrame(table))
    found = evaluate.as_items(items.join(chosen, on="item_key", how="left_semi").toArrow(), space.vector_type)
    place = np.searchsorted(found.keys, keys).clip(0, max(0, len(found) - 1))
    if not len(found):
        return np.zeros((*keys.shape, 1), dtype=np.float32)
    vectors: NDArray[np.float32] = space.as_found(found.vectors.astype(np.float32))[place]  # (n, k, d)
    vectors[keys == -1] = 0.0
    return vectors


def measure_recall(context: Context, neighbors: DataFrame, truth: Truth) -> dict[str, Any]:
    """Return what the report says of the recall of `schemas.NEIGHBORS`, with its 95 % bound and by density."""
    queries = context.session.createDataFrame(pa.table({"item_key": pa.array(truth.queries.keys)}))
    found = evaluate.keep_listed(neighbors, queries=queries).toArrow()
    by_key = dict(zip(numbers(found.column("item_key")).tolist(), found.column("scores"), strict=True))
    none = np.empty(0, dtype=np.float32)
    scores = [
        by_key[key].values.to_numpy(zero_copy_only=False) if key in by_key else none
        for key in truth.queries.keys.tolist()
    ]
    recalls = recall_per_query(truth.scores, scores)
    recall = mean_with_bound(recalls)
    k = context.config.neighbors.k
    log.info("             recall@%d %.4f (at least %.4f, 95 %%)", k, recall.mean, recall.lower)
    target = context.config.neighbors.target_recall
    if recall.lower < target:
        log.warning("             recall target %.4f missed: raise neighbors.max_copies or leaf_size", target)
    return {
        "intrinsic_dimension": _finite(intrinsic_dimension(distances(truth.scores, truth.space.metric))),
        "k": k,
        "target_recall": target,
        "target_met": bool(recall.lower >= target),
        "n_truth_queries": len(scores),
        "recall_at_k": round(recall.mean, 6),
        "recall_lower_95": round(recall.lower, 6),
        "recall_by_density": [round(float(r), 4) for r in _by_density(recalls, truth)],
    }


def _by_density(recalls: NDArray[np.float64], truth: Truth) -> list[float]:
    """Return the mean recall of ten groups of queries, from the densest surroundings to the sparsest."""
    n_known = (~np.isnan(truth.scores)).sum(axis=1)
    last = truth.scores[np.arange(len(n_known)), np.maximum(n_known - 1, 0)]
    order = np.argsort(-np.nan_to_num(last, nan=-2.0), kind="stable")
    return [float(recalls[rows].mean()) for rows in np.array_split(order, 10) if len(rows)]


def _finite(value: float) -> float | None:
    """Return the value as JSON can hold it."""
    return round(value, 2) if math.isfinite(value) else None


def _padded(column: pa.ChunkedArray, width: int, *, fill: float) -> NDArray[Any]:
    lists = column.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.asarray(pa.compute.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)
    values = pa.compute.list_flatten(lists).to_numpy(zero_copy_only=False)
    padded = np.full((len(lengths), width), fill, dtype=values.dtype if len(values) else np.float64)
    padded[np.arange(width) < lengths[:, None]] = values
    return padded
