"""What arrays hold, a name for each kind; ranges of rows without a loop; samples by key, without a generator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Reals = NDArray[np.floating]
# Among numbers of songs: of one that the catalog does not have, and in an empty place of a list.
NO_SONG = -1


def concatenate_ranges(firsts: Ints, lengths: Ints) -> Ints:
    """Return firsts[i], firsts[i] + 1, ... for each i, lengths[i] of them; both are (n,)."""
    starts = np.cumsum(lengths) - lengths
    rows: Ints = np.arange(int(lengths.sum())) + np.repeat(firsts - starts, lengths)
    return rows


def is_drawn(keys: Ints, *, share: float, seed: int) -> Bools:
    """Return which keys belong to a sample, the same ones whatever the others are.

    Parameters
    ----------
    keys : int64 array, shape (n,)
    share : float
        0..1: about so many of all keys are drawn.
    seed : int
        At least 0. With the same seed, a larger share holds the smaller one.

    Returns
    -------
    bool array, shape (n,)
    """
    drawn: Bools = as_shares(keys, seed=seed) < share
    return drawn


def as_shares(keys: Ints, *, seed: int) -> Doubles:
    """Return a number in [0, 1) for each 64-bit key, evenly spread: splitmix64 (Steele, Lea and Flood 2014)."""
    mixed = keys.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    shares: Doubles = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return shares
