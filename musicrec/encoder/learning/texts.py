"""Titles as numbers: which letters stand beside each other, in the directions in which songs differ most.

A text is cut into character n-grams, which tell its language and its subject without a dictionary (Cavnar and
Trenkle 1994, "N-gram-based text categorization"). Each falls into one of a fixed number of buckets by its hash
(Weinberger et al. 2009, arXiv 0902.2206), counts the more the rarer it is (Sparck Jones 1972), and what is left of
all buckets are a few directions: latent semantic analysis (Deerwester et al. 1990), by randomized projections
(Halko, Martinsson and Tropp 2011, arXiv 0909.4061).

All columns of a song share their n-grams: what an album is called says the same of its songs as what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.arrays import Bools, Doubles, Floats, Ints, concatenate_ranges
from musicrec.compiled import compiled

N_BUCKETS = 2**14
SHORTEST, LONGEST = 3, 4
# More tell more of languages and seasons, and are the more easily learned by heart.
N_DIRECTIONS = 32
# The root mean square of what texts tell. Other inputs have 1, and a network learns the faster from an input the
# larger it is: at 1 it learns titles by heart.
TEXT_SIZE = 0.3
# Of the randomized projection: directions beyond those that are kept, and rounds.
N_BEYOND, N_POWERS = 16, 4
BLANK = 32
MAX_STEPS, SQUARE_STEPS = 32_767, 256
CUT = {"shortest": SHORTEST, "longest": LONGEST}


class Texts(NamedTuple):
    """Texts of songs, folded, in UTF-8: text i is `text[offsets[i] : offsets[i + 1]]`, empty where none is."""

    offsets: NDArray[np.int32]
    text: NDArray[np.uint8]

    def take(self, rows: Ints) -> Texts:
        """Return those of some songs, in this order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return Texts(offsets, self.text[concatenate_ranges(self.offsets[rows].astype(np.int64), lengths)])

    def rows(self, some: slice) -> Texts:
        """Return those of songs that follow each other, at most all from the first one on, without a copy."""
        return Texts(self.offsets[some.start : some.stop + 1], self.text)


@dataclass(frozen=True)
class TextEncoding:
    """How texts become numbers.

    Attributes
    ----------
    table : int16 array, shape (n_buckets, n_components)
        What an n-gram of each bucket adds, in steps.
    steps : float32 array, shape (n_components,)
    squares : int32 array, shape (n_buckets,)
        The squared weight of an n-gram, in steps of 1 / `SQUARE_STEPS`.
    """

    table: NDArray[np.int16]
    steps: Floats
    squares: NDArray[np.int32]

    def as_dict(self) -> dict[str, Any]:
        """Return what texts are cut into, as plain numbers for JSON."""
        n_buckets, n_components = self.table.shape
        return {**CUT, "n_buckets": n_buckets, "n_components": n_components}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the numbers of the buckets."""
        return {"text_table": self.table, "text_steps": self.steps, "text_squares": self.squares}

    @staticmethod
    def from_parts(plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> TextEncoding:
        """Return the encoding that `as_dict` and `arrays` tell of.

        Raises
        ------
        ValueError
            They do not fit each other, or this version.
        """
        found = TextEncoding(*(arrays[name] for name in ("text_table", "text_steps", "text_squares")))
        if found.as_dict() != plain:
            raise ValueError(f"the encoder's texts are not cut as this version does: {plain}")
        return found


def fit_texts(columns: Sequence[Texts], *, n_components: int = N_DIRECTIONS, seed: int) -> TextEncoding | None:
    """Learn what n-grams tell; None where too few texts differ.

    Parameters
    ----------
    columns : sequence of Texts
        Of the same songs, in a fixed order.
    n_components : int
    seed : int
        Of the projections.
    """
    starts, buckets = _bucket_all(list(columns), N_BUCKETS)
    n = len(starts) - 1
    counts = sparse.csr_array((np.ones(len(buckets)), buckets, starts), shape=(n, N_BUCKETS))
    counts.sum_duplicates()
    counts = counts[np.diff(counts.indptr) > 0]
    if len(np.unique(counts.indices)) <= n_components + N_BEYOND or counts.shape[0] <= n_components + N_BEYOND:
        return None
    n_having = np.bincount(counts.indices, minlength=N_BUCKETS)
    weights = np.log((1 + counts.shape[0]) / (1 + n_having)) + 1
    lengths = np.sqrt(counts @ weights**2)  # (n,)
    rows = sparse.csr_array(sparse.diags_array(1 / lengths) @ counts @ sparse.diags_array(weights))
    directions = _directions(rows, n_components, np.random.default_rng(seed))  # (n_buckets, n_components)
    scale = TEXT_SIZE / np.sqrt(((rows @ directions) ** 2).mean())
    added = weights[:, None] * directions * scale  # (n_buckets, n_components)
    # Whole numbers of two bytes: half of what has to be looked up, and sums that have no order.
    steps = np.abs(added).max(axis=0) / MAX_STEPS  # (n_components,)
    squares = np.rint(SQUARE_STEPS * weights**2).astype(np.int32)
    return TextEncoding(np.rint(added / steps).astype(np.int16), steps.astype(np.float32), squares)


def encode_texts(columns: Sequence[Texts], *, encoding: TextEncoding) -> tuple[Floats, Bools]:
    """Return numbers (n, n_components), over the songs of the fit about `TEXT_SIZE`, and who has none.

    Parameters
    ----------
    columns : sequence of Texts
        Of the same songs. A song's numbers depend on its own texts alone; they are 0 where these are empty.
    encoding : TextEncoding
    """
    n = len(columns[0].offsets) - 1
    sums = np.zeros((n, encoding.table.shape[1]), dtype=np.int32)
    totals = np.zeros(n, dtype=np.int64)
    for texts in columns:
        _add_texts(texts.offsets, texts.text, encoding.table, encoding.squares, sums, totals)
    none = totals == 0
    lengths = np.sqrt(np.where(none, 1, totals) / SQUARE_STEPS)  # (n,)
    values = sums.astype(np.float32)
    values *= encoding.steps
    values /= lengths.astype(np.float32)[:, None]
    return values, none


def _bucket_all(columns: Sequence[Texts], n_buckets: int) -> tuple[Ints, Ints]:
    """Return the buckets of the n-grams of all columns, song by song: where each begins (n + 1,), and all."""
    found = [_bucket(texts.offsets, texts.text, n_buckets) for texts in columns]
    row = np.concatenate([np.repeat(np.arange(len(starts) - 1), np.diff(starts)) for starts, _ in found])
    buckets = np.concatenate([buckets for _, buckets in found])
    order = np.argsort(row, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(columns[0].offsets) - 1))])
    return starts, buckets[order]


def _directions(rows: sparse.csr_array, n_components: int, rng: np.random.Generator) -> Doubles:
    """Return the right singular vectors (m, n_components) of the largest singular values of rows (n, m)."""
    basis = rng.standard_normal((rows.shape[1], n_components + N_BEYOND))
    for _ in range(N_POWERS):
        basis, _ = np.linalg.qr(rows.T @ (rows @ basis))  # (m, n_components + N_BEYOND)
    _, _, axes = np.linalg.svd(rows @ basis, full_matrices=False)
    directions: Doubles = basis @ axes[:n_components].T
    # The sign of a direction is nobody's choice: the largest number of each is positive.
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    return directions * np.sign(largest)


@compiled
def _letters(text: NDArray[np.uint8], first: int, last: int, letters: NDArray[np.int32]) -> int:
    """Write the code points of a text, a space before and behind them, and return how many these are."""
    letters[0] = BLANK
    n, at = 1, first
    while at < last:
        byte = np.int32(text[at])
        n_more = 0 if byte < 0x80 else 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
        point = byte if n_more == 0 else byte & (0x3F >> n_more)
        for i in range(1, n_more + 1):
            point = (point << 6) | (np.int32(text[at + i]) & 0x3F)
        letters[n] = point
        n, at = n + 1, at + 1 + n_more
    letters[n] = BLANK
    return n + 1


@compiled
def _mixed(state: np.uint64, letter: np.int32) -> np.uint64:
    state = (state ^ np.uint64(letter)) * np.uint64(0x9E3779B97F4A7C15)
    return state ^ (state >> np.uint64(29))


@compiled
def _buckets(letters: NDArray[np.int32], n_letters: int, n_buckets: int, buckets: Ints, n: int) -> int:
    """Write the buckets of the n-grams of a text behind the n that are there; return how many are there then."""
    for first in range(n_letters):
        state = np.uint64(1)
        for i in range(min(LONGEST, n_letters - first)):
            state = _mixed(state, letters[first + i])
            if i + 1 >= SHORTEST:
                buckets[n] = np.int64(state >> np.uint64(20)) % n_buckets
                n += 1
    return n


@compiled
def _longest(offsets: NDArray[np.int32]) -> int:
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@compiled
def _bucket(offsets: NDArray[np.int32], text: NDArray[np.uint8], n_buckets: int) -> tuple[Ints, Ints]:
    """Return where the n-grams of each text begin (n + 1,), and their buckets."""
    starts = np.zeros(len(offsets), dtype=np.int64)
    letters = np.empty(_longest(offsets) + 2, dtype=np.int32)
    buckets = np.empty((LONGEST - SHORTEST + 1) * (len(text) + 2 * len(offsets)), dtype=np.int64)
    n = 0
    for row in range(len(offsets) - 1):
        if offsets[row + 1] > offsets[row]:
            n_letters = _letters(text, offsets[row], offsets[row + 1], letters)
            n = _buckets(letters, n_letters, n_buckets, buckets, n)
        starts[row + 1] = n
    return starts, buckets[:n].copy()


@compiled
def _add_texts(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], table: NDArray[np.int16],
    squares: NDArray[np.int32], sums: NDArray[np.int32], totals: Ints,
) -> None:  # fmt: skip
    """Add what the n-grams of each text tell, and their squared weights."""
    letters = np.empty(_longest(offsets) + 2, dtype=np.int32)
    buckets = np.empty((LONGEST - SHORTEST + 1) * len(letters), dtype=np.int64)
    for row in range(len(offsets) - 1):
        if offsets[row + 1] > offsets[row]:
            n_letters = _letters(text, offsets[row], offsets[row + 1], letters)
            n = _buckets(letters, n_letters, len(squares), buckets, 0)
            # Looked up row by row, so that vector instructions add them.
            added = sums[row]
            for bucket in buckets[:n]:
                totals[row] += squares[bucket]
                numbers = table[bucket]
                for j in range(len(added)):
                    added[j] += numbers[j]
