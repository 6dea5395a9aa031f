"""Where the right answers stand in a ranking of all songs, and its first places, without sorting all of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import NO_SONG, Bools, Floats, Ints
from musicrec.compiled import compiled

# The key of minus infinity: of a song that answers nobody.
NEVER = np.int32(0x7F800000)
_BEYOND = np.int64(2**63 - 1)


def as_keys(scores: Floats) -> NDArray[np.int32]:
    """Return whole numbers (n_rows, n) in the opposite order of scores, equal for equal ones; of NaN `NEVER`."""
    # Plus zero: minus zero equals it, and has other bits.
    bits = (scores + np.float32(0)).view(np.int32)  # (n_rows, n)
    # Floats are in the order of their bits, the negative ones in the opposite one.
    keys: NDArray[np.int32] = ~(bits ^ (bits >> 31 & 0x7FFFFFFF))
    keys[np.isnan(scores)] = NEVER
    return keys


@compiled
def rank_answers(
    keys: NDArray[np.int32], barred: Bools, starts: NDArray[np.int32], right: NDArray[np.int32], nearest: Ints
) -> tuple[Ints, Ints]:
    """Return how many right answers each query has (n_rows,), and their places, from 0, rising (n_right,).

    Of songs with one key the first one comes first.

    Parameters
    ----------
    keys : int32 array, shape (n_rows, n)
        As `as_keys` returns them.
    barred : bool array, shape (n_rows, n)
        Songs that may not answer.
    starts : int32 array, shape (n_rows + 1,)
        Where the songs of each row begin in `right`.
    right : int32 array
        Songs that are right where they may answer.
    nearest : int64 array, shape (n_rows, k)
        Gets the songs of the first places, `NO_SONG` where there are no more.
    """
    n_rows, k = nearest.shape
    counts, places, n_places = np.zeros(n_rows, dtype=np.int64), np.empty(len(right), dtype=np.int64), 0
    best = np.empty(k + 1, dtype=np.int64)
    for row in range(n_rows):
        wanted = _wanted(keys[row], barred[row], right[starts[row] : starts[row + 1]])
        n_best, before = _rank(keys[row], barred[row], wanted, best)
        for i in range(k):
            nearest[row, i] = best[i] & 0xFFFFFFFF if i < n_best else NO_SONG
        counts[row] = len(wanted)
        n_before = 0
        for i in range(len(wanted)):
            n_before += before[i]
            places[n_places + i] = n_before
        n_places += len(wanted)
    return counts, places[:n_places]


@compiled
def _wanted(keys: NDArray[np.int32], barred: Bools, right: NDArray[np.int32]) -> Ints:
    """Return the right answers that there may be by key and number, rising."""
    wanted, n = np.empty(len(right), dtype=np.int64), 0
    for song in right:
        if not barred[song] and keys[song] != NEVER:
            wanted[n] = np.int64(keys[song]) << 32 | np.int64(song)
            n += 1
    return np.sort(wanted[:n])


@compiled
def _rank(keys: NDArray[np.int32], barred: Bools, wanted: Ints, best: Ints) -> tuple[int, Ints]:
    """Fill `best` with the first of all, and return how many these are, and what stands between the wanted ones.

    That is, for each of `wanted`, how many songs come before it and not before the one that precedes it.
    """
    k, n_best, worst = len(best) - 1, 0, _BEYOND
    before = np.zeros(len(wanted) + 1, dtype=np.int64)
    last = wanted[-1] if len(wanted) else -_BEYOND
    for song in range(len(keys)):
        key = np.int64(keys[song]) << 32 | np.int64(song)
        if (key >= worst and key >= last) or barred[song] or keys[song] == NEVER:
            continue
        if key < worst:
            place = n_best
            while place > 0 and best[place - 1] > key:
                best[place] = best[place - 1]
                place -= 1
            best[place] = key
            n_best = min(n_best + 1, k)
            worst = best[k - 1] if n_best == k else _BEYOND
        if key < last:
            low, high = 0, len(wanted)
            while low < high:
                middle = (low + high) // 2
                if wanted[middle] > key:
                    high = middle
                else:
                    low = middle + 1
            before[low] += 1
    return n_best, before
