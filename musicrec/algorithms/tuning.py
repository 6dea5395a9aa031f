"""Choose leaders and margin for a recall target.

A query finds a neighbor that stands in its home bucket. Whether it does, and from which margin on, is known
from memberships alone, so the recall and the cost of any setting can be read off samples before any join runs.

Nothing here looks at a clock: the costs are constants of one machine, measured once. Timing the machine at hand
would make the lists depend on how busy it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.algorithms.hashing import Voronoi
from musicrec.algorithms.layout import Loads, estimate_loads
from musicrec.algorithms.metrics import Estimate, mean_with_bound

# Nanoseconds on one core of an AMD EPYC (Zen 4) at 64 dimensions: product and selection of a pair; product of an
# item with a leader; blocks, shuffle and Arrow of a copy. Only their ratios matter.
PAIR_NS = 2.0
LEADER_NS = 1.6
COPY_NS = 1500.0

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Queries:
    """A sample of items with their true neighbors.

    vectors (n, d) where they stand as queries; neighbors (n, k, d) where they stand as answers; known (n, k):
    which neighbors exist.
    """

    vectors: Floats
    neighbors: Floats
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Setting:
    """A family with the recall that it will have and the loads of its buckets."""

    family: Voronoi
    recall: Estimate
    loads: Loads

    def cost(self, n_items: int) -> float:
        """Return nanoseconds of one core per item."""
        pairs, copies = self.loads.n_pairs / n_items, self.loads.n_copies / n_items
        return pairs * PAIR_NS + copies * COPY_NS + len(self.family.leaders) * LEADER_NS


def required_margins(family: Voronoi, queries: Queries) -> Floats:
    """Return (n, k): the margin from which on a query finds its neighbor, inf where none is enough."""
    n, k, d = queries.neighbors.shape
    home = family.margins(queries.vectors)[0][:, :1]  # (n, 1)
    leader, margin = family.margins(queries.neighbors.reshape(n * k, d))
    margin = np.where(leader == np.repeat(home, k, axis=0), margin, np.inf).min(axis=1)
    required: Floats = margin.reshape(n, k).astype(np.float32)
    return required


def recall_of(required: Floats, known: NDArray[np.bool_], *, tau: float) -> Estimate:
    """Return the recall at a margin: the mean over queries of the share of known neighbors that are found."""
    found = ((required <= tau) & known).sum(axis=1)
    return mean_with_bound(np.where(known.any(axis=1), found / np.maximum(known.sum(axis=1), 1), 1.0))


def choose_tau(required: Floats, known: NDArray[np.bool_], *, target_recall: float) -> float:
    """Return the smallest margin whose lower 95 % bound of recall reaches the target.

    Parameters
    ----------
    required : float32 array, shape (n, k)
        What `required_margins` returns.
    known : bool array, shape (n, k)
    target_recall : float

    Returns
    -------
    float
        The largest margin that any neighbor requires, where even that does not reach the target.
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


def choose_setting(settings: list[Setting], *, target_recall: float, n_items: int) -> Setting:
    """Return the cheapest that reaches the target, else the one with the best recall."""
    good = [setting for setting in settings if setting.recall.lower >= target_recall]
    if good:
        return min(good, key=lambda setting: setting.cost(n_items))
    return max(settings, key=lambda setting: setting.recall.lower)


def make_setting(
    leaders: Floats,
    *,
    queries: Queries,
    sample: Floats,
    n_items: int,
    max_copies: int,
    target_recall: float,
    tau: float | None = None,
    asking: Floats | None = None,
) -> Setting:
    """Return the setting of some leaders, with the margin that the target asks for where `tau` is None.

    Parameters
    ----------
    leaders : float32 array, shape (n_leaders, d)
    queries : Queries
    sample : float32 array, shape (n_sample, d)
        Vectors that stand for the catalog: the loads come from them.
    n_items : int
        Items of the catalog.
    max_copies : int
    target_recall : float
    tau : float, optional
        A margin as `Voronoi` has it.
    asking : float32 array, shape (n_sample, d), optional
        The sample's items where they stand as queries, if that is another place.
    """
    widest = Voronoi(leaders, np.inf, max_copies)
    required = required_margins(widest, queries)
    margin = choose_tau(required, queries.known, target_recall=target_recall) if tau is None else tau
    family = Voronoi(leaders, margin, max_copies)
    loads = estimate_loads(family.assign(sample, asking), n_homes=family.n_homes, n_items=n_items)
    return Setting(family, recall_of(required, queries.known, tau=margin), loads)


def intrinsic_dimension(distance: NDArray[np.float64]) -> float:
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
