"""Choose how far queries look, for a recall target.

A query finds every neighbor in the cells it asks, so the recall and the cost of any setting can be read off
memberships before any join runs. The recall of a sample is a mean with a normal interval, whose lower bound has to
reach the target (`measures/metrics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from musicrec.arrays import Bools, Doubles, Floats, Ints
from musicrec.measures.metrics import Estimate
from musicrec.neighbors.search.reach import Needs, candidate_reaches, same_reach
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


def needs_of(family: Voronoi, queries: Queries) -> Needs:
    """Return how far the queries have to look for their neighbors."""
    n, home = len(queries.vectors), family.assign(queries.vectors)[:, 0]  # (n,)
    required = np.full(queries.cells.shape, np.inf)
    own, scale = np.empty(n), np.empty(n)
    for rows, near, distances, scales in family.distances(queries.vectors, home):
        order = np.argsort(near, kind="stable")
        wanted = queries.cells[rows]  # (r, k)
        index = order[np.searchsorted(near, wanted, sorter=order).clip(0, len(near) - 1)]  # (r, k)
        found = near[index] == wanted
        required[rows] = np.where(found, np.take_along_axis(distances, index, axis=1), np.inf)
        own[rows], scale[rows] = distances[:, 0], scales
    required[queries.cells == home[:, None]] = 0.0
    return Needs(required, queries.known, own, scale)


def pairs_of(family: Voronoi, queries: Queries, far: Doubles, *, n_items: Ints) -> Doubles:
    """Return how many items a query meets in the mean, by each of several rules, (n_rules,).

    Parameters
    ----------
    family : Voronoi
        Its own reach does not matter.
    queries : Queries
    far : float64 array, shape (n, n_rules)
        How far each of the queries looks.
    n_items : int64 array, shape (n_cells,)
        Of the cells.
    """
    pairs, home = np.zeros(far.shape[1]), family.assign(queries.vectors)[:, 0]
    for rows, near, distances, _ in family.distances(queries.vectors, home):
        for row, to_leaders in zip(rows, distances[:, 1:], strict=True):
            order = np.argsort(to_leaders)
            met = np.cumsum(n_items[np.append(near[0], near[1:][order])])  # (near,)
            pairs += met[np.searchsorted(to_leaders[order], far[row], side="right")]
    return pairs / max(1, len(home))


def tune(family: Voronoi, queries: Queries, *, target_recall: float, n_items: Ints) -> tuple[Voronoi, Estimate]:
    """Return the family with a reach that reaches the target, and the recall that it will have.

    Of all that meet no more items than one `tau` for all queries would, it is the most even one; of those that are
    as even, the one that meets the fewest.

    Where the leaders next to a query's own are too few, more are looked at: of all, some reach is enough for any
    target. They are too few also where more than half of what may be missed is beyond them: queries would then
    have to look so far that it costs more than a longer look.

    Parameters
    ----------
    family : Voronoi
        Its own reach does not matter.
    queries : Queries
    target_recall : float
        0..1.
    n_items : int64 array, shape (n_cells,)
        Of the cells.
    """
    needs = needs_of(family, queries)
    reachable = needs.recall(same_reach(float(np.finfo(np.float32).max)))
    if 1.0 - reachable.lower > (1.0 - target_recall) / 2.0 and family.n_near < family.n_cells:
        wider = replace(family, n_near=min(2 * family.n_near, family.n_cells))
        return tune(wider, queries, target_recall=target_recall, n_items=n_items)
    candidates = list(candidate_reaches(needs, target_recall=target_recall))
    far = np.stack([reach.of(needs.own, needs.scale) for reach in chain(*candidates)], axis=1)  # (n, n_rules)
    pairs = pairs_of(family, queries, far, n_items=n_items).reshape(len(candidates), -1)
    is_no_dearer = pairs.min(axis=1) <= pairs[-1, 0]
    evenest = int(np.flatnonzero(is_no_dearer)[0])
    reach = candidates[evenest][int(pairs[evenest].argmin())].rounded_up()
    return replace(family, reach=reach), needs.recall(reach)


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
