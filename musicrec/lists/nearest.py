"""Candidates of items → the list of each song: score down, then number up, of each recording the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import NO_SONG, Floats, Ints
from musicrec.compiled import compiled


@dataclass(frozen=True)
class SongRows:
    """Songs of some rows: those of row i are `songs[starts[i] : starts[i + 1]]`, with their recordings."""

    starts: Ints
    songs: Ints
    recordings: Ints


@dataclass(frozen=True)
class Places:
    """Lists, best first: int32 `places` (n, k), `NO_SONG` where empty, and float32 `scores` (n, k), NaN there."""

    places: NDArray[np.int32]
    scores: Floats

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: Ints | slice) -> Places:
        """Return some of the lists, in this order."""
        return Places(self.places[rows], self.scores[rows])

    def first(self, k: int) -> Places:
        """Return the first k places of each list."""
        return Places(self.places[:, :k], self.scores[:, :k])


def no_places(n: int, *, k: int) -> Places:
    """Return n empty lists."""
    return Places(np.full((n, k), NO_SONG, dtype=np.int32), np.full((n, k), np.nan, dtype=np.float32))


def concatenate_places(several: list[Places]) -> Places:
    """Return the lists of all, in order."""
    return Places(
        np.concatenate([each.places for each in several]), np.concatenate([each.scores for each in several])
    )


def sort_candidates(candidates: SongRows, scores: Floats) -> tuple[SongRows, Floats]:
    """Return the candidates of each row in order, score down, then number up, and their scores (n_candidates,)."""
    songs, recordings, ordered = candidates.songs.copy(), candidates.recordings.copy(), scores.copy()
    _sort(candidates.starts, songs, recordings, ordered)
    return SongRows(candidates.starts, songs, recordings), ordered


def choose_songs(
    candidates: SongRows, scores: Floats, *, rows: Ints, songs: Ints, recordings: Ints, k: int
) -> Places:
    """Return the list of each song: the first k candidates, of each recording the first, never its own.

    Parameters
    ----------
    candidates : SongRows
        In order, as `sort_candidates` returns them.
    scores : float32 array, shape (n_candidates,)
    rows : int64 array, shape (n,)
        Where the candidates of each song are.
    songs, recordings : int64 arrays, shape (n,)
        The songs whose lists they are, and their recordings.
    k : int
    """
    found = no_places(len(songs), k=k)
    _choose(
        candidates.starts, candidates.songs, candidates.recordings, scores,
        rows, recordings, found.places, found.scores,
    )  # fmt: skip
    return found


@compiled
def _sort(starts: Ints, songs: Ints, recordings: Ints, scores: Floats) -> None:
    # Candidates come nearly sorted: insertion is then one pass.
    for row in range(len(starts) - 1):
        for i in range(starts[row] + 1, starts[row + 1]):
            song, recording, score = songs[i], recordings[i], scores[i]
            at = i
            while at > starts[row] and (
                scores[at - 1] < score or (scores[at - 1] == score and songs[at - 1] > song)
            ):
                songs[at], recordings[at], scores[at] = songs[at - 1], recordings[at - 1], scores[at - 1]
                at -= 1
            songs[at], recordings[at], scores[at] = song, recording, score


@compiled
def _choose(
    starts: Ints, candidates: Ints, candidate_recordings: Ints, candidate_scores: Floats,
    rows: Ints, recordings: Ints, places: NDArray[np.int32], scores: Floats,
) -> None:  # fmt: skip
    k = places.shape[1]
    taken = np.empty(k, dtype=np.int64)
    for song in range(len(rows)):
        n = 0
        for i in range(starts[rows[song]], starts[rows[song] + 1]):
            recording = candidate_recordings[i]
            if recording == recordings[song]:
                continue
            is_new = True
            for j in range(n):
                if taken[j] == recording:
                    is_new = False
                    break
            if is_new:
                taken[n], places[song, n], scores[song, n] = recording, candidates[i], candidate_scores[i]
                n += 1
                if n == k:
                    break
