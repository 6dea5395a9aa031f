"""K-means in two levels, spherical for the cosine: the centers that hashing goes by.

Rounds of assigning and averaging (Lloyd 1982, "Least squares quantization in PCM"); of unit vectors the sum,
normalized, is the center of largest mean cosine (Dhillon and Modha 2001, "Concept decompositions").

Finding the nearest of m centers takes m products, and training them m for each vector of the sample, eight times
over. So a first level of about sqrt(m) centers comes before, as in the vocabulary tree of Nistér and Stewénius
(2006): training and hashing then take a few sqrt(m).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicrec.arrays import Floats, Ints
from musicrec.neighbors.search.items import distinct_rows

N_ROUNDS = 8
_BLOCK_ROWS = 4096
# Up to so many leaders one level costs no more.
ONE_LEVEL_LEADERS = 512
# Vectors of the sample that a first-level center is trained on: more move it no more.
PER_FIRST = 1000


@dataclass(frozen=True)
class Leaders:
    """Centers in two levels.

    Attributes
    ----------
    centers : float32 array, shape (m, d)
        The leaders; those of one first-level center lie together, and near ones of those, too.
    first : float32 array, shape (c, d)
        The first level.
    groups : int64 array, shape (c + 1,)
        The leaders groups[i] .. groups[i + 1] come from what is nearest to first-level center i.
    """

    centers: Floats
    first: Floats
    groups: Ints

    def __len__(self) -> int:
        return len(self.centers)


def fit_leaders(vectors: Floats, *, n_leaders: int, seed: int, spherical: bool = True) -> Leaders:
    """Return leaders that cover `vectors`.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        In a fixed order; unit vectors where `spherical`.
    n_leaders : int
        About as many are returned, at least 1; at most as many as there are different vectors.
    seed : int
    spherical : bool
        The centers are unit vectors, else means.
    """
    points = torch.from_numpy(vectors)  # (n, d)
    if n_leaders <= ONE_LEVEL_LEADERS:
        centers = _fit(points, n_leaders, seed=seed, spherical=spherical).numpy()
        nobody = np.zeros((1, vectors.shape[1]), dtype=np.float32)
        return Leaders(centers, nobody, np.array([0, len(centers)]))
    n_first = round(n_leaders**0.5)
    some = points[:: max(1, len(points) // (PER_FIRST * n_first))].contiguous()
    first = _fit(some, n_first, seed=seed, spherical=spherical)  # (c, d)
    first = first[torch.from_numpy(spatial_order(first.numpy()))]
    nearest, _ = _assign(points, first)  # (n,)
    groups = []
    for group in range(len(first)):
        own = _items_of(points[nearest == group])  # (n_own, d)
        n_leaders_own = max(1, round(n_leaders * len(own) / len(points)))
        groups.append(_fit(own, n_leaders_own, seed=seed + group, spherical=spherical) if len(own) else own)
    return Leaders(torch.cat(groups).numpy(), first.numpy(), np.cumsum([0, *map(len, groups)]))


def spatial_order(points: Floats) -> Ints:
    """Return an order of (n, d) in which near points are near: halves along the widest direction, again."""

    def halve(rows: Ints) -> list[Ints]:
        if len(rows) < 3:
            return [rows]
        spread = points[rows].astype(np.float64)
        spread -= spread.mean(axis=0)  # (n_rows, d)
        direction = np.linalg.svd(spread, full_matrices=False)[2][0]  # (d,)
        rows = rows[np.argsort(spread @ direction, kind="stable")]
        middle = len(rows) // 2
        return halve(rows[:middle]) + halve(rows[middle:])

    return np.concatenate(halve(np.arange(len(points), dtype=np.int64)))


def negative_half_squares(points: Tensor) -> Tensor:
    """Return (n,) of (n, d): a product plus this orders points by their distance."""
    halves: Tensor = (points * points).sum(dim=1) / -2
    return halves


def _items_of(points: Tensor) -> Tensor:
    """Return the points, each once where most are equal to others: cells hold items, which songs may share."""
    different = distinct_rows(points.numpy()).firsts
    return points[torch.from_numpy(different)] if 2 * len(different) < len(points) else points


def _fit(points: Tensor, n_leaders: int, *, seed: int, spherical: bool) -> Tensor:
    """Return at most `n_leaders` different centers. One that loses all its vectors starts again elsewhere."""
    n_leaders = min(n_leaders, len(points))
    chosen = np.sort(np.random.default_rng(seed).choice(len(points), n_leaders, replace=False))
    leaders: Tensor = points[torch.from_numpy(chosen)]  # (n_leaders, d)
    for _ in range(N_ROUNDS):
        nearest, score = _assign(points, leaders)  # (n,) each
        sums = torch.zeros_like(leaders).index_add_(0, nearest, points)  # (n_leaders, d)
        counts = torch.bincount(nearest, minlength=n_leaders)  # (n_leaders,)
        empty = counts == 0
        n_empty = int(empty.sum())
        if n_empty:
            sums[empty] = points[torch.argsort(score, stable=True)[:n_empty]]
        means = sums / counts.clamp_min(1)[:, None]  # (n_leaders, d)
        leaders = torch.nn.functional.normalize(sums, dim=1) if spherical else means
    # Where there are fewer different vectors than leaders, some are equal.
    different: Tensor = torch.unique(leaders, dim=0)
    return different


def _assign(points: Tensor, leaders: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row of the nearest leader and minus half the squared distance to it, both of shape (n,)."""
    offset = negative_half_squares(leaders)  # (m,)
    best = [
        torch.addmm(offset, points[start : start + _BLOCK_ROWS], leaders.T).max(dim=1)  # (block, m) to (block,)
        for start in range(0, len(points), _BLOCK_ROWS)
    ]
    score = torch.cat([b.values for b in best]) + negative_half_squares(points)  # (n,)
    return torch.cat([b.indices for b in best]), score
