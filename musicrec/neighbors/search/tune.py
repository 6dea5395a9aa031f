"""Choose how far queries look, for a recall target.

A query finds every neighbor in the cells it asks, so the recall and the cost of any setting can be read off
memberships before any join runs. The recall of a sample is a mean with a normal interval, whose lower bound has to
reach the target (`measures/metrics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from musicrec.arrays import Bools, Doubles, Floats, Ints
from musicrec.measures.metrics import Estimate, mean_with_bound
from musicrec.neighbors.search.voronoi import Voronoi


@dataclass(frozen=True)
class Queries:
    """A sample of items with the cells of their true neighbors.

    Attributes
    ----------
    vectors : float32 array, shape (n, d)
        Where they stand as queries.
    cells : int64 array, shape (n, k)
        -1 where no neighbor exists.
    """

    vectors: Floats
    cells: Ints

    @property
    def known(self) -> Bools:
        """Which neighbors exist, (n, k)."""
        return self.cells >= 0


def required_distances(family: Voronoi, queries: Queries) -> Floats:
    """Return (n, k): the `tau` from which on a query finds its neighbor, inf where none is enough."""
    home = family.assign(queries.vectors)[:, 0]  # (n,)
    required = np.full(queries.cells.shape, np.inf, dtype=np.float32)
    for rows, near, distances in family.distances(queries.vectors, home):
        order = np.argsort(near, kind="stable")
        wanted = queries.cells[rows]  # (r, k)
        index = order[np.searchsorted(near, wanted, sorter=order).clip(0, len(near) - 1)]  # (r, k)
        found = near[index] == wanted
        required[rows] = np.where(found, np.take_along_axis(distances, index, axis=1), np.inf)
    required[queries.cells == home[:, None]] = 0.0
    return required


def recall_of(required: Floats, known: Bools, *, tau: float) -> Estimate:
    """Return the recall at a distance: the mean over queries of the share of known neighbors that are found.

    Parameters
    ----------
    required : float32 array, shape (n, k)
        What `required_distances` returns.
    known : bool array, shape (n, k)
        Which neighbors exist; a query without any counts as 1.
    tau : float
        At least 0.
    """
    found = ((required <= tau) & known).sum(axis=1)  # (n,)
    return mean_with_bound(np.where(known.any(axis=1), found / np.maximum(known.sum(axis=1), 1), 1.0))


def choose_tau(required: Floats, known: Bools, *, target_recall: float) -> float:
    """Return the smallest distance whose lower 95 % bound of recall reaches the target.

    Parameters
    ----------
    required : float32 array, shape (n, k)
        What `required_distances` returns.
    known : bool array, shape (n, k)
        Which neighbors exist.
    target_recall : float
        0..1.

    Returns
    -------
    float
        The largest distance that any neighbor requires, where even that does not reach the target.
    """
    steps = np.unique(required[known & np.isfinite(required)])
    if not len(steps):
        return 0.0
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if recall_of(required, known, tau=float(steps[middle])).lower >= target_recall:
            high = middle
        else:
            low = middle + 1
    return float(steps[low])


def tune(family: Voronoi, queries: Queries, *, target_recall: float) -> tuple[Voronoi, Estimate]:
    """Return the family with the smallest `tau` that reaches the target, and the recall that it will have.

    Where the leaders next to a query's own are too few, more are looked at: of all, some `tau` reaches any target.
    They are too few also where more than half of what may be missed is beyond them: `tau` would then have to be so
    large that it costs more than a longer look.

    Parameters
    ----------
    family : Voronoi
        Its own `tau` does not matter.
    queries : Queries
    target_recall : float
        0..1.
    """
    required = required_distances(family, queries)
    reachable = recall_of(required, queries.known, tau=float(np.finfo(np.float32).max))
    if 1.0 - reachable.lower > (1.0 - target_recall) / 2.0 and family.n_near < family.n_cells:
        wider = replace(family, n_near=min(2 * family.n_near, family.n_cells))
        return tune(wider, queries, target_recall=target_recall)
    tau = choose_tau(required, queries.known, target_recall=target_recall)
    # A product may differ in its last digit from block to block.
    tau *= 1.0 + 1e-5
    return replace(family, tau=tau), recall_of(required, queries.known, tau=tau)


def intrinsic_dimension(distance: Doubles) -> float:
    """Return the local intrinsic dimension by maximum likelihood (Levina and Bickel 2004), the queries' median.

    Parameters
    ----------
    distance : float64 array, shape (n, k)
        To the k nearest, rising, NaN beyond those that exist.

    Returns
    -------
    float
        NaN where it is unknown.
    """
    last = distance[:, -1:]
    usable = np.isfinite(last[:, 0]) & (distance[:, 0] < last[:, 0]) & (distance[:, 0] > 1e-5 * last[:, 0])
    if not usable.any() or distance.shape[1] < 3:
        return float("nan")
    logs = np.log(last[usable] / distance[usable, :-1]).mean(axis=1)
    width = distance.shape[1]
    return float(np.median((width - 2) / (width - 1) / np.maximum(logs, 1e-9)))
