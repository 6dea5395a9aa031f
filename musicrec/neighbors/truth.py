"""The truth of a sample of items: their exact neighbors, found in one pass, and the recall measured by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.algorithms.bounds import reach_within
from musicrec.algorithms.hashing import HashFamily
from musicrec.algorithms.layout import CHUNK_ROWS, CellIndex, CellReader, cut_parts
from musicrec.algorithms.members import Members
from musicrec.algorithms.merging import Lists, merge_lists
from musicrec.algorithms.metrics import mean_with_bound, recall_per_query
from musicrec.algorithms.spaces import Frame, Space, distances
from musicrec.algorithms.tuning import intrinsic_dimension
from musicrec.algorithms.voronoi import Voronoi
from musicrec.pipeline.context import Context, log
from musicrec.stages import truth as stage
from musicrec.stages.truth import TruthSettings
from musicrec.storage.session import default_partitions


@dataclass(frozen=True)
class Truth:
    """Exact neighbors of a sample of items: the k-th score is what a found neighbor must reach.

    `scores` and `cells` (n, k): NaN and -1 where fewer than k exist; cells also where they are unknown.
    """

    space: Space
    queries: Members
    scores: NDArray[np.float32]
    cells: NDArray[np.int64]


def find_truth(
    context: Context,
    queries: Members,
    *,
    space: Space,
    family: HashFamily,
    frame: Frame,
    index: CellIndex,
    n_cells: int,
    read: Callable[[int], Members],
) -> Truth:
    """Return the exact neighbors of some items among those of the first `n_cells` cells."""
    k = context.config.neighbors.k
    n_shares = default_partitions(context.session)
    shares = cut_parts(index.counts[:n_cells].astype(np.float64), n_parts=n_shares)
    asking, leaders = asking_points(queries, space), None
    reach = np.full(len(queries), np.inf)
    if isinstance(family, Voronoi):
        leaders = family.leaders.centers
        reach = _reach(
            queries, asking, family.assign(asking)[:, 0], CellReader(read, index), index, space=space, k=k
        )
    settings = TruthSettings(k, queries, space, asking, reach, leaders, frame, index, shares, read)
    tasks = context.tasks(n_shares)
    rows = stage.as_truths(tasks, settings=settings).toArrow().to_pylist()
    found = [stage.as_truth(row, n_queries=len(queries)) for row in rows]
    lists = merge_lists([lists for lists, _ in found], k=k)
    return Truth(space, queries, lists.scores, _cells_of(lists, found))


def asking_points(items: Members, space: Space) -> NDArray[np.float32]:
    """Return where items stand as queries, (n, d)."""
    vectors = items.vectors.astype(np.float32)
    asking = space.as_asking(vectors)
    return space.as_found(vectors) if asking is None else asking


def _reach(
    queries: Members,
    asking: NDArray[np.float32],
    home: NDArray[np.int64],
    cells: CellReader,
    index: CellIndex,
    *,
    space: Space,
    k: int,
) -> NDArray[np.float64]:
    """Return how far the k-th nearest of each query's own cell is; no k nearest of all are farther."""
    reach = np.full(len(queries), np.inf)
    for i, cell in enumerate(home.tolist()):
        start = int(index.starts[cell])
        # The first of a cell that holds half of the catalog are enough.
        stop = min(int(index.starts[cell + 1]), start + CHUNK_ROWS)
        if stop > start:
            items = cells.rows(start, stop)
            points = space.as_found(items.vectors.astype(np.float32))
            reach[i] = reach_within(asking[i], int(queries.recordings[i]), points, items.recordings, k=k)
    return reach


def _cells_of(lists: Lists, found: list[tuple[Lists, NDArray[np.int64]]]) -> NDArray[np.int64]:
    keys = np.concatenate([some.keys.ravel() for some, _ in found])
    cells = np.concatenate([some.ravel() for _, some in found])
    names, first = np.unique(keys, return_index=True)
    place = np.searchsorted(names, lists.keys)
    return np.where(lists.keys == -1, -1, cells[first][place.clip(0, len(names) - 1)])


def as_truth(scores: list[NDArray[np.float32]], queries: Members, *, space: Space, k: int) -> Truth:
    """Return the lists of queries that have met all items: they are the truth themselves."""
    known = np.full((len(queries), k), np.nan, dtype=np.float32)
    for row, some in zip(known, scores, strict=True):
        row[: len(some)] = some[:k]
    return Truth(space, queries, known, np.full(known.shape, -1))


def scores_of(units: list[dict[str, Any]], queries: Members) -> list[NDArray[np.float32]]:
    """Return the scores of the lists of queries, falling, from rows of `schemas.UNITS`."""
    by_key: dict[int, NDArray[np.float32]] = {}
    for row in units:
        keys = np.frombuffer(row["asked_keys"], dtype=np.int64)
        found = np.frombuffer(row["asked_scores"], dtype=np.float32).reshape(len(keys), -1 if len(keys) else 0)
        by_key |= {key: some[~np.isnan(some)] for key, some in zip(keys.tolist(), found, strict=True)}
    return [by_key[key] for key in queries.keys.tolist()]


def measure_recall(context: Context, scores: list[NDArray[np.float32]], truth: Truth) -> dict[str, Any]:
    """Return what the report says of the recall of the queries' lists, with its 95 % bound and by density."""
    recalls = recall_per_query(truth.scores, scores)
    recall = mean_with_bound(recalls)
    k = context.config.neighbors.k
    log.info("             recall@%d %.4f (at least %.4f, 95 %%)", k, recall.mean, recall.lower)
    target = context.config.neighbors.target_recall
    if recall.lower < target:
        log.warning("             recall target %.4f missed: set neighbors.tau = 0, which chooses it", target)
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
