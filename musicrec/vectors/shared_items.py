"""Lists of items → lists of the songs that share them, where a song's key is also its id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import Floats, Ints
from musicrec.compiled import compiled
from musicrec.neighbors.search.top_k import Lists


@dataclass(frozen=True)
class Shared:
    """Items of several songs.

    Attributes
    ----------
    items : int64 array, shape (n,)
        Keys, rising.
    starts : int64 array, shape (n + 1,)
    songs : int64 array, shape (starts[-1],)
        The songs of item i are songs[starts[i] : starts[i + 1]], rising.
    self_scores : float32 array, shape (n,)
        Of a song with another one of its item.
    """

    items: Ints
    starts: Ints
    songs: Ints
    self_scores: Floats


@dataclass(frozen=True)
class ListRows:
    """Places of lists, one a row.

    Attributes
    ----------
    songs : int64 array, shape (n,)
        Whose lists they are.
    ranks : int32 array, shape (n,)
        From 1.
    neighbors : int64 array, shape (n,)
    scores : float32 array, shape (n,)
    """

    songs: Ints
    ranks: NDArray[np.int32]
    neighbors: Ints
    scores: Floats


def make_shared(songs: Ints, items: Ints, scores: Floats) -> Shared:
    """Return what songs share.

    Parameters
    ----------
    songs : int64 array, shape (n,)
        Keys of songs that share an item with another.
    items : int64 array, shape (n,)
        The item of each.
    scores : float32 array, shape (n,)
        Of each with itself.
    """
    order = np.lexsort((songs, items))  # (n,)
    names, starts = np.unique(items[order], return_index=True)
    return Shared(names, np.append(starts, len(songs)).astype(np.int64), songs[order], scores[order][starts])


def expand(keys: Ints, lists: Lists, shared: Shared, *, k: int) -> ListRows:
    """Return the first k places of each song of some items: score down, then key up, never the song itself.

    Parameters
    ----------
    keys : int64 array, shape (n,)
        The items.
    lists : Lists
        Their nearest items, at least k where there are as many.
    shared : Shared
        Of the whole catalog.
    k : int
        At least 1.
    """
    own, n_songs = _find(shared, keys)
    listed, _ = _find(shared, lists.keys.ravel())
    rows = _expand(
        keys, own, lists.keys, listed.reshape(lists.keys.shape), lists.scores,
        shared.starts, shared.songs, shared.self_scores, int(n_songs.sum()), k,
    )  # fmt: skip
    return ListRows(*rows)


def _find(shared: Shared, keys: Ints) -> tuple[Ints, Ints]:
    """Return the index in `shared` of each key, -1 where it is alone, and how many songs it has."""
    if not len(shared.items):
        return np.full(len(keys), -1), np.ones(len(keys), dtype=np.int64)
    index = np.searchsorted(shared.items, keys).clip(0, len(shared.items) - 1)
    found = shared.items[index] == keys
    counts = np.diff(shared.starts)[index]
    return np.where(found, index, -1), np.where(found, counts, 1)


@compiled
def _insert(n: int, score: np.float32, song: int, scores: Floats, songs: Ints) -> int:
    """Put a song into sorted places of which n are taken; return how many are then."""
    size = len(songs)
    if n == size:
        if scores[size - 1] > score or (scores[size - 1] == score and songs[size - 1] < song):
            return n
        n -= 1
    at = n
    while at > 0 and (scores[at - 1] < score or (scores[at - 1] == score and songs[at - 1] > song)):
        scores[at], songs[at] = scores[at - 1], songs[at - 1]
        at -= 1
    scores[at], songs[at] = score, song
    return n + 1


@compiled
def _expand(
    keys: Ints, own: Ints, listed_keys: Ints, listed: Ints, listed_scores: Floats,
    starts: Ints, songs: Ints, self_scores: Floats, n_songs: int, k: int,
) -> tuple[Ints, NDArray[np.int32], Ints, Floats]:  # fmt: skip
    row_songs = np.empty(n_songs * k, dtype=np.int64)
    row_ranks = np.empty(n_songs * k, dtype=np.int32)
    row_neighbors = np.empty(n_songs * k, dtype=np.int64)
    row_scores = np.empty(n_songs * k, dtype=np.float32)
    # One more place: an item's songs are in their own list, and each leaves itself out.
    best, best_scores = np.empty(k + 1, dtype=np.int64), np.empty(k + 1, dtype=np.float32)
    n_rows = 0
    for i in range(len(keys)):
        n = 0
        first, last = 0, 1
        if own[i] >= 0:
            first, last = starts[own[i]], starts[own[i] + 1]
            for index in range(first, min(last, first + k + 1)):
                n = _insert(n, self_scores[own[i]], songs[index], best_scores, best)
        for j in range(listed_keys.shape[1]):
            score = listed_scores[i, j]
            if np.isnan(score):
                break
            if listed[i, j] < 0:
                n = _insert(n, score, listed_keys[i, j], best_scores, best)
                continue
            begin, end = starts[listed[i, j]], starts[listed[i, j] + 1]
            for index in range(begin, min(end, begin + k + 1)):
                n = _insert(n, score, songs[index], best_scores, best)
        for index in range(first, last):
            song = songs[index] if own[i] >= 0 else keys[i]
            rank = 0
            for j in range(n):
                if best[j] != song and rank < k:
                    row_songs[n_rows], row_ranks[n_rows] = song, rank + 1
                    row_neighbors[n_rows], row_scores[n_rows] = best[j], best_scores[j]
                    rank += 1
                    n_rows += 1
    return row_songs[:n_rows], row_ranks[:n_rows], row_neighbors[:n_rows], row_scores[:n_rows]
