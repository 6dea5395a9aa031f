"""Items as cells hold them: songs with equal vectors are one, so that no cell is made of copies.

Which vectors are equal is found by a hash of 64 bits, a sum of products with random odd factors (after Carter and
Wegman 1979, "Universal classes of hash functions").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import Ints, Reals
from musicrec.compiled import compiled


@dataclass(frozen=True)
class Items:
    """Items: keys (n,), facts (n, n_facts), as `rules.py` has them, and vectors (n, d), float16 or float32."""

    keys: Ints
    facts: Ints
    vectors: Reals

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Ints | slice) -> Items:
        """Return some of the items, in this order."""
        return Items(self.keys[rows], self.facts[rows], self.vectors[rows])

    def slices(self, several: Sequence[slice]) -> Items:
        """Return the items of several slices of rows, one after the other."""
        return Items(*(_slices(array, several) for array in (self.keys, self.facts, self.vectors)))


def _slices(array: Any, several: Sequence[slice]) -> Any:
    if len(several) == 1:
        return array[several[0]]
    # An array that is not in memory is asked once for all.
    read = getattr(array, "slices", None)
    return read(several) if read else np.concatenate([array[rows] for rows in several])


def concatenate(several: list[Items]) -> Items:
    """Return the items of all, in order; without a copy where there is but one."""
    if len(several) == 1:
        return several[0]
    return Items(
        np.concatenate([items.keys for items in several]),
        np.concatenate([items.facts for items in several]),
        np.concatenate([items.vectors for items in several]),
    )


@dataclass(frozen=True)
class Distinct:
    """The m different ones of n rows: `firsts` (m,), rising, is where each stands first; `index` (n,) is which."""

    firsts: Ints
    index: Ints


def distinct_rows(vectors: Reals | Ints) -> Distinct:
    """Return the different ones of rows of numbers (n, d), bit by bit.

    Of two that are different and have one hash of 64 bits, which will hardly ever be, one may be listed twice.
    """
    bits = np.ascontiguousarray(vectors).view(np.uint16)  # (n, d) or (n, 2 d)
    drawn = np.random.default_rng(1).integers(0, 2**63, (bits.shape[1],), dtype=np.uint64)
    factors = drawn * np.uint64(2) + np.uint64(1)
    hashes = _hashes(bits, factors)  # (n,)
    order = np.argsort(hashes, kind="stable")
    here, before = order[1:], order[:-1]
    same = hashes[here] == hashes[before]
    pairs = np.flatnonzero(same)
    same[pairs] = (bits[here[pairs]] == bits[before[pairs]]).all(axis=1)
    is_first = np.append(True, ~same)[: len(order)]
    # The sort is stable: of equal ones the first comes first.
    firsts = order[is_first]
    by_row = np.argsort(firsts)
    index = np.empty(len(order), dtype=np.int64)
    index[order] = np.argsort(by_row)[np.cumsum(is_first) - 1]
    return Distinct(firsts[by_row], index)


@compiled
def _hashes(bits: NDArray[np.uint16], factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = np.zeros(len(bits), dtype=np.uint64)
    for row in range(len(bits)):
        total = np.uint64(0)
        for i in range(bits.shape[1]):
            total += (np.uint64(bits[row, i]) + np.uint64(1)) * factors[i]
        hashes[row] = total
    return hashes
