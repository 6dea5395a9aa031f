"""Spherical k-means: the centers ("leaders") of the data-dependent hash (Dhillon and Modha 2001)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

N_ROUNDS = 8
BLOCK_ROWS = 4096


def fit_leaders(vectors: NDArray[np.float32], *, n_leaders: int, seed: int) -> NDArray[np.float32]:
    """Return unit centers that cover the directions of `vectors`.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        Unit vectors, n >= n_leaders, in a fixed order.
    n_leaders : int
    seed : int

    Returns
    -------
    float32 array, shape (n_leaders, d)
        Unit length, all different. A center that loses all its vectors restarts at the one that is worst
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
        leaders = torch.nn.functional.normalize(sums, dim=1)
    return leaders.numpy()


def _assign(points: torch.Tensor, leaders: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row of the nearest leader and its cosine, both of shape (n,)."""
    best = [
        (points[start : start + BLOCK_ROWS] @ leaders.T).max(dim=1) for start in range(0, len(points), BLOCK_ROWS)
    ]
    return torch.cat([b.indices for b in best]), torch.cat([b.values for b in best])
