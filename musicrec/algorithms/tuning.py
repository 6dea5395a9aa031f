"""Choose the margin tau for a recall target.

A query finds a neighbor that stands in its home bucket. Whether it does is known from memberships alone, so
the recall of any tau can be read off a sample of true pairs before any join runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicrec.algorithms.hashing import Voronoi
from musicrec.algorithms.metrics import mean_with_bound

# Fractions of the median distance to the k-th neighbor.
TAU_GRID = tuple(round(0.05 * step, 2) for step in range(41))


def shared_bucket(
    family: Voronoi, queries: NDArray[np.float32], neighbors: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return (n_queries, k): whether each query finds its neighbors in a home bucket.

    Parameters
    ----------
    family : Voronoi
    queries : float32 array, shape (n_queries, d)
    neighbors : float32 array, shape (n_queries, k, d)
    """
    n, k, d = neighbors.shape
    own = family.assign(queries)[:, : family.n_homes]
    other = family.assign(neighbors.reshape(n * k, d)).reshape(n, k, -1)
    meet = (own[:, None, :, None] == other[:, :, None, :]) & (own[:, None, :, None] >= 0)
    shared: NDArray[np.bool_] = meet.any(axis=(2, 3))
    return shared


def choose_tau(
    family: Voronoi,
    queries: NDArray[np.float32],
    neighbors: NDArray[np.float32],
    known: NDArray[np.bool_],
    *,
    target_recall: float,
    unit: float,
) -> float:
    """Return the smallest tau of the grid whose lower 95 % bound of recall reaches the target.

    Parameters
    ----------
    family : Voronoi
        Its tau does not matter.
    queries, neighbors : float32 arrays, shapes (n, d) and (n, k, d)
        A sample and its true neighbors.
    known : bool array, shape (n, k)
        Which neighbors exist.
    target_recall : float
    unit : float
        The median distance to the k-th neighbor.

    Returns
    -------
    float
        The largest of the grid where none reaches the target.
    """
    counts = np.maximum(known.sum(axis=1), 1)
    for fraction in TAU_GRID:
        candidate = Voronoi(family.leaders, fraction * unit, family.max_copies)
        shared = shared_bucket(candidate, queries, neighbors) & known
        if mean_with_bound(shared.sum(axis=1) / counts).lower >= target_recall:
            return fraction * unit
    return TAU_GRID[-1] * unit
