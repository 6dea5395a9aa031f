"""How far a query looks, by what is known of it before the search.

A query finds a neighbor if it asks the neighbor's cell, so each true neighbor of a sampled query requires some
reach: the distance of its cell's leader, 0 in the own cell. One multiple `tau` of the scale, the mean distance of
the leaders around, serves dense songs too well and sparse ones badly: of vectors of uneven density six tenths had
recall 1.00 where the mean was 0.98, and the sparsest 0.86. So a reach is

    own_share * own + tau * scale,

where `own` is the distance to the query's own leader, which says how far from the middle of its cell it stands.
`tau` goes by tenths of `own`, which tells dense surroundings from sparse ones: conditional quantiles of the `tau`
that is needed (Koenker and Bassett 1978, "Regression quantiles"), the condition a tenth. What is chosen by half of
the sample is judged by the other: else so many choices would look better than they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from musicrec.arrays import Bools, Doubles
from musicrec.measures.metrics import Estimate, mean_with_bound

N_TENTHS = 10
# Fewer queries do not tell how far one has to look.
QUERIES_PER_TENTH = 100
# What of the distance to the own leader is added: of nine shares from -0.5 to 2, these are enough.
OWN_SHARES = (0.0, 0.25, 0.5, 1.0)
# A tenth may miss so many times as many neighbors as the target allows in the mean.
UNEVENNESS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Reach:
    """How far queries look.

    Attributes
    ----------
    taus : float64 array, shape (n_tenths,)
        Of the scale, by tenths of the distance to the own leader, the nearest first.
    edges : float64 array, shape (n_tenths - 1,)
        The distances at which the next tenth begins, rising.
    own_share : float
        Of the distance to the own leader, at least 0.
    """

    taus: Doubles
    edges: Doubles
    own_share: float = 0.0

    def of(self, own: Doubles, scale: Doubles) -> Doubles:
        """Return how far queries (n,) look: with the distances to their own leaders, and their scales."""
        tau = self.taus[np.searchsorted(self.edges, own)]  # (n,)
        return np.maximum(0.0, self.own_share * own + tau * scale)

    def rounded_up(self) -> Reach:
        """Return a reach that is enough also where a product differs in its last digit."""
        return Reach(self.taus + 1e-5 * np.abs(self.taus), self.edges, self.own_share * (1.0 + 1e-5))


def same_reach(tau: float) -> Reach:
    """Return the reach of `tau` times the scale for all."""
    return Reach(np.array([tau], dtype=np.float64), np.empty(0))


@dataclass(frozen=True)
class Needs:
    """How far queries of a sample have to look for their true neighbors.

    Attributes
    ----------
    required : float64 array, shape (n, k)
        The reach from which on a query finds its neighbor: 0 in its own cell, inf where none is enough.
    known : bool array, shape (n, k)
        Which neighbors exist; a query without any counts as one that finds all.
    own : float64 array, shape (n,)
        Distances to the own leaders.
    scale : float64 array, shape (n,)
        Mean distances of the leaders around.
    """

    required: Doubles
    known: Bools
    own: Doubles
    scale: Doubles

    def take(self, rows: slice) -> Needs:
        """Return the needs of some queries."""
        return Needs(self.required[rows], self.known[rows], self.own[rows], self.scale[rows])

    def recalls(self, reach: Doubles) -> Doubles:
        """Return the share of the known neighbors that each query finds, (n,), with its reach (n,)."""
        found = ((self.required <= reach[:, None]) & self.known).sum(axis=1)  # (n,)
        return np.where(self.known.any(axis=1), found / np.maximum(self.known.sum(axis=1), 1), 1.0)

    def recall(self, reach: Reach) -> Estimate:
        """Return the mean recall."""
        return mean_with_bound(self.recalls(reach.of(self.own, self.scale)))


def candidate_reaches(needs: Needs, *, target_recall: float) -> Iterator[list[Reach]]:
    """Yield reaches whose lower 95 % bound of recall reaches the target: the even ones, then less even ones.

    Where no reach is enough, they are the longest that any neighbor requires.

    Parameters
    ----------
    needs : Needs
    target_recall : float
        0..1.

    Yields
    ------
    list of Reach
        As even as each other, one for each of `OWN_SHARES`. The last list is of one `tau` for all.
    """
    for floor in [*(max(0.0, 1.0 - times * (1.0 - target_recall)) for times in UNEVENNESS), 0.0]:
        yield [_reach_of(needs, share, floor=floor, target_recall=target_recall) for share in OWN_SHARES]


def _reach_of(needs: Needs, own_share: float, *, floor: float, target_recall: float) -> Reach:
    """Return the shortest reach where each tenth has the recall `floor`, and all together the target."""
    whole = _floors(needs, own_share, floor)
    n_parts = 2 if len(needs.own) >= 2 * QUERIES_PER_TENTH else 1
    parts = [needs.take(slice(first, None, n_parts)) for first in range(n_parts)]
    # Each half is judged by what the other has chosen.
    crossed = list(zip(parts, [_floors(part, own_share, floor) for part in parts[::-1]], strict=True))

    def is_enough(tau: float) -> bool:
        judged = [part.recalls(_at_least(floors, tau).of(part.own, part.scale)) for part, floors in crossed]
        lower = mean_with_bound(np.concatenate(judged)).lower
        return min(lower, needs.recall(_at_least(whole, tau)).lower) >= target_recall

    taus = _taus(needs, own_share)  # (n, k)
    steps = np.unique(np.append(taus[needs.known & np.isfinite(taus)], _lowest(needs, own_share)))
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if is_enough(float(steps[middle])):
            high = middle
        else:
            low = middle + 1
    return _at_least(whole, float(steps[low]))


def _floors(needs: Needs, own_share: float, floor: float) -> Reach:
    """Return the reach with which each tenth has the recall `floor`."""
    taus, floors = _taus(needs, own_share), [_lowest(needs, own_share)]  # (n, k)
    edges = np.empty(0)
    if floor > 0.0:
        n_tenths = min(N_TENTHS, max(1, len(needs.own) // QUERIES_PER_TENTH))
        edges = np.quantile(needs.own, np.arange(1, n_tenths) / n_tenths)
        tenth = np.searchsorted(edges, needs.own)  # (n,)
        floors = [
            max(floors[0], _tau_of(taus[tenth == i], needs.known[tenth == i], floor)) for i in range(n_tenths)
        ]
    return Reach(np.array(floors), edges, own_share)


def _tau_of(taus: Doubles, known: Bools, recall: float) -> float:
    """Return the smallest `tau` of this recall, or the largest that is of use."""
    wanted = np.sort(taus[known])
    n_wanted = min(math.ceil(recall * len(wanted)), int(np.isfinite(wanted).sum()))
    return float(wanted[n_wanted - 1]) if n_wanted else -math.inf


def _taus(needs: Needs, own_share: float) -> Doubles:
    """Return (n, k): from which `tau` on a query finds its neighbor."""
    taus: Doubles = (needs.required - own_share * needs.own[:, None]) / needs.scale[:, None]
    return np.where(needs.required > 0.0, taus, _lowest(needs, own_share))


def _lowest(needs: Needs, own_share: float) -> float:
    """Return the `tau` with which queries ask nothing but their own cells."""
    return -own_share * float((needs.own / needs.scale).max())


def _at_least(reach: Reach, tau: float) -> Reach:
    return replace(reach, taus=np.maximum(reach.taus, tau))
