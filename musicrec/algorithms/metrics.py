"""What a list is worth: recall of the neighbor join, and precision of retrieval on songs held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z_95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    lower: float
    upper: float


def recall_per_query(
    true_scores: NDArray[np.float32], found_scores: list[NDArray[np.float32]], *, tolerance: float = 2e-6
) -> Floats:
    """Return the tie-aware recall of each query.

    A found neighbor counts when it scores at least as high as the last of the true ones: among equals any
    is right.

    Parameters
    ----------
    true_scores : float32 array, shape (n_queries, k)
        Falling; NaN beyond the number of neighbors that exist.
    found_scores : list of float32 arrays
        Scores of the distinct neighbors found.
    tolerance : float
        Twice the rounding of a score.

    Returns
    -------
    float64 array, shape (n_queries,)
        0..1; 1 where no neighbor exists.
    """
    recalls = np.ones(len(true_scores))
    for i, (true, found) in enumerate(zip(true_scores, found_scores, strict=True)):
        n_true = int(np.count_nonzero(~np.isnan(true)))
        if n_true:
            n_good = np.count_nonzero(found >= true[n_true - 1] - tolerance)
            recalls[i] = min(int(n_good), n_true) / n_true
    return recalls


def mean_with_bound(values: Floats) -> Estimate:
    """Return the mean of independent values and its normal 95 % interval, cut to [0, 1]."""
    mean = float(values.mean())
    error = Z_95 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return Estimate(mean, max(0.0, mean - error), min(1.0, mean + error))


def bootstrap(values: Floats, *, n_resamples: int, seed: int) -> Estimate:
    """Return the mean over queries with its 95 % percentile bootstrap interval.

    Parameters
    ----------
    values : float64 array, shape (n_queries,)
    n_resamples : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    means = [float(values[rng.integers(0, len(values), len(values))].mean()) for _ in range(n_resamples)]
    lower, upper = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(lower), float(upper))


def nearest_by_other_artists(
    vectors: NDArray[np.float32], artists: NDArray[np.int64], *, k: int, block_rows: int = 512
) -> NDArray[np.int64]:
    """Return for each song its k nearest by cosine that are not by the same artist.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        Need not be normalized.
    artists : int64 array, shape (n,)

    Returns
    -------
    int64 array, shape (n, k)
        Row numbers; -1 where fewer exist.
    """
    unit = torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1)
    artist = torch.from_numpy(artists)
    k_found = min(k, len(unit))
    nearest = torch.full((len(unit), k), -1)
    for start in range(0, len(unit), block_rows):
        rows = slice(start, start + block_rows)
        scores = unit[rows] @ unit.T  # (block, n)
        scores.masked_fill_(artist[rows, None] == artist[None, :], float("-inf"))
        best = torch.topk(scores, k_found, dim=1)
        nearest[rows, :k_found] = torch.where(best.values > float("-inf"), best.indices, -1)
    return nearest.numpy()


def shares_a_group(nearest: NDArray[np.int64], memberships: list[frozenset[int]]) -> NDArray[np.bool_]:
    """Return (n, k): whether the neighbor shares a group (a playlist, say) with the query."""
    return np.array(
        [
            [other >= 0 and not own.isdisjoint(memberships[other]) for other in row]
            for own, row in zip(memberships, nearest.tolist(), strict=True)
        ]
    )
