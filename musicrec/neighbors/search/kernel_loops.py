"""The compiled loops of `kernel.py`: block by block a product, and a pass that lists what can be in a list.

They stand in a file of their own, all of them, because a compiled function calls only those of its own file.
"""

from __future__ import annotations

import numpy as np

from musicrec.arrays import Doubles, Floats, Ints
from musicrec.compiled import compiled
from musicrec.neighbors.search.rules import (
    ALWAYS,
    GROUPS,
    LIMITS,
    SAME_AT,
    TRAITS_AT,
    UNLESS_OWN,
    YEAR_AT,
    YEARS_APART,
)
from musicrec.neighbors.search.spaces import METRICS, SCORE_DIGITS
from musicrec.traits import MIXED, NO_GROUP, UNKNOWN_YEAR

# The products of a block stay in the second-level cache: 512 x 512 floats are 1 MB.
BLOCK_ROWS = 512
BLOCK_COLUMNS = 512
# Products that are looked at one by one where one of them can be in a list.
_STRIDE = 16
# Products beyond the width of a list that its first floor is taken from: its own item and some releases.
SEEDS = 4
SCALE = 10.0**SCORE_DIGITS
COSINE, DOT = METRICS.index("cosine"), METRICS.index("dot")
# Columns of what is known of a query, its facts the last, and of its `sizes`; of a candidate its key, then facts.
WIDTH, FILLED, FACTS = range(3)
FOUND_KEY, FOUND_FACTS = range(2)
SQUARE, HALF, ERROR = range(3)


@compiled
def score_pairs(left: Floats, right: Floats, left_squares: Doubles, right_squares: Doubles, metric: int) -> Floats:
    """Return the scores of row pairs, (n,).

    Parameters
    ----------
    left, right : float32 arrays, shape (n, d)
    left_squares, right_squares : float64 arrays, shape (n,)
        Squared lengths.
    metric : int
        Index into `spaces.METRICS`.
    """
    scores = np.empty(len(left), dtype=np.float32)
    for i in range(len(left)):
        scores[i] = _score(left, i, right, i, left_squares[i], right_squares[i], metric)
    return scores


@compiled
def compare_blocks(
    firsts: Ints, lasts: Ints, starts: Ints, rows: Ints, metric: int, rules: Ints,
    factors: Floats, vectors: Floats, known: Ints, sizes: Doubles,
    found_factors: Floats, found: Floats, found_squares: Doubles, found_names: Ints,
    floors: Floats, keys: Ints, listed: Ints, scores: Floats, left: Floats, products: Floats,
) -> int:  # fmt: skip
    """Multiply block by block, add to the lists what can be in them, and return how many pairs there were.

    All in one compiled call: cells are small, and calls from Python took as long as their products.

    Parameters
    ----------
    firsts, lasts, starts, rows : int64 arrays
        Who meets whom, as in `kernel.Meetings`.
    metric : int
        Index into `spaces.METRICS`.
    rules : int64 array
        `ListRules.packed`.
    factors : float32 array, shape (n, f)
        What is multiplied of the queries; f is d, for "euclidean" d + 1.
    vectors : float32 array, shape (n, d)
        The queries.
    known : int64 array, shape (n, 2 + n_facts)
        Width of the list, how many of its places are taken, which is written, and facts.
    sizes : float64 array, shape (n, 4)
        Squared length, and what `Frame.offsets` returns.
    found_factors, found : float32 arrays, shapes (m, f) and (m, d)
        The same of the candidates.
    found_squares : float64 array, shape (m,)
    found_names : int64 array, shape (m, 1 + n_facts)
        Keys and facts.
    floors : float32 array, shape (n,)
        Products below are of no use; written.
    keys, listed : int64 arrays, shapes (n, width) and (n, width, n_groups)
        The lists: keys and groups; written.
    scores : float32 array, shape (n, width)
        Written.
    left, products : float32 arrays, shapes (BLOCK_ROWS, f) and (BLOCK_ROWS * BLOCK_COLUMNS,)
        Buffers.
    """
    seeds = np.empty(scores.shape[1] + SEEDS, dtype=np.float32)
    n_compared = 0
    for meeting in range(len(firsts)):
        for first in range(firsts[meeting], lasts[meeting], BLOCK_COLUMNS):
            last = min(first + BLOCK_COLUMNS, lasts[meeting])
            right = found_factors[first:last].T  # (f, n_columns)
            for start in range(starts[meeting], starts[meeting + 1], BLOCK_ROWS):
                some = rows[start : min(start + BLOCK_ROWS, starts[meeting + 1])]  # (n_rows,)
                for i in range(len(some)):
                    left[i] = factors[some[i]]  # (f,)
                block = products[: len(some) * (last - first)].reshape(len(some), last - first)
                np.dot(left[: len(some)], right, block)  # (n_rows, n_columns)
                n_compared += block.size
                _select(
                    block, some, first, metric, rules, vectors, known, sizes, found, found_squares, found_names,
                    floors, keys, listed, scores, seeds,
                )  # fmt: skip
    return n_compared


@compiled
def _select(
    products: Floats, rows: Ints, first: int, metric: int, rules: Ints,
    vectors: Floats, known: Ints, sizes: Doubles, found: Floats, found_squares: Doubles, found_names: Ints,
    floors: Floats, keys: Ints, listed: Ints, scores: Floats, seeds: Floats,
) -> None:  # fmt: skip
    """Add to the lists of `rows` what can be in them of the candidates from `first` on."""
    n_columns = products.shape[1]
    for i in range(len(rows)):
        row, floor = rows[i], floors[rows[i]]
        # Most rows end here; nothing else is looked up for them.
        if floor > -np.inf and not _any_above(products, i, 0, n_columns, floor):
            continue
        width, n_filled, own = known[row, WIDTH], known[row, FILLED], known[row, FACTS:]
        square, half, error = sizes[row, SQUARE], np.float32(sizes[row, HALF]), np.float32(sizes[row, ERROR])
        is_seeded = n_filled == 0 and n_columns >= 2 * len(seeds)
        if is_seeded:
            # A list that begins loses most of what it takes at first: see where it will end.
            floor = np.float32(_seed(products, i, seeds) - 2 * error - 2.0 / SCALE)
        for attempt in range(2):
            if attempt == 1:
                if not is_seeded or n_filled == width:
                    break
                # Few queries bar more than there are spare seeds: then all over again.
                floor = np.float32(-np.inf)
            for start in range(0, n_columns, _STRIDE):
                stop = min(start + _STRIDE, n_columns)
                if not _any_above(products, i, start, stop, floor):
                    continue
                for j in range(start, stop):
                    column = first + j
                    if products[i, j] < floor or not _is_allowed(rules, own, found_names, column):
                        continue
                    score = _score(vectors, row, found, column, square, found_squares[column], metric)
                    n_filled = _insert(
                        row, score, found_names, column, width, n_filled, rules, own, keys, listed, scores
                    )
                    if n_filled == width:
                        floor = max(floor, _floor(scores[row, width - 1], half, error, metric))
        floors[row], known[row, FILLED] = floor, n_filled


@compiled
def _any_above(products: Floats, i: int, start: int, stop: int, floor: np.float32) -> bool:
    # Counted without a branch, in numbers as wide as the products, so that vector instructions do it; and so that
    # what is no number, where products overflow, is looked at, too.
    n_above = np.int32(0)
    for j in range(start, stop):
        n_above += np.int32(not (products[i, j] < floor))
    return bool(n_above > 0)


@compiled
def _seed(products: Floats, i: int, seeds: Floats) -> np.float32:
    """Return the last of the largest products of a row, as many as there are seeds."""
    n_seeds = len(seeds)
    seeds[:] = -np.inf
    for j in range(products.shape[1]):
        value = products[i, j]
        if value > seeds[n_seeds - 1]:
            position = n_seeds - 1
            while position > 0 and seeds[position - 1] < value:
                seeds[position] = seeds[position - 1]
                position -= 1
            seeds[position] = value
    last: np.float32 = seeds[n_seeds - 1]
    return last


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
def _is_allowed(rules: Ints, own: Ints, names: Ints, column: int) -> bool:
    """Return whether a candidate may be in a query's list, whatever else is there: as in `rules.py`."""
    for group in range(rules[GROUPS]):
        if rules[LIMITS + 2 * group + 1] == 0:
            value = names[column, FOUND_FACTS + group]
            if value == own[group] and value != NO_GROUP:
                return False
    if rules[TRAITS_AT] < 0:
        return True
    traits, own_traits = names[column, FOUND_FACTS + rules[TRAITS_AT]], own[rules[TRAITS_AT]]
    if traits & MIXED:
        return True
    if traits & rules[ALWAYS]:
        return False
    if own_traits & MIXED:
        return True
    if traits & rules[UNLESS_OWN] & ~own_traits:
        return False
    if rules[YEAR_AT] >= 0 and own[rules[YEAR_AT]] != UNKNOWN_YEAR:
        year = names[column, FOUND_FACTS + rules[YEAR_AT]]
        if year == UNKNOWN_YEAR or abs(year - own[rules[YEAR_AT]]) > rules[YEARS_APART]:
            return False
    return bool(rules[SAME_AT] < 0 or names[column, FOUND_FACTS + rules[SAME_AT]] == own[rules[SAME_AT]])


@compiled
def _find_place(
    row: int, score: np.float32, names: Ints, column: int, filled: int, rules: Ints, own: Ints,
    keys: Ints, listed: Ints, scores: Floats,
) -> int:  # fmt: skip
    """Return who makes way: the worst of the narrowest full group, `filled` if none is, -1 the newcomer."""
    place = filled
    for group in range(rules[GROUPS]):
        value = names[column, FOUND_FACTS + group]
        if value == NO_GROUP:
            continue
        n_listed, last = 0, 0
        for position in range(filled):
            if listed[row, position, group] == value:
                n_listed, last = n_listed + 1, position
        limit = rules[LIMITS + 2 * group + int(value == own[group])]
        if place < filled:
            if n_listed - int(listed[row, place, group] == value) >= limit:
                return -1
        elif n_listed >= limit:
            if not _is_better(score, names[column, FOUND_KEY], scores[row, last], keys[row, last]):
                return -1
            place = last
    return place


@compiled
def _insert(
    row: int, score: np.float32, names: Ints, column: int, width: int, filled: int, rules: Ints, own: Ints,
    keys: Ints, listed: Ints, scores: Floats,
) -> int:  # fmt: skip
    """Put a pair into the sorted list of a query and return how many places are taken."""
    key = names[column, FOUND_KEY]
    if filled == width and not _is_better(score, key, scores[row, width - 1], keys[row, width - 1]):
        return filled
    end = _find_place(row, score, names, column, filled, rules, own, keys, listed, scores)
    if end < 0:
        return filled
    if end == filled:
        if filled < width:
            filled += 1
        else:
            end = width - 1
    while end > 0 and _is_better(score, key, scores[row, end - 1], keys[row, end - 1]):
        scores[row, end], keys[row, end] = scores[row, end - 1], keys[row, end - 1]
        for group in range(rules[GROUPS]):
            listed[row, end, group] = listed[row, end - 1, group]
        end -= 1
    scores[row, end], keys[row, end] = score, key
    for group in range(rules[GROUPS]):
        listed[row, end, group] = names[column, FOUND_FACTS + group]
    return filled


@compiled
def _is_better(score: np.float32, key: int, other_score: np.float32, other_key: int) -> bool:
    return bool(score > other_score or (score == other_score and key < other_key))
