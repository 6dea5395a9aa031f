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

from musicrec.algorithms.spaces import Metric, as_products, pair_scores

Keys = NDArray[np.int64]
Scores = NDArray[np.float32]

# Rows per product: the scores of a block stay in the second-level cache.
BLOCK_ROWS = 256
# Columns per group of the selection: the maximum of each group costs 0.1 ns a pair, and a top-k over an eighth
# of the columns an eighth of `topk`'s 2 ns.
GROUP = 8
# Proposals beyond k: pairs whose fp32 products are too close to call, and a few releases of one recording.
SLACK = 6
BELOW_ALL = float("-inf")


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
    """The best neighbors of each query, each recording once, by score down, then key up.

    keys and recordings (n, k), -1 where there is no neighbor, and scores (n, k), NaN there.
    """

    keys: Keys
    recordings: Keys
    scores: Scores


def empty_lists(n_queries: int, k: int) -> Lists:
    """Return lists without a neighbor."""
    nobody = np.full((n_queries, k), -1, dtype=np.int64)
    return Lists(nobody, nobody.copy(), np.full((n_queries, k), np.nan, dtype=np.float32))


def nearest_in_bucket(
    queries: Members, candidates: Members, *, k: int, n_spare: int = 0, metric: Metric = "cosine"
) -> Lists:
    """Return the exact k nearest of `candidates` for each query.

    Parameters
    ----------
    queries, candidates : Members
        An item is never listed for its own recording, hence never for itself, and of several releases of
        one recording the best is listed. Where that is not wanted, each item is a recording of its own.
    k : int
    n_spare : int
        Places beyond k, filled with what was proposed anyway: 0 to `SLACK`.
    metric : {"cosine", "dot", "euclidean"}

    Returns
    -------
    Lists
        Shapes (n_queries, k + n_spare).
    """
    query, candidate = _as_float32(queries.vectors), _as_float32(candidates.vectors)
    left, right, offset = as_products(query, candidate, metric)
    right = pad_rows(right)
    lists = empty_lists(len(queries), k + n_spare)
    # One buffer for all blocks: fresh memory costs as much as the product that fills it.
    buffer = torch.empty(min(BLOCK_ROWS, len(queries)), len(right))
    for start in range(0, len(queries), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(queries)))
        # (block, n_candidates rounded up)
        products = torch.mm(left[start : start + BLOCK_ROWS], right.T, out=buffer[: len(rows)])
        if offset is not None:
            products[:, : len(candidates)] += offset
        products[:, len(candidates) :] = BELOW_ALL
        pending, width = rows, k + SLACK
        while len(pending):
            width = min(width, len(candidates))
            chosen = products if len(pending) == len(rows) else products[pending - start]
            proposed = largest(chosen, width).numpy()
            scores = pair_scores(query[pending][:, None, :], candidate[proposed], metric)  # (pending, width)
            recordings = candidates.recordings[proposed]
            scores[recordings == queries.recordings[pending, None]] = np.nan
            best = best_of(candidates.keys[proposed], recordings, scores, k=k + n_spare)
            done = (np.count_nonzero(~np.isnan(best.scores), axis=1) >= k) | (width == len(candidates))
            _fill(lists, pending[done], best, done)
            # Few songs have more releases than the slack: look deeper for those alone.
            pending, width = pending[~done], width * 4
    return lists


def merge_lists(first: Lists, second: Lists) -> Lists:
    """Return the best of two lists over disjoint candidates, row by row."""
    return best_of(
        np.concatenate([first.keys, second.keys], axis=1),
        np.concatenate([first.recordings, second.recordings], axis=1),
        np.concatenate([first.scores, second.scores], axis=1),
        k=first.keys.shape[1],
    )


def best_of(keys: Keys, recordings: Keys, scores: Scores, *, k: int) -> Lists:
    """Return the k best of each row, each recording once; NaN is no neighbor.

    Parameters
    ----------
    keys, recordings, scores : arrays, shape (n, width)

    Returns
    -------
    Lists
        Shapes (n, min(k, width)).
    """
    # lexsort puts NaN last, so a place without a neighbor goes to the end.
    lists = _reordered(Lists(keys, recordings, scores), np.lexsort((keys, -scores), axis=1))
    earlier = np.tri(keys.shape[1], k=-1, dtype=bool)  # (width, width): column before row
    repeated = ((lists.recordings[:, :, None] == lists.recordings[:, None, :]) & earlier).any(axis=2)
    none = repeated | np.isnan(lists.scores)
    order = np.argsort(none, axis=1, kind="stable")[:, :k]
    best, none = _reordered(lists, order), np.take_along_axis(none, order, axis=1)
    best.keys[none], best.recordings[none], best.scores[none] = -1, -1, np.nan
    return best


def _as_float32(vectors: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors)).float()


def pad_rows(vectors: Tensor) -> Tensor:
    """Return the rows (n, d) with rows of zeros up to a multiple of `GROUP`."""
    return torch.nn.functional.pad(vectors, (0, 0, 0, -len(vectors) % GROUP))


def largest(products: Tensor, width: int) -> Tensor:
    """Return the columns (n, width) of the largest elements of each row, in two exact stages.

    The largest elements lie in the groups with the largest maxima: first those groups, then within them.

    Parameters
    ----------
    products : Tensor, shape (n, n_columns)
    width : int
        At most n_columns.
    """
    n, n_columns = products.shape
    n_groups = n_columns // GROUP
    if width * 4 > n_groups or n_columns % GROUP:
        return torch.topk(products, width, dim=1).indices
    # A group is every n_groups-th column: the maximum then runs over whole rows of memory.
    grouped = products.view(n, GROUP, n_groups)
    groups = torch.topk(grouped.amax(dim=1), width, dim=1, sorted=False).indices  # (n, width)
    members = grouped.gather(2, groups[:, None, :].expand(n, GROUP, width)).view(n, -1)  # (n, GROUP * width)
    best = torch.topk(members, width, dim=1).indices
    return (best // width) * n_groups + groups.gather(1, best % width)


def _reordered(lists: Lists, order: Keys) -> Lists:
    return Lists(
        np.take_along_axis(lists.keys, order, axis=1),
        np.take_along_axis(lists.recordings, order, axis=1),
        np.take_along_axis(lists.scores, order, axis=1),
    )


def _fill(lists: Lists, rows: Keys, best: Lists, done: NDArray[np.bool_]) -> None:
    width = best.keys.shape[1]
    lists.keys[rows, :width] = best.keys[done]
    lists.recordings[rows, :width] = best.recordings[done]
    lists.scores[rows, :width] = best.scores[done]
