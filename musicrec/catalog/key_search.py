"""Where keys stand among many: the high bits of a key lead to the few that it may be."""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Ints
from musicrec.compiled import compiled

NOWHERE = -1


@compiled
def find_keys(known: Ints, wanted: Ints) -> Ints:
    """Return where each wanted key stands (n,), `NOWHERE` where it is not known.

    Keys are hashes, so that each of as many buckets as there are keys holds about one. Others take longer, like
    a binary search at most.

    Parameters
    ----------
    known : int64 array, shape (n_known,)
        Rising.
    wanted : int64 array, shape (n,)
    """
    places = np.full(len(wanted), NOWHERE, dtype=np.int64)
    n = len(known)
    if n == 0:
        return places
    lowest, highest = known[0], known[-1]
    # Whole numbers only: a key has to meet the same bucket, to the last bit, as it did when that was filled.
    width, shift = np.uint64(highest) - np.uint64(lowest), np.uint64(0)
    while (width >> shift) > np.uint64(n):
        shift += np.uint64(1)
    n_buckets = np.int64(width >> shift) + 1
    starts = np.empty(n_buckets + 1, dtype=np.int64)
    filled = 0
    for i in range(n):
        bucket = np.int64((np.uint64(known[i]) - np.uint64(lowest)) >> shift)
        while filled <= bucket:
            starts[filled] = i
            filled += 1
    starts[n_buckets] = n
    for row in range(len(wanted)):
        key = wanted[row]
        if key < lowest or key > highest:
            continue
        bucket = np.int64((np.uint64(key) - np.uint64(lowest)) >> shift)
        first, last = starts[bucket], starts[bucket + 1]
        while first < last:
            middle = (first + last) // 2
            if known[middle] < key:
                first = middle + 1
            else:
                last = middle
        if first < n and known[first] == key:
            places[row] = first
    return places
