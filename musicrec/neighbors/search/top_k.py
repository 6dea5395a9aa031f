"""Lists of neighbors: several of an item → one. Their order is total, so nothing depends on how they came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Floats, Ints


@dataclass(frozen=True)
class Lists:
    """The best neighbors of each query, each recording once, by score down, then key up.

    Attributes
    ----------
    keys, recordings : int64 arrays, shape (n, width)
        -1 where there is no neighbor.
    scores : float32 array, shape (n, width)
        NaN there.
    """

    keys: Ints
    recordings: Ints
    scores: Floats


def merge_lists(several: list[Lists], *, k: int) -> Lists:
    """Return the best k of lists over disjoint candidates, row by row."""
    return best_of(
        np.concatenate([lists.keys for lists in several], axis=1),
        np.concatenate([lists.recordings for lists in several], axis=1),
        np.concatenate([lists.scores for lists in several], axis=1),
        k=k,
    )


def best_of(keys: Ints, recordings: Ints, scores: Floats, *, k: int) -> Lists:
    """Return the k best of each row, each recording once; NaN is no neighbor.

    Parameters
    ----------
    keys, recordings : int64 arrays, shape (n, width)
    scores : float32 array, shape (n, width)
    k : int
        At least 1.

    Returns
    -------
    Lists
        Shapes (n, min(k, width)).
    """
    # lexsort puts NaN last, so a place without a neighbor goes to the end.
    lists = _reordered(Lists(keys, recordings, scores), np.lexsort((keys, -scores), axis=1))
    # Stable: of a recording the first place is its best.
    by_recording = np.argsort(lists.recordings, axis=1, kind="stable")
    sorted_recordings = np.take_along_axis(lists.recordings, by_recording, axis=1)
    repeated = np.zeros(keys.shape, dtype=bool)
    np.put_along_axis(repeated, by_recording[:, 1:], sorted_recordings[:, 1:] == sorted_recordings[:, :-1], axis=1)
    none = repeated | np.isnan(lists.scores)
    order = np.argsort(none, axis=1, kind="stable")[:, :k]
    best, none = _reordered(lists, order), np.take_along_axis(none, order, axis=1)
    best.keys[none], best.recordings[none], best.scores[none] = -1, -1, np.nan
    return best


def _reordered(lists: Lists, order: Ints) -> Lists:
    return Lists(
        np.take_along_axis(lists.keys, order, axis=1),
        np.take_along_axis(lists.recordings, order, axis=1),
        np.take_along_axis(lists.scores, order, axis=1),
    )
