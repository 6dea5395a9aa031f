"""In how many lists songs stand → popular ones beside others."""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Doubles, Ints


def count_occurrences(popularity: Doubles, n_lists: Ints) -> tuple[Ints, Ints, Ints]:
    """Return how many songs of a tenth of the popularity scale stand in so many lists.

    Parameters
    ----------
    popularity : float64 array, shape (n,)
        NaN is unknown.
    n_lists : int64 array, shape (n,)

    Returns
    -------
    tenth, n_lists, n_songs : int64 arrays, shape (m,)
        Popularity up to 10 is tenth 0, from 90 on tenth 9, an unknown one -1.
    """
    tenth = np.full(len(popularity), -1, dtype=np.int64)
    known = ~np.isnan(popularity)
    tenth[known] = np.clip(np.floor(popularity[known] / 10), 0, 9)
    pairs, n_songs = np.unique(np.stack([tenth, n_lists]), axis=1, return_counts=True)
    return pairs[0], pairs[1], n_songs


def add_occurrences(tenth: Ints, n_lists: Ints, n_songs: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the sums of what `count_occurrences` returned of several shares of the songs.

    Parameters
    ----------
    tenth, n_lists, n_songs : int64 arrays, shape (n,)
        One after the other.
    """
    pairs, inverse = np.unique(np.stack([tenth, n_lists]), axis=1, return_inverse=True)
    return pairs[0], pairs[1], np.bincount(inverse.ravel(), weights=n_songs).astype(np.int64)
