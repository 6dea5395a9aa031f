"""Candidates of items → the list of each song: score down, then number up, as far as the rules allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import NO_SONG, Floats, Ints
from musicrec.compiled import compiled
from musicrec.neighbors.search.rules import NO_CANDIDATE, ListRules, choose


@dataclass(frozen=True)
class SongRows:
    """Songs of some rows: those of row i are `songs[starts[i] : starts[i + 1]]`, with their facts."""

    starts: Ints
    songs: Ints
    facts: Ints


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
    order = np.arange(len(scores))
    _sort(candidates.starts, candidates.songs, scores, order)
    return SongRows(candidates.starts, candidates.songs[order], candidates.facts[order]), scores[order]


def choose_songs(
    candidates: SongRows, scores: Floats, *, rows: Ints, facts: Ints, k: int, rules: ListRules
) -> Places:
    """Return the list of each song: the first k candidates that the rules allow.

    Parameters
    ----------
    candidates : SongRows
        In order, as `sort_candidates` returns them.
    scores : float32 array, shape (n_candidates,)
    rows : int64 array, shape (n,)
        Where the candidates of each song are.
    facts : int64 array, shape (n, n_facts)
        Of the songs whose lists they are.
    k : int
    rules : ListRules
    """
    chosen = choose(rules, candidates.starts, candidates.facts, facts, k=k, rows=rows)
    found, is_taken = no_places(len(rows), k=k), chosen != NO_CANDIDATE
    found.places[is_taken] = candidates.songs[chosen[is_taken]]
    found.scores[is_taken] = scores[chosen[is_taken]]
    return found


@compiled
def _sort(starts: Ints, songs: Ints, scores: Floats, order: Ints) -> None:
    # Candidates come nearly sorted: insertion is then one pass.
    for row in range(len(starts) - 1):
        for i in range(starts[row] + 1, starts[row + 1]):
            candidate, at = order[i], i
            song, score = songs[candidate], scores[candidate]
            while at > starts[row] and (
                scores[order[at - 1]] < score or (scores[order[at - 1]] == score and songs[order[at - 1]] > song)
            ):
                order[at] = order[at - 1]
                at -= 1
            order[at] = candidate
