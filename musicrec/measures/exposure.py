"""What lists do to a catalog: who is recommended how often, how known, how varied. Accuracy says nothing of it.

Coverage, Gini coefficient, novelty and intra-list diversity as in Kaminskas and Bridge (2016); k-occurrence and
its skewness from Radovanović et al. (2010): in many dimensions few songs, the hubs, stand in everyone's list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Doubles, Floats, Ints

POPULAR_SHARE = 0.1


@dataclass(frozen=True)
class Exposure:
    """How a catalog's places in lists are spread.

    Attributes
    ----------
    coverage : float
        Share of the songs that stand in at least one list, 0..1; the rest is recommended to nobody.
    gini : float
        Of the places over the songs: 0 each song equally often, 1 one song has all.
    skewness : float
        Of the number of lists that hold a song; 0 is even, hubs make it large.
    popular_share : float
        Of the places, held by the most popular tenth of the songs; 0.1 is fair. NaN where no popularity is known.
    novelty_bits : float
        Mean over the places of -log2 of the song's share of all popularity; NaN where none is known.
    diversity : float
        Mean distance (1 - cosine) of two songs of a list, 0..2.
    """

    coverage: float
    gini: float
    skewness: float
    popular_share: float
    novelty_bits: float
    diversity: float


def measure_exposure(nearest: Ints, *, popularity: Doubles, descriptions: Floats) -> Exposure:
    """Return how the places of lists are spread.

    Parameters
    ----------
    nearest : int64 array, shape (n, k)
        Row numbers; -1 where a list is shorter.
    popularity : float64 array, shape (n,)
        Listeners, playlists or a score, at least 0; NaN where unknown.
    descriptions : float32 array, shape (n, d)
        What the songs' variety is measured in: the same for all methods that are compared.
    """
    counts = k_occurrence(nearest)
    listed = nearest[nearest >= 0]
    return Exposure(
        coverage=float((counts > 0).mean()),
        gini=gini(counts),
        skewness=skewness(counts),
        popular_share=_popular_share(counts, popularity),
        novelty_bits=_novelty(listed, popularity),
        diversity=_diversity(nearest, descriptions),
    )


def k_occurrence(nearest: Ints) -> Ints:
    """Return (n,): in how many of the lists (n, k) each song stands."""
    return np.bincount(nearest[nearest >= 0], minlength=len(nearest)).astype(np.int64)


def gini(counts: Ints) -> float:
    """Return the Gini coefficient of counts >= 0, 0..1; 0 where all are 0."""
    ordered, n = np.sort(counts.astype(np.float64)), len(counts)
    if not ordered.sum():
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def skewness(counts: Ints) -> float:
    """Return the third standardized moment; 0 where all counts are equal."""
    spread = float(counts.std())
    return float(((counts - counts.mean()) ** 3).mean() / spread**3) if spread else 0.0


def _popular_share(counts: Ints, popularity: Doubles) -> float:
    known = np.flatnonzero(~np.isnan(popularity))
    n_top = round(POPULAR_SHARE * len(known))
    if not n_top or not counts[known].sum():
        return float("nan")
    # Ties at the border share what is left, so that the order of the rows does not matter.
    border = np.sort(popularity[known])[-n_top]
    above, at = counts[known][popularity[known] > border], counts[known][popularity[known] == border]
    return float((above.sum() + at.mean() * (n_top - len(above))) / counts[known].sum())


def _novelty(listed: Ints, popularity: Doubles) -> float:
    total = float(np.nansum(popularity))
    if not total:
        return float("nan")
    # One more for each: a song that nobody knows is new, not infinitely so.
    shares = (popularity + 1) / (total + np.count_nonzero(~np.isnan(popularity)))
    bits = -np.log2(shares[listed])
    return float(np.nanmean(bits)) if np.isfinite(bits).any() else float("nan")


def _diversity(nearest: Ints, descriptions: Floats) -> float:
    norms = np.linalg.norm(descriptions, axis=1, keepdims=True)
    unit = descriptions / np.where(norms > 0, norms, 1)
    n_listed = (nearest >= 0).sum(axis=1)
    lists = nearest[n_listed > 1]
    if not len(lists):
        return float("nan")
    # The sum over pairs is that of all products less the songs with themselves: no k x k matrix per list.
    total, own = np.zeros((len(lists), unit.shape[1])), np.zeros(len(lists))
    for column in lists.T:
        rows = np.where((column >= 0)[:, None], unit[column], 0)
        total += rows
        own += (rows**2).sum(axis=1)
    n_pairs = n_listed[n_listed > 1] * (n_listed[n_listed > 1] - 1)
    return float((1 - ((total**2).sum(axis=1) - own) / n_pairs).mean())
