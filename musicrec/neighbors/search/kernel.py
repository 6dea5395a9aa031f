"""The lists of some queries, kept while cells of candidates come by: dense products, then one pass over each.

Exact search has this shape: all pairs of a block are one matrix product, and of its rows the best are selected
(Johnson, Douze and Jégou 2021, "Billion-scale similarity search with GPUs"). Products are of single precision and
only say which pairs can be in a list: those not below the last listed score by more than rounding can do
(`Frame.offsets`). Such a pair is scored in double precision and by itself, so a score never depends on the shape
of the block it was found in, and a list never on the order in which cells came. The rule of order is total: score
down, then key up. The loops are in `kernel_loops.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicrec.arrays import Doubles, Floats, Ints, Reals
from musicrec.compiled import compiled
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel_loops import (
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    ERROR,
    FACTS,
    HALF,
    SQUARE,
    WIDTH,
    compare_blocks,
    score_pairs,
)
from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.spaces import METRICS, Frame, Space, fit_frame
from musicrec.neighbors.search.top_k import Lists
from musicrec.traits import NO_GROUP

# Places beyond k of an item whose songs differ: each of them drops what is its own.
SLACK = 6
ONE_EACH = ListRules()


@dataclass(frozen=True)
class Candidates:
    """Items made ready for comparison.

    Attributes
    ----------
    names : int64 array, shape (n, 1 + n_facts)
        Their keys and facts, side by side.
    vectors : float32 array, shape (n, d)
    squares : float64 array, shape (n,)
        Squared lengths of the vectors.
    factors : float32 array, shape (n, d), for "euclidean" (n, d + 1)
        What is multiplied (`Frame.factors`).
    """

    names: Ints
    vectors: Floats
    squares: Doubles
    factors: Floats

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Meetings:
    """Which queries meet which candidates, that is, are compared with them.

    Attributes
    ----------
    firsts, lasts : int64 arrays, shape (n,)
        To meeting i come the candidates firsts[i] .. lasts[i]; no pair meets twice unless its keys are equal.
    starts : int64 array, shape (n + 1,)
        And the queries rows[starts[i] : starts[i + 1]], each at most once.
    rows : int64 array, shape (starts[-1],)
    """

    firsts: Ints
    lasts: Ints
    starts: Ints
    rows: Ints


def as_candidates(items: Items, frame: Frame) -> Candidates:
    """Return items as they are found."""
    vectors = _as_float32(items.vectors)  # (n, d)
    factors = frame.factors(vectors, asking=False).contiguous().numpy()  # (n, d) or (n, d + 1)
    names = np.column_stack([items.keys, items.facts])  # (n, 1 + n_facts)
    return Candidates(names, vectors.numpy(), squared_lengths(vectors.numpy()), factors)


class Search:
    """The lists of some queries over all candidates that they have met so far.

    Parameters
    ----------
    queries : Items
    k : int
        At least 1.
    n_spare : int
        Places beyond k for queries whose narrowest group is their own key: items whose songs differ.
    rules : ListRules
        What lists may hold: with none given, of the first column of facts each value once, and never the query's
        own, hence never itself.
    frame : Frame

    Attributes
    ----------
    n_compared : int
        Pairs of queries and candidates that have met.
    """

    def __init__(
        self, queries: Items, *, k: int, n_spare: int = 0, rules: ListRules = ONE_EACH, frame: Frame
    ) -> None:
        vectors = _as_float32(queries.vectors)  # (n, d)
        n, width = len(queries), k + n_spare
        squares, (halves, errors) = squared_lengths(vectors.numpy()), frame.offsets(vectors)  # (n,) each
        widths = np.where(queries.facts[:, 0] == queries.keys, width, k)  # (n,)
        self._vectors, self._metric = vectors.numpy(), METRICS.index(frame.metric)
        self._factors = frame.factors(vectors, asking=True).contiguous().numpy()  # (n, d) or (n, d + 1)
        # What a query needs when a candidate of it turns up lies side by side: it is looked up here and there, and
        # to wait for memory six times takes longer than the score.
        self._known, self._sizes = np.zeros((n, FACTS + rules.n_facts), dtype=np.int64), np.zeros((n, 4))
        self._known[:, WIDTH], self._known[:, FACTS:] = widths, queries.facts
        self._sizes[:, SQUARE], self._sizes[:, HALF], self._sizes[:, ERROR] = squares, halves, errors
        self._floors = np.full(n, -np.inf, dtype=np.float32)
        self._keys = np.full((n, width), -1, dtype=np.int64)
        self._listed = np.full((n, width, rules.n_groups), NO_GROUP, dtype=np.int64)
        self._rules = rules.packed()
        self._scores = np.full((n, width), np.nan, dtype=np.float32)
        self.n_compared = 0
        # Buffers for all blocks: fresh memory costs as much as the product that fills it.
        self._products = np.empty(BLOCK_ROWS * BLOCK_COLUMNS, dtype=np.float32)
        self._left = np.empty((BLOCK_ROWS, self._factors.shape[1]), dtype=np.float32)

    def meet(self, candidates: Candidates, meetings: Meetings) -> None:
        """Compare queries with candidates, as the meetings say, and keep the best."""
        self.n_compared += compare_blocks(
            meetings.firsts, meetings.lasts, meetings.starts, meetings.rows, self._metric, self._rules,
            self._factors, self._vectors, self._known, self._sizes,
            candidates.factors, candidates.vectors, candidates.squares, candidates.names,
            self._floors, self._keys, self._listed, self._scores, self._left, self._products,
        )  # fmt: skip

    def meet_all(self, candidates: Candidates) -> None:
        """Compare all queries with all candidates."""
        n = len(self._floors)
        self.meet(
            candidates,
            Meetings(np.zeros(1, np.int64), np.array([len(candidates)]), np.array([0, n]), np.arange(n)),
        )

    def lists(self) -> Lists:
        """Return the lists, shapes (n_queries, k + n_spare)."""
        return Lists(self._keys, self._listed, self._scores)


def exact_nearest(
    queries: Items, candidates: Items, *, k: int, n_spare: int = 0, rules: ListRules = ONE_EACH, space: Space
) -> Lists:
    """Return the exact k nearest of `candidates` for each query: brute force, with bounds.

    Parameters
    ----------
    queries, candidates : Items
        n_queries and n of them, of one dimension d.
    k : int
        At least 1.
    n_spare : int
        Places beyond k, as in `Search`.
    rules : ListRules
        As in `Search`.
    space : Space

    Returns
    -------
    Lists
        Shapes (n_queries, k + n_spare).
    """
    frame = fit_frame(candidates.vectors.astype(np.float32), space)
    search = Search(queries, k=k, n_spare=n_spare, rules=rules, frame=frame)
    search.meet_all(as_candidates(candidates, frame))
    return search.lists()


def pair_scores(left: Reals, right: Reals, space: Space) -> Floats:
    """Return the scores of row pairs: cosine rounded to six digits, product, or minus the distance.

    Parameters
    ----------
    left, right : float arrays, shape (n, d)
    space : Space
        Whose metric it is.

    Returns
    -------
    float32 array, shape (n,)
        Larger is nearer; cosines in [-1, 1]. Summed in double precision: exact for half-precision vectors up
        to far below the rounding, hence the same on every machine.
    """
    left, right = _as_float32(left).numpy(), _as_float32(right).numpy()  # (n, d) each
    return score_pairs(left, right, squared_lengths(left), squared_lengths(right), METRICS.index(space.metric))


def _as_float32(vectors: Reals) -> Tensor:
    return torch.from_numpy(np.array(vectors, order="C", copy=not vectors.flags.writeable or None)).float()


@compiled
def squared_lengths(vectors: Floats) -> Doubles:
    """Return the squared lengths of vectors (n, d), (n,), in double precision: finite where all numbers are."""
    squares = np.zeros(len(vectors))
    for row in range(len(vectors)):
        total = 0.0
        for i in range(vectors.shape[1]):
            total += np.float64(vectors[row, i]) * np.float64(vectors[row, i])
        squares[row] = total
    return squares
