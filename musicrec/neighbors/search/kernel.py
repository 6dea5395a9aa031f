"""The lists of some queries, kept while cells of candidates come by: dense products, then one pass over each.

Products only say which pairs can be in a list. Such a pair is scored by `_score`, in double precision and by
itself, so a score never depends on the shape of the block it was found in, and a list never on the order in which
cells came. The rule of order is total: score down, then key up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicrec.arrays import Doubles, Floats, Ints, Reals
from musicrec.neighbors.search.compiled import compiled
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.spaces import METRICS, SCORE_DIGITS, Frame, Space, fit_frame
from musicrec.neighbors.search.top_k import Lists

# The products of a block stay in the second-level cache: 512 x 512 floats are 1 MB.
_BLOCK_ROWS = 512
_BLOCK_COLUMNS = 512
# Products that are looked at one by one where one of them can be in a list.
_STRIDE = 16
# Places beyond k of an item of several recordings: each of its songs drops its own recording.
SLACK = 6
# Products beyond the width of a list that its first floor is taken from: its own item and some releases.
SEEDS = 4
SCALE = 10.0**SCORE_DIGITS
COSINE, DOT = METRICS.index("cosine"), METRICS.index("dot")
# Columns of what is known of a query.
WIDTH, RECORDING, FILLED = range(3)
SQUARE, HALF, ERROR = range(3)


@dataclass(frozen=True)
class Candidates:
    """Items made ready for comparison; `names` (n, 2) are their keys and recordings, side by side."""

    names: Ints
    vectors: Floats
    squares: Doubles
    factors: Floats

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Meetings:
    """Which queries are compared with which candidates.

    Attributes
    ----------
    firsts, lasts : int64 arrays, shape (n,)
        Offer i is of the candidates firsts[i] .. lasts[i]; no pair is offered twice unless its keys are equal.
    starts : int64 array, shape (n + 1,)
        It goes to the queries rows[starts[i] : starts[i + 1]], each at most once.
    rows : int64 array, shape (starts[-1],)
    """

    firsts: Ints
    lasts: Ints
    starts: Ints
    rows: Ints


def as_candidates(members: Items, frame: Frame) -> Candidates:
    """Return items as they are found."""
    vectors = _as_float32(members.vectors)
    factors = frame.factors(vectors, asking=False).contiguous().numpy()
    names = np.column_stack([members.keys, members.recordings])
    return Candidates(names, vectors.numpy(), squared_lengths(vectors.numpy()), factors)


class Search:
    """The lists of some queries over all candidates that were offered so far.

    Parameters
    ----------
    queries : Items
        An item is never listed for its own recording, hence never for itself, and of several releases of one
        recording the best is listed. Where that is not wanted, each item is a recording of its own.
    k : int
    n_spare : int
        Places beyond k for queries whose recording is their own key: items of several recordings.
    frame : Frame

    Attributes
    ----------
    n_compared : int
        Pairs of queries and candidates that were offered.
    """

    def __init__(self, queries: Items, *, k: int, n_spare: int = 0, frame: Frame) -> None:
        vectors = _as_float32(queries.vectors)
        n, width = len(queries), k + n_spare
        squares, (halves, errors) = squared_lengths(vectors.numpy()), frame.offsets(vectors)
        widths = np.where(queries.recordings == queries.keys, width, k)
        self._vectors, self._metric = vectors.numpy(), METRICS.index(frame.metric)
        self._factors = frame.factors(vectors, asking=True).contiguous().numpy()
        # What a query needs when a candidate of it turns up lies side by side: it is looked up here and there, and
        # to wait for memory six times takes longer than the score.
        self._facts, self._sizes = np.zeros((n, 4), dtype=np.int64), np.zeros((n, 4))
        self._facts[:, WIDTH], self._facts[:, RECORDING] = widths, queries.recordings
        self._sizes[:, SQUARE], self._sizes[:, HALF], self._sizes[:, ERROR] = squares, halves, errors
        self._floors = np.full(n, -np.inf, dtype=np.float32)
        self._keys = np.full((n, width), -1, dtype=np.int64)
        self._listed = np.full((n, width), -1, dtype=np.int64)
        self._scores = np.full((n, width), np.nan, dtype=np.float32)
        self.n_compared = 0
        # Buffers for all blocks: fresh memory costs as much as the product that fills it.
        self._products = np.empty(_BLOCK_ROWS * _BLOCK_COLUMNS, dtype=np.float32)
        self._left = np.empty((_BLOCK_ROWS, self._factors.shape[1]), dtype=np.float32)

    def offer(self, candidates: Candidates, offers: Meetings) -> None:
        """Compare queries with candidates, as the offers say."""
        self.n_compared += _offer(
            offers.firsts, offers.lasts, offers.starts, offers.rows, self._metric,
            self._factors, self._vectors, self._facts, self._sizes,
            candidates.factors, candidates.vectors, candidates.squares, candidates.names,
            self._floors, self._keys, self._listed, self._scores, self._left, self._products,
        )  # fmt: skip

    def offer_all(self, candidates: Candidates) -> None:
        """Compare all queries with all candidates."""
        n = len(self._floors)
        self.offer(
            candidates,
            Meetings(np.zeros(1, np.int64), np.array([len(candidates)]), np.array([0, n]), np.arange(n)),
        )

    def lists(self) -> Lists:
        """Return the lists, shapes (n_queries, k + n_spare)."""
        return Lists(self._keys, self._listed, self._scores)


def exact_nearest(queries: Items, candidates: Items, *, k: int, n_spare: int = 0, space: Space) -> Lists:
    """Return the exact k nearest of `candidates` for each query: brute force, with bounds."""
    frame = fit_frame(candidates.vectors.astype(np.float32), space)
    search = Search(queries, k=k, n_spare=n_spare, frame=frame)
    search.offer_all(as_candidates(candidates, frame))
    return search.lists()


def pair_scores(left: Reals, right: Reals, space: Space) -> Floats:
    """Return the scores of row pairs: cosine rounded to six digits, product, or minus the distance.

    Parameters
    ----------
    left, right : float arrays, shape (n, d)

    Returns
    -------
    float32 array, shape (n,)
        Larger is nearer; cosines in [-1, 1]. Summed in double precision: exact for half-precision vectors up
        to far below the rounding, hence the same on every machine.
    """
    left, right = _as_float32(left).numpy(), _as_float32(right).numpy()
    return _pair_scores(left, right, squared_lengths(left), squared_lengths(right), METRICS.index(space.metric))


@compiled
def _pair_scores(
    left: Floats, right: Floats, left_squares: Doubles, right_squares: Doubles, metric: int
) -> Floats:
    scores = np.empty(len(left), dtype=np.float32)
    for i in range(len(left)):
        scores[i] = _score(left, i, right, i, left_squares[i], right_squares[i], metric)
    return scores


@compiled
def _score(
    left: Floats, row: int, right: Floats, column: int, left_square: float, right_square: float, metric: int
) -> np.float32:
    total = 0.0
    if metric in (COSINE, DOT):
        for i in range(left.shape[1]):
            total += np.float64(left[row, i]) * np.float64(right[column, i])
        if metric == DOT:
            return np.float32(total)
        cosine = total / max(np.sqrt(left_square * right_square), 1e-30)
        return np.float32(np.rint(min(max(cosine, -1.0), 1.0) * SCALE) / SCALE)
    for i in range(left.shape[1]):
        apart = np.float64(left[row, i]) - np.float64(right[column, i])
        total += apart * apart
    return np.float32(-np.sqrt(total))


@compiled
def _floor(score: np.float32, half: np.float32, error: np.float32, metric: int) -> np.float32:
    """Return the bound below which no pair can reach a score."""
    value = np.float64(score)
    if metric == COSINE:
        # A score is rounded, and so are bounds.
        return np.float32(value - 1.0 / SCALE - error)
    if metric == DOT:
        return np.float32(value - error)
    return np.float32(half - value * value / 2.0 - error)


@compiled
def _place(
    row: int,
    score: np.float32,
    key: int,
    recording: int,
    width: int,
    filled: int,
    keys: Ints,
    recordings: Ints,
    scores: Floats,
) -> int:
    """Put a pair into the sorted list of a query and return how many places are taken."""
    if filled == width:
        last = scores[row, width - 1]
        if last > score or (last == score and keys[row, width - 1] <= key):
            return filled
    end = filled
    for place in range(filled):
        if recordings[row, place] == recording:
            listed = scores[row, place]
            if listed > score or (listed == score and keys[row, place] <= key):
                return filled
            # A better release of a listed recording takes its place.
            end = place
            break
    if end == filled:
        if filled < width:
            filled += 1
        else:
            end = width - 1
    while end > 0:
        before = scores[row, end - 1]
        if before > score or (before == score and keys[row, end - 1] < key):
            break
        scores[row, end] = before
        keys[row, end] = keys[row, end - 1]
        recordings[row, end] = recordings[row, end - 1]
        end -= 1
    scores[row, end], keys[row, end], recordings[row, end] = score, key, recording
    return filled


@compiled
def _seed(products: Floats, i: int, seeds: Floats) -> np.float32:
    """Return the last of the largest products of a row, as many as there are seeds."""
    n_seeds = len(seeds)
    seeds[:] = -np.inf
    for j in range(products.shape[1]):
        value = products[i, j]
        if value > seeds[n_seeds - 1]:
            place = n_seeds - 1
            while place > 0 and seeds[place - 1] < value:
                seeds[place] = seeds[place - 1]
                place -= 1
            seeds[place] = value
    last: np.float32 = seeds[n_seeds - 1]
    return last


@compiled
def _offer(
    firsts: Ints, lasts: Ints, starts: Ints, rows: Ints, metric: int,
    factors: Floats, vectors: Floats, facts: Ints, sizes: Doubles,
    found_factors: Floats, found: Floats, found_squares: Doubles, found_names: Ints,
    floors: Floats, keys: Ints, listed: Ints, scores: Floats, left: Floats, products: Floats,
) -> int:  # fmt: skip
    """Multiply block by block, add to the lists what can be in them, and return how many pairs there were.

    All in one compiled call: cells are small, and calls from Python took as long as their products.
    """
    seeds = np.empty(scores.shape[1] + SEEDS, dtype=np.float32)
    n_compared = 0
    for offer in range(len(firsts)):
        for first in range(firsts[offer], lasts[offer], _BLOCK_COLUMNS):
            last = min(first + _BLOCK_COLUMNS, lasts[offer])
            right = found_factors[first:last].T
            for start in range(starts[offer], starts[offer + 1], _BLOCK_ROWS):
                some = rows[start : min(start + _BLOCK_ROWS, starts[offer + 1])]
                for i in range(len(some)):
                    left[i] = factors[some[i]]
                block = products[: len(some) * (last - first)].reshape(len(some), last - first)
                np.dot(left[: len(some)], right, block)
                n_compared += block.size
                _select(
                    block, some, first, metric, vectors, facts, sizes, found, found_squares, found_names,
                    floors, keys, listed, scores, seeds,
                )  # fmt: skip
    return n_compared


@compiled
def _select(
    products: Floats, rows: Ints, first: int, metric: int,
    vectors: Floats, facts: Ints, sizes: Doubles, found: Floats, found_squares: Doubles, found_names: Ints,
    floors: Floats, keys: Ints, listed: Ints, scores: Floats, seeds: Floats,
) -> None:  # fmt: skip
    """Add to the lists of `rows` what can be in them of the candidates from `first` on."""
    n_columns = products.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        floor = floors[row]
        # Most rows end here; nothing else is looked up for them.
        if floor > -np.inf and not _any_above(products, i, 0, n_columns, floor):
            continue
        width, recording, n_filled = facts[row, WIDTH], facts[row, RECORDING], facts[row, FILLED]
        square, half, error = sizes[row, SQUARE], np.float32(sizes[row, HALF]), np.float32(sizes[row, ERROR])
        is_seeded = n_filled == 0 and n_columns >= 2 * len(seeds)
        if is_seeded:
            # A list that begins loses most of what it takes at first: see before where it will end.
            floor = np.float32(_seed(products, i, seeds) - 2 * error - 2.0 / SCALE)
        for attempt in range(2):
            if attempt == 1:
                if not is_seeded or n_filled == width:
                    break
                # Few recordings have more releases than there are spare seeds: then all over again.
                floor = np.float32(-np.inf)
            for start in range(0, n_columns, _STRIDE):
                stop = min(start + _STRIDE, n_columns)
                if not _any_above(products, i, start, stop, floor):
                    continue
                for j in range(start, stop):
                    column = first + j
                    if products[i, j] < floor or found_names[column, 1] == recording:
                        continue
                    score = _score(vectors, row, found, column, square, found_squares[column], metric)
                    n_filled = _place(
                        row, score, found_names[column, 0], found_names[column, 1], width, n_filled,
                        keys, listed, scores,
                    )  # fmt: skip
                    if n_filled == width:
                        floor = max(floor, _floor(scores[row, width - 1], half, error, metric))
        floors[row], facts[row, FILLED] = floor, n_filled


@compiled
def _any_above(products: Floats, i: int, start: int, stop: int, floor: np.float32) -> bool:
    # Counted without a branch, in numbers as wide as the products, so that vector instructions do it; and so that
    # what is no number, where products overflow, is looked at, too.
    n_above = np.int32(0)
    for j in range(start, stop):
        n_above += np.int32(not (products[i, j] < floor))
    return bool(n_above > 0)


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
