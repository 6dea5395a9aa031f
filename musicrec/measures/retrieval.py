"""What ranked lists are worth to the one who asks: precision, recall, nDCG, average precision, R-precision.

Relevance is binary: a candidate is right when it shares a group (a playlist, say) with the query. The whole
ranking is measured, so that recall, average precision and R-precision need no cut-off of their own; definitions as
in trec_eval (nDCG by Järvelin and Kekäläinen 2002, with a gain of 1). Queries go through in blocks, so memory does
not grow with their square.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from musicrec.arrays import Bools, Doubles, Floats, Ints
from musicrec.measures.ranks import as_keys, rank_answers

# Scores (n_rows, n) of all songs for some of them, a range or row numbers; a new tensor at each call.
Scorer = Callable[[slice | Tensor], Tensor]

_BLOCK_ROWS = 256


@dataclass(frozen=True)
class ListMeasures:
    """How well each query that has a right answer was answered: arrays of shape (n_queries,), 0..1.

    precision, hit, recall and ndcg look at the first k places, average_precision at all of them, r_precision at
    the first R, where R answers are right.
    """

    precision: Doubles
    hit: Doubles
    recall: Doubles
    ndcg: Doubles
    average_precision: Doubles
    r_precision: Doubles

    @staticmethod
    def join(parts: list[ListMeasures]) -> ListMeasures:
        """Return the queries of all parts, in their order."""
        names = [field.name for field in fields(ListMeasures)]
        return ListMeasures(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True)
class Collection:
    """Songs that are asked for and may answer.

    Attributes
    ----------
    artists : int64 array, shape (n,)
    groups : sparse float32 matrix, shape (n, n_groups)
        1 where the song is in the group.
    """

    artists: Ints
    groups: sparse.csr_array

    @staticmethod
    def make(artists: Ints, *, song: Ints, group: Ints) -> Collection:
        """Return candidates from pairs of songs and groups.

        Parameters
        ----------
        artists : int64 array, shape (n,)
            Of the songs.
        song : int64 array, shape (n_pairs,)
            Row numbers.
        group : int64 array, shape (n_pairs,)
            Any names.
        """
        names, column = np.unique(group, return_inverse=True)
        ones = np.ones(len(song), dtype=np.float32)
        shape = (len(artists), max(1, len(names)))
        return Collection(artists, sparse.coo_array((ones, (song, column)), shape=shape).tocsr())

    @property
    def are_queries(self) -> Bools:
        """Which songs (n,) have a right answer by another artist: those that measures are of."""
        query, song = self.relevance(slice(0, len(self.artists))).nonzero()
        found = np.zeros(len(self.artists), dtype=np.bool_)
        found[query[self.artists[query] != self.artists[song]]] = True
        return found

    def relevance(self, rows: slice) -> sparse.csr_array:
        """Return (n_rows, n), with an element where songs share a group with the asked ones."""
        return self.groups[rows] @ self.groups.T


@dataclass(frozen=True)
class Answers:
    """The lists of all songs, and what they are worth: `nearest` (n, k) row numbers, -1 where fewer exist."""

    nearest: Ints
    measures: ListMeasures


def by_cosine(vectors: Floats) -> Scorer:
    """Return the scorer of vectors (n, d), which need not be normalized."""
    unit = torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1)  # (n, d)
    return lambda rows: unit[rows] @ unit.T  # (n_rows, n)


def by_value(values: Doubles) -> Scorer:
    """Return the scorer that offers everyone the songs of highest value (n,), NaN last."""
    row = torch.from_numpy(np.where(np.isnan(values), -np.finfo(np.float32).max, values)).float()
    return lambda rows: row.expand(len(row[rows]), -1).clone()


def answer(score: Scorer, candidates: Collection, *, k: int, own_artist: bool) -> Answers:
    """Rank all songs for each song and measure the ranking.

    Parameters
    ----------
    score : Scorer
    candidates : Collection
    k : int
        Length of a list.
    own_artist : bool
        Whether songs by the query's own artist may answer. They are easy to find and seldom what one asks for.
    """
    n = len(candidates.artists)
    nearest, parts = np.empty((n, k), dtype=np.int64), []
    for start in range(0, n, _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, n))
        right = candidates.relevance(rows)
        counts, places = rank_answers(
            as_keys(score(rows).numpy()),
            _barred(candidates.artists, rows, own_artist=own_artist),
            right.indptr.astype(np.int32),
            right.indices.astype(np.int32),
            nearest[rows],
        )
        parts.append(measure_places(counts, places, k=k))
    return Answers(nearest, ListMeasures.join(parts))


def measure_places(counts: Ints, places: Ints, *, k: int) -> ListMeasures:
    """Return how good rankings are.

    Parameters
    ----------
    counts : int64 array, shape (n_queries,)
        Right answers of each query; queries without any are left out.
    places : int64 array, shape (n_right,)
        Where they stand, from 0, rising within a query.
    k : int
    """
    n_right = counts[counts > 0]  # (n_kept,)
    query = np.repeat(np.arange(len(n_right)), n_right)  # (n_right,)
    # How many right answers there are up to each one.
    so_far = np.arange(1, len(places) + 1) - np.repeat(np.cumsum(n_right) - n_right, n_right)

    def summed(values: NDArray[Any]) -> Doubles:
        return np.bincount(query, weights=values, minlength=len(n_right)).astype(np.float64)

    is_first = places < k
    gains = 1 / np.log2(np.arange(k) + 2)
    best = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(n_right, k)]
    n_first = summed(is_first)
    return ListMeasures(
        precision=n_first / k,
        hit=(n_first > 0).astype(np.float64),
        recall=n_first / n_right,
        ndcg=summed(np.where(is_first, gains[np.minimum(places, k - 1)], 0)) / best,
        average_precision=summed(so_far / (places + 1)) / n_right,
        r_precision=summed(places < n_right[query]) / n_right,
    )


def _barred(artists: Ints, rows: slice, *, own_artist: bool) -> Bools:
    """Return (n_rows, n): which songs are no answers, an asked one itself or all of its artist."""
    names = np.arange(len(artists)) if own_artist else artists
    barred: Bools = names[rows, None] == names[None, :]  # (n_rows, n)
    return barred
