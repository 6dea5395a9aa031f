"""Partial lists of one item from several buckets → one list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.algorithms.kernel import Keys, Scores


@dataclass(frozen=True)
class Runs:
    """Lists of different lengths, one after the other.

    items and lengths (n_lists,); keys, recordings and scores (sum of lengths,) of the neighbors.
    """

    items: Keys
    lengths: Keys
    keys: Keys
    recordings: Keys
    scores: Scores


def merge_runs(runs: Runs, *, k: int) -> Runs:
    """Merge the lists of equal items, which need not be adjacent.

    Parameters
    ----------
    runs : Runs
        A pair that stands in several lists has the same score in all of them.
    k : int
        A list that is longer shows that its item wants more: it then gets as many.

    Returns
    -------
    Runs
        Each item once, rising, with its best neighbors by score down, then key up, each recording once.
    """
    items, list_of = np.unique(runs.items, return_inverse=True)
    wanted = np.full(len(items), k, dtype=np.int64)
    np.maximum.at(wanted, list_of, runs.lengths)
    owner = np.repeat(runs.items, runs.lengths)
    order = np.lexsort((runs.keys, -runs.scores, owner))
    order = order[_first_of(owner[order], runs.recordings[order])]
    slot = np.searchsorted(items, owner[order])
    place = np.arange(len(order)) - np.searchsorted(slot, slot)
    order, slot = order[place < wanted[slot]], slot[place < wanted[slot]]
    lengths = np.bincount(slot, minlength=len(items)).astype(np.int64)
    return Runs(items, lengths, runs.keys[order], runs.recordings[order], runs.scores[order])


def sums_by(items: Keys, values: Keys, names: Keys) -> Keys:
    """Return for each of `names` (sorted, unique) the sum of the `values` of its `items`."""
    sums = np.zeros(len(names), dtype=np.int64)
    np.add.at(sums, np.searchsorted(names, items), values)
    return sums


def _first_of(owner: Keys, recording: Keys) -> NDArray[np.bool_]:
    """Return which elements are the first with their owner and recording."""
    order = np.lexsort((recording, owner))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (owner[order][1:] != owner[order][:-1]) | (recording[order][1:] != recording[order][:-1])
    kept = np.zeros(len(order), dtype=bool)
    kept[order[first]] = True
    return kept
