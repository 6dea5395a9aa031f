"""The recall of the lists, measured by the truth of a sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from musicrec.arrays import Doubles, Floats
from musicrec.config import NeighborsConfig
from musicrec.context import log
from musicrec.measures.metrics import mean_with_bound, recall_per_query
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.spaces import Space, distances
from musicrec.neighbors.search.tune import intrinsic_dimension
from musicrec.neighbors.truth import Truth


def lists_as_truth(scores: list[Floats], queries: Items, *, space: Space, k: int) -> Truth:
    """Return the lists of queries that have met all items: they are the truth themselves.

    Parameters
    ----------
    scores : list of float32 arrays
        Of each query's list, falling.
    queries : Items
    space : Space
    k : int
    """
    known = np.full((len(queries), k), np.nan, dtype=np.float32)
    for row, some in zip(known, scores, strict=True):
        row[: len(some)] = some[:k]
    return Truth(space, queries, known, np.full(known.shape, -1))


def measure_recall(settings: NeighborsConfig, scores: list[Floats], truth: Truth) -> dict[str, Any]:
    """Return what the report says of the recall of the queries' lists, with its 95 % bound and by density.

    Parameters
    ----------
    settings : NeighborsConfig
    scores : list of float32 arrays
        Of each query's list, falling.
    truth : Truth
    """
    recalls = recall_per_query(truth.scores, scores)
    recall = mean_with_bound(recalls)
    k, target = settings.k, settings.target_recall
    log.info("recall@%d %.4f (at least %.4f, 95 %%)", k, recall.mean, recall.lower)
    if recall.lower < target:
        log.warning("recall target %.4f missed: set neighbors.expert.tau = 0, which chooses it", target)
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


def _by_density(recalls: Doubles, truth: Truth) -> list[float]:
    """Return the mean recall of ten groups of queries, from the densest surroundings to the sparsest."""
    n_known = (~np.isnan(truth.scores)).sum(axis=1)
    last = truth.scores[np.arange(len(n_known)), np.maximum(n_known - 1, 0)]
    order = np.argsort(-np.nan_to_num(last, nan=-2.0), kind="stable")
    return [float(recalls[rows].mean()) for rows in np.array_split(order, 10) if len(rows)]


def _finite(value: float) -> float | None:
    """Return the value as JSON can hold it."""
    return round(value, 2) if math.isfinite(value) else None
