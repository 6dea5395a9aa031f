"""Recall of the neighbor join, and intervals of means over queries: normal, or by the bootstrap (Efron 1979)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Doubles, Floats

Z_95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    lower: float
    upper: float


def recall_per_query(true_scores: Floats, found_scores: list[Floats], *, tolerance: float = 2e-6) -> Doubles:
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


def mean_with_bound(values: Doubles) -> Estimate:
    """Return the mean of independent values and its normal 95 % interval, cut to [0, 1]."""
    mean = float(values.mean())
    error = Z_95 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return Estimate(mean, max(0.0, mean - error), min(1.0, mean + error))


def resampled_means(values: Doubles, *, n_resamples: int, seed: int) -> Doubles:
    """Return bootstrap means over queries; all rows are resampled alike, so their differences and ratios hold.

    Parameters
    ----------
    values : float64 array, shape (n_rows, n_queries)
        Measures of methods, a row each.
    n_resamples : int
    seed : int

    Returns
    -------
    float64 array, shape (n_rows, n_resamples)
    """
    rng = np.random.default_rng(seed)
    n_queries = values.shape[1]
    means = np.empty((len(values), n_resamples))
    for i in range(n_resamples):
        counts = np.bincount(rng.integers(0, n_queries, n_queries), minlength=n_queries)
        means[:, i] = values @ counts / n_queries
    return means


def percentile_interval(mean: float, resampled: Doubles) -> Estimate:
    """Return a mean with the interval that holds 95 % of its `resampled` values."""
    lower, upper = np.percentile(resampled, [2.5, 97.5])
    return Estimate(float(mean), float(lower), float(upper))
