"""The centers next to points: products block by block, looked at only where one can change a thing.

The nearest center of x is the one with the largest x c - |c|^2 / 2; the second term is the `shift`. Blocks and
tiles fit into caches, as the ones that matrix products themselves are made of (Goto and van de Geijn 2008,
"Anatomy of high-performance matrix multiplication").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import Floats, Ints
from musicrec.compiled import compiled

# Points of a product: always as many, so that what is next to one does not depend on the others.
_BLOCK_ROWS = 256
# The same where each has many centers next to it, and centers of a product: 256 KB, in the second-level cache.
FEW_ROWS = 64
TILE = 1024
# Products that are looked at one by one where one of them can be near.
_STRIDE = 32
LOWEST = np.float32(-3e38)


@compiled
def nearest_groups(vectors: Floats, first: Floats, shift: Floats, n_groups: int) -> Ints:
    """Return the first-level centers next to each vector, nearest first.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
    first : float32 array, shape (c, d)
        The first-level centers.
    shift : float32 array, shape (c,)
        Minus half the squared lengths of the centers, or minus infinity for one that is not to be found.
    n_groups : int
        1 .. c.

    Returns
    -------
    int64 array, shape (n, n_groups)
        Rows of `first`.
    """
    nearest = np.zeros((len(vectors), n_groups), dtype=np.int64)
    block = np.zeros((_BLOCK_ROWS, vectors.shape[1]), dtype=np.float32)
    products = np.empty((_BLOCK_ROWS, len(first)), dtype=np.float32)
    best = np.empty(n_groups, dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        n_rows = min(_BLOCK_ROWS, len(vectors) - start)
        block[:n_rows] = vectors[start : start + n_rows]  # (n_rows, d)
        np.dot(block, first.T, products)  # (_BLOCK_ROWS, c)
        for i in range(n_rows):
            best[:] = -np.inf
            for begin in range(0, len(first), _STRIDE):
                end = min(begin + _STRIDE, len(first))
                if not _any_above(products, i, begin, end, shift, 0, best[n_groups - 1]):
                    continue
                for group in range(begin, end):
                    value = products[i, group] + shift[group]
                    if value > best[n_groups - 1]:
                        at = n_groups - 1
                        while at > 0 and best[at - 1] < value:
                            best[at], nearest[start + i, at] = best[at - 1], nearest[start + i, at - 1]
                            at -= 1
                        best[at], nearest[start + i, at] = value, group
    return nearest


@compiled
def nearest_leaders(
    vectors: Floats, rows: Ints, starts: Ints, groups: Ints, centers: Floats, shift: Floats
) -> Ints:
    """Return the nearest leader of each vector among those of the groups that it asks.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
    rows : int64 array, shape (starts[-1],)
        Of the vectors.
    starts : int64 array, shape (n_groups + 1,)
        Group i is asked by rows[starts[i] : starts[i + 1]].
    groups : int64 array, shape (n_groups + 1,)
        It has the leaders groups[i] .. groups[i + 1].
    centers : float32 array, shape (m, d)
        The leaders.
    shift : float32 array, shape (m,)
        Minus half the squared lengths of the leaders.

    Returns
    -------
    int64 array, shape (n,)
        Rows of `centers`.
    """
    # Where products overflow, none is nearest; such vectors stay together in the first cell.
    nearest = np.zeros(len(vectors), dtype=np.int64)
    best = np.full(len(vectors), -np.inf, dtype=np.float32)
    block = np.zeros((_BLOCK_ROWS, vectors.shape[1]), dtype=np.float32)
    for group in range(len(groups) - 1):
        first, last = groups[group], groups[group + 1]
        products = np.empty((_BLOCK_ROWS, last - first), dtype=np.float32)
        for start in range(starts[group], starts[group + 1], _BLOCK_ROWS):
            some = rows[start : min(start + _BLOCK_ROWS, starts[group + 1])]
            for i in range(len(some)):
                block[i] = vectors[some[i]]  # (d,)
            np.dot(block, centers[first:last].T, products)  # (_BLOCK_ROWS, last - first)
            for i in range(len(some)):
                largest = best[some[i]]
                for begin in range(0, last - first, _STRIDE):
                    end = min(begin + _STRIDE, last - first)
                    if not _any_above(products, i, begin, end, shift, first, largest):
                        continue
                    for j in range(begin, end):
                        value = products[i, j] + shift[first + j]
                        if value > largest:
                            largest, nearest[some[i]] = value, first + j
                best[some[i]] = largest
    return nearest


@compiled
def nearest_among(points: Floats, own: Ints, centers: Floats, shift: Floats, n_near: int) -> Ints:
    """Return which centers are next to each point, nearest first.

    Parameters
    ----------
    points : float32 array, shape (n, d)
    own : int64 array, shape (n,)
        The center at which a point stands; it comes first.
    centers : float32 array, shape (m, d)
        Those that are probably next first: then fewer are kept.
    shift : float32 array, shape (m,)
        Minus half the squared lengths of the centers.
    n_near : int
        At most m.

    Returns
    -------
    int64 array, shape (n, n_near)
        Rows of `centers`.
    """
    nearest = np.empty((len(points), n_near), dtype=np.int64)
    block = np.zeros((FEW_ROWS, points.shape[1]), dtype=np.float32)
    buffer = np.empty(FEW_ROWS * TILE, dtype=np.float32)
    values = np.empty((FEW_ROWS, 2 * n_near + TILE), dtype=np.float32)
    columns = np.empty((FEW_ROWS, 2 * n_near + TILE), dtype=np.int32)
    counts, floors = np.empty(FEW_ROWS, dtype=np.int64), np.empty(FEW_ROWS, dtype=np.float32)
    for start in range(0, len(points), FEW_ROWS):
        n_rows = min(FEW_ROWS, len(points) - start)
        block[:n_rows] = points[start : start + n_rows]  # (n_rows, d)
        counts[:], floors[:] = 0, -np.inf
        for first in range(0, len(centers), TILE):
            width = min(TILE, len(centers) - first)
            products = buffer[: FEW_ROWS * width].reshape(FEW_ROWS, width)
            np.dot(block, centers[first : first + width].T, products)  # (FEW_ROWS, width)
            for i in range(n_rows):
                counts[i] = _add(products, i, shift, first, floors[i], values, columns, counts[i])
                if counts[i] > 2 * n_near:
                    floors[i] = _keep(values, columns, i, counts[i], n_near)
                    counts[i] = n_near
        for i in range(n_rows):
            if counts[i] > n_near:
                _keep(values, columns, i, counts[i], n_near)
                counts[i] = n_near
            order = np.argsort(-values[i, : counts[i]], kind="mergesort")
            # The own center comes first, also where products overflow.
            nearest[start + i, 0] = own[start + i]
            n = 1
            for j in order:
                if n < n_near and columns[i, j] != own[start + i]:
                    nearest[start + i, n] = columns[i, j]
                    n += 1
    return nearest


@compiled
def _add(
    products: Floats, i: int, shift: Floats, first: int, floor: np.float32,
    values: Floats, columns: NDArray[np.int32], n: int,
) -> int:  # fmt: skip
    """Add what is above the floor to row i of the kept ones; return how many these are."""
    for start in range(0, products.shape[1], _STRIDE):
        stop = min(start + _STRIDE, products.shape[1])
        if not _any_above(products, i, start, stop, shift, first, floor):
            continue
        for j in range(start, stop):
            value = products[i, j] + shift[first + j]
            # What is no number is far away.
            value = value if value > LOWEST else LOWEST
            # Written in any case and kept only if above: no branch to mispredict.
            values[i, n], columns[i, n] = value, first + j
            n += int(value > floor)
    return n


@compiled
def _keep(values: Floats, columns: NDArray[np.int32], i: int, n: int, n_kept: int) -> np.float32:
    """Move the largest of a row to its front, of equal ones those that came first; return the least of them."""
    least: np.float32 = np.partition(values[i, :n], n - n_kept)[n - n_kept]
    n_equal = n_kept
    for j in range(n):
        n_equal -= int(values[i, j] > least)
    kept = 0
    for j in range(n):
        if values[i, j] > least or (values[i, j] == least and n_equal > 0):
            n_equal -= int(values[i, j] == least)
            values[i, kept], columns[i, kept] = values[i, j], columns[i, j]
            kept += 1
    return least


@compiled
def _any_above(
    products: Floats, i: int, start: int, stop: int, shift: Floats, first: int, floor: np.float32
) -> bool:
    """Return whether one of a row's products is above, or no number.

    Counted without a branch, so that vector instructions do it.
    """
    n_above = np.int32(0)
    for j in range(start, stop):
        n_above += np.int32(not (products[i, j] + shift[first + j] <= floor))
    return bool(n_above > 0)
