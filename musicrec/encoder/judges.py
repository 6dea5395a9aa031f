"""Judges: the songs of artists that nothing was learned from, and whether they can tell good from bad."""

from __future__ import annotations

from dataclasses import dataclass

from musicrec.arrays import Bools, is_drawn
from musicrec.encoder.sample import Songs
from musicrec.measures.retrieval import Collection
from musicrec.spark.arrow import numbers

# Fewer answers say more of chance than of quality.
MIN_QUERIES = 30
MAX_SONGS = 5000


@dataclass(frozen=True)
class Judges:
    """Songs that judge.

    Attributes
    ----------
    at_gate : bool array, shape (n,)
        Which of the sample they are.
    candidates : Collection
    n_queries : int
        Of them those with a right answer by another artist.
    why_not : str
        Why they cannot judge; empty where they can.
    """

    at_gate: Bools
    candidates: Collection
    n_queries: int
    why_not: str


def draw_judges(songs: Songs, *, kept: Bools, seed: int) -> Judges:
    """Return the songs that judge.

    Parameters
    ----------
    songs : Songs
    kept : bool array, shape (n,)
        The songs to learn from; of the others at most about `MAX_SONGS` judge: each of them ranks all others.
    seed : int
    """
    share = min(1.0, MAX_SONGS / max(1, int((~kept).sum())))
    at_gate = ~kept & is_drawn(numbers(songs.labeled["track_key"]), share=share, seed=seed)
    candidates = songs.candidates(at_gate)
    n_queries = int(candidates.are_queries.sum())
    return Judges(at_gate, candidates, n_queries, _why_not(songs, n_queries=n_queries))


def _why_not(songs: Songs, *, n_queries: int) -> str:
    if not songs.judged_by:
        return "the input has neither playlists nor genres"
    if n_queries < MIN_QUERIES:
        return (
            f"only {n_queries} sampled songs of the artists held out share {songs.judged_by} with another artist's"
        )
    return ""
