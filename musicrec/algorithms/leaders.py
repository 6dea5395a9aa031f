"""K-means, spherical for the cosine (Dhillon and Modha 2001): the centers ("leaders") that hashing goes by."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

N_ROUNDS = 8
BLOCK_ROWS = 4096


def fit_leaders(
    vectors: NDArray[np.float32], *, n_leaders: int, seed: int, spherical: bool = True
) -> NDArray[np.float32]:
    """Return centers that cover `vectors`.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        n >= n_leaders, in a fixed order; unit vectors where `spherical`.
    n_leaders : int
    seed : int
    spherical : bool
        The centers are unit vectors, else means.

    Returns
    -------
    float32 array, shape (n_leaders, d)
        All different. A center that loses all its vectors restarts at the one that is worst
        served.

    Raises
    ------
    ValueError
        There are fewer different vectors than leaders.
    """
    distinct = np.unique(vectors, axis=0)
    if len(distinct) < n_leaders:
        raise ValueError(f"{n_leaders} leaders need as many different vectors, found {len(distinct)}")
    points = torch.from_numpy(vectors)
    first = np.random.default_rng(seed).choice(len(distinct), n_leaders, replace=False)
    leaders = torch.from_numpy(distinct[np.sort(first)])
    for _ in range(N_ROUNDS):
        nearest, score = _assign(points, leaders)
        sums = torch.zeros_like(leaders).index_add_(0, nearest, points)
        empty = torch.bincount(nearest, minlength=n_leaders) == 0
        n_empty = int(empty.sum())
        if n_empty:
            sums[empty] = points[torch.argsort(score, stable=True)[:n_empty]]
        if spherical:
            leaders = torch.nn.functional.normalize(sums, dim=1)
        else:
            leaders = sums / torch.bincount(nearest, minlength=n_leaders).clamp_min(1)[:, None]
    return leaders.numpy()


def _assign(points: torch.Tensor, leaders: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row of the nearest leader and minus half the squared distance to it, both of shape (n,)."""
    offset = (leaders * leaders).sum(dim=1) / -2
    best = [
        torch.addmm(offset, points[start : start + BLOCK_ROWS], leaders.T).max(dim=1)
        for start in range(0, len(points), BLOCK_ROWS)
    ]
    score = torch.cat([b.values for b in best]) - (points * points).sum(dim=1) / 2
    return torch.cat([b.indices for b in best]), score
