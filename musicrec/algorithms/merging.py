"""Partial lists of one item from several buckets → one list."""

from __future__ import annotations

import numpy as np

from musicrec.algorithms.kernel import Keys, Scores


def merge_runs(
    items: Keys, lengths: Keys, neighbor_keys: Keys, scores: Scores, *, k: int
) -> tuple[Keys, Keys, Keys, Scores]:
    """Merge the lists of equal items.

    Parameters
    ----------
    items : int64 array, shape (n_lists,)
        Equal ones need not be adjacent.
    lengths : int64 array, shape (n_lists,)
        Neighbors of each list.
    neighbor_keys, scores : int64 and float32 arrays, shape (sum of lengths,)
        The lists, one after the other.
    k : int

    Returns
    -------
    items, lengths, neighbor_keys, scores
        Each item once, rising; at most k different neighbors each, by score down, then key up.
    """
    owner = np.repeat(items, lengths)
    # A pair found in two buckets has the same score in both, so its repeats are adjacent.
    order = np.lexsort((neighbor_keys, -scores, owner))
    owner, neighbor_keys, scores = owner[order], neighbor_keys[order], scores[order]
    fresh = np.ones(len(owner), dtype=bool)
    fresh[1:] = (owner[1:] != owner[:-1]) | (neighbor_keys[1:] != neighbor_keys[:-1])
    owner, neighbor_keys, scores = owner[fresh], neighbor_keys[fresh], scores[fresh]
    distinct = np.unique(items)
    first = np.searchsorted(owner, distinct)
    place = np.arange(len(owner)) - first[np.searchsorted(distinct, owner)]
    keep = place < k
    counts = np.bincount(np.searchsorted(distinct, owner[keep]), minlength=len(distinct)).astype(np.int64)
    return distinct, counts, neighbor_keys[keep], scores[keep]
