"""One bucket: dense block products and top-k; and the one routine that gives a score its digits.

Products only propose. A proposed pair is scored again by `pair_scores`, which treats each pair by itself,
so that a score never depends on the shape of the block it was found in. The rule of order is total: score
down, then key up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

Keys = NDArray[np.int64]
Scores = NDArray[np.float32]

# Rows per product: the scores of a block stay in the second-level cache.
BLOCK_ROWS = 256
# Proposals beyond k: pairs whose fp32 products are too close to call, and a few releases of one recording.
SLACK = 6
SCORE_DIGITS = 6


@dataclass(frozen=True)
class Members:
    """Items of a bucket: keys (n,), recordings (n,) and vectors (n, d), float16 or float32, row by row."""

    keys: Keys
    recordings: Keys
    vectors: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.keys)

    def sorted(self) -> Members:
        """Return the same items by rising key: blocks then have the same rows on every run."""
        order = np.argsort(self.keys, kind="stable")
        return Members(self.keys[order], self.recordings[order], self.vectors[order])


@dataclass(frozen=True)
class Lists:
    """The best neighbors of each query: keys (n, k), -1 where there is none, and scores (n, k), NaN there."""

    keys: Keys
    scores: Scores


def empty_lists(n_queries: int, k: int) -> Lists:
    """Return lists without a neighbor."""
    return Lists(np.full((n_queries, k), -1), np.full((n_queries, k), np.nan, dtype=np.float32))


def nearest_in_bucket(
    queries: Members, candidates: Members, *, k: int, exclude_same_recording: bool
) -> Lists:
    """Return the exact k nearest of `candidates` for each query.

    Parameters
    ----------
    queries, candidates : Members
        An item is never its own neighbor (equal keys).
    k : int
    exclude_same_recording : bool
        Nor is one of the same recording.

    Returns
    -------
    Lists
        Shapes (n_queries, k).
    """
    query, candidate = _as_float32(queries.vectors), _as_float32(candidates.vectors)
    # Half-precision vectors are off unit length by up to 1e-4, more than near neighbors differ.
    unit_query, unit_candidate = normalize(query, dim=1), normalize(candidate, dim=1)
    lists = empty_lists(len(queries), k)
    for start in range(0, len(queries), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(queries)))
        scores = unit_query[rows] @ unit_candidate.T  # (block, n_candidates)
        pending, width = rows, k + SLACK
        while len(pending):
            width = min(width, len(candidates))
            best = torch.topk(scores[pending - start], width, dim=1).indices.numpy()
            allowed = _allowed(queries, candidates, pending, best, exclude_same_recording=exclude_same_recording)
            done = (allowed.sum(axis=1) >= k) | (width == len(candidates))
            _fill(lists, pending[done], best[done], allowed[done], query, candidate, candidates.keys)
            # Few songs have more releases than the slack: look deeper for those alone.
            pending, width = pending[~done], width * 4
    return lists


def merge_lists(first: Lists, second: Lists) -> Lists:
    """Return the best k of two lists over disjoint candidates, row by row."""
    keys = np.concatenate([first.keys, second.keys], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    return _best(keys, scores, first.keys.shape[1])


def pair_scores(left: Tensor, right: Tensor) -> Scores:
    """Return the cosines of row pairs, rounded to six digits.

    Parameters
    ----------
    left, right : float32 Tensor, shape (..., d)

    Returns
    -------
    float32 array, shape (...)
        In [-1, 1]. Summed in double precision: exact for half-precision vectors up to far below the
        rounding, hence the same on every machine.
    """
    a, b = left.double(), right.double()
    dots = (a * b).sum(dim=-1)
    lengths = (a * a).sum(dim=-1) * (b * b).sum(dim=-1)
    cosines = (dots / lengths.sqrt().clamp_min(1e-30)).clamp(-1.0, 1.0)
    return np.round(cosines.numpy(), SCORE_DIGITS).astype(np.float32)


def _as_float32(vectors: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors)).float()


def _allowed(
    queries: Members, candidates: Members, rows: Keys, best: Keys, *, exclude_same_recording: bool
) -> NDArray[np.bool_]:
    allowed: NDArray[np.bool_] = candidates.keys[best] != queries.keys[rows, None]
    if exclude_same_recording:
        allowed &= candidates.recordings[best] != queries.recordings[rows, None]
    return allowed


def _fill(
    lists: Lists, rows: Keys, best: Keys, allowed: NDArray[np.bool_], query: Tensor, candidate: Tensor, keys: Keys
) -> None:
    if not len(rows):
        return
    scores = pair_scores(query[rows][:, None, :], candidate[best])  # (rows, width)
    scores[~allowed] = np.nan
    chosen = _best(np.where(allowed, keys[best], -1), scores, lists.keys.shape[1])
    width = chosen.keys.shape[1]
    lists.keys[rows, :width] = chosen.keys
    lists.scores[rows, :width] = chosen.scores


def _best(keys: Keys, scores: Scores, k: int) -> Lists:
    # lexsort puts NaN last among rising values, so a place without a neighbor goes to the end.
    order = np.lexsort((keys, -scores), axis=1)[:, :k]
    return Lists(np.take_along_axis(keys, order, axis=1), np.take_along_axis(scores, order, axis=1))
