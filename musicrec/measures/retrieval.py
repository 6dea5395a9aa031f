"""What ranked lists are worth to the one who asks: precision, recall, nDCG, average precision, R-precision.

Relevance is binary: a candidate is right when it shares a group (a playlist, say) with the query. The whole
ranking is measured, so that recall, average precision and R-precision need no cut-off of their own; definitions as
in trec_eval (nDCG by Järvelin and Kekäläinen 2002, with a gain of 1). Queries go through in blocks, so memory does
not grow with their square.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from musicrec.arrays import Bools, Doubles, Floats, Ints

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

    def relevance(self, rows: slice) -> Bools:
        """Return (n_rows, n): whether the songs share a group with the asked ones."""
        shared: Bools = (self.groups[rows] @ self.groups.T).toarray() > 0  # (n_rows, n)
        return shared


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
    artist, n = torch.from_numpy(candidates.artists), len(candidates.artists)
    nearest, parts = [], []
    for start in range(0, n, _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, n))
        scores = score(rows)  # (block, n)
        scores.masked_fill_(_excluded(artist, rows, own_artist=own_artist), float("-inf"))
        order = falling(scores)  # (block, n)
        allowed = scores.gather(1, order) > float("-inf")  # (block, n)
        relevant = torch.from_numpy(candidates.relevance(rows)).gather(1, order) & allowed  # (block, n)
        nearest.append(torch.where(allowed, order, -1)[:, :k])
        parts.append(measure_lists(relevant, k=k))
    lists = torch.cat(nearest)
    padded = torch.nn.functional.pad(lists, (0, k - lists.shape[1]), value=-1)
    return Answers(padded.numpy(), ListMeasures.join(parts))


def falling(scores: Tensor) -> Tensor:
    """Return the order of each row's scores, the largest first; among equals the first one, on any machine.

    A score and its place become one whole number: numpy sorts those several times as fast as torch sorts floats.

    Parameters
    ----------
    scores : float32 Tensor, shape (n_rows, n)

    Returns
    -------
    int64 Tensor, shape (n_rows, n)
    """
    # Plus zero: minus zero equals it, and has other bits.
    bits = (scores.numpy() + np.float32(0)).view(np.int32)  # (n_rows, n)
    # Floats are in the order of their bits, the negative ones in the opposite one.
    rising = bits ^ (bits >> 31 & 0x7FFFFFFF)
    keys = (~rising).astype(np.int64) << 32 | np.arange(scores.shape[1])
    keys.sort(axis=1)
    return torch.from_numpy(keys & 0xFFFFFFFF)


def measure_lists(relevant: Tensor, *, k: int) -> ListMeasures:
    """Return how good rankings are.

    Parameters
    ----------
    relevant : bool Tensor, shape (n_queries, n)
        Whether the answer at each place is right; queries without any right one are left out.
    k : int
    """
    kept = relevant[relevant.any(dim=1)].double()  # (n_kept, n)
    n_right = kept.sum(dim=1)  # (n_kept,)
    first = kept[:, :k]  # (n_kept, k)
    rank = torch.arange(1, kept.shape[1] + 1, dtype=torch.float64)  # (n,)
    so_far = kept.cumsum(dim=1)  # (n_kept, n)
    at_r = so_far.gather(1, (n_right.long() - 1).clamp(min=0)[:, None])[:, 0]
    gains = 1 / torch.log2(rank[:k] + 1)
    best = torch.cat([torch.zeros(1, dtype=torch.float64), gains.cumsum(0)])[n_right.long().clamp(max=len(gains))]
    found = {
        "precision": first.sum(dim=1) / k,
        "hit": first.any(dim=1).double(),
        "recall": first.sum(dim=1) / n_right,
        "ndcg": (first * gains).sum(dim=1) / best,
        "average_precision": (kept * so_far / rank).sum(dim=1) / n_right,
        "r_precision": at_r / n_right,
    }
    return ListMeasures(**{name: values.numpy() for name, values in found.items()})


def _excluded(artist: Tensor, rows: slice, *, own_artist: bool) -> Tensor:
    if not own_artist:
        return artist[rows, None] == artist[None, :]
    here = torch.arange(rows.start, rows.stop)
    return here[:, None] == torch.arange(len(artist))[None, :]
