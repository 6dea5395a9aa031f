"""The centers next to some points, of very many: tiles of products, of which only what can be next is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from musicrec.algorithms.compiled import compiled

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

# Points and centers of a product, 256 KB in the second-level cache. Always as many points, so that what is next to
# one does not depend on the others.
BLOCK_ROWS = 64
TILE = 1024
STRIDE = 32
LOWEST = np.float32(-3e38)


def nearest_among(points: Vectors, own: Places, centers: Vectors, shift: Vectors, n_near: int) -> Places:
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
    nearest: Places = _nearest_among(points, own, centers, shift, n_near)
    return nearest


@compiled
def _nearest_among(points: Vectors, own: Places, centers: Vectors, shift: Vectors, n_near: int) -> Places:
    nearest = np.empty((len(points), n_near), dtype=np.int64)
    block = np.zeros((BLOCK_ROWS, points.shape[1]), dtype=np.float32)
    buffer = np.empty(BLOCK_ROWS * TILE, dtype=np.float32)
    values = np.empty((BLOCK_ROWS, 2 * n_near + TILE), dtype=np.float32)
    places = np.empty((BLOCK_ROWS, 2 * n_near + TILE), dtype=np.int32)
    counts, floors = np.empty(BLOCK_ROWS, dtype=np.int64), np.empty(BLOCK_ROWS, dtype=np.float32)
    for start in range(0, len(points), BLOCK_ROWS):
        n_rows = min(BLOCK_ROWS, len(points) - start)
        block[:n_rows] = points[start : start + n_rows]
        counts[:], floors[:] = 0, -np.inf
        for first in range(0, len(centers), TILE):
            width = min(TILE, len(centers) - first)
            products = buffer[: BLOCK_ROWS * width].reshape(BLOCK_ROWS, width)
            np.dot(block, centers[first : first + width].T, products)
            for i in range(n_rows):
                counts[i] = _add(products, i, shift, first, floors[i], values, places, counts[i])
                if counts[i] > 2 * n_near:
                    floors[i] = _keep(values, places, i, counts[i], n_near)
                    counts[i] = n_near
        for i in range(n_rows):
            if counts[i] > n_near:
                _keep(values, places, i, counts[i], n_near)
                counts[i] = n_near
            order = np.argsort(-values[i, : counts[i]], kind="mergesort")
            # The own center comes first, also where products overflow.
            nearest[start + i, 0] = own[start + i]
            n = 1
            for j in order:
                if n < n_near and places[i, j] != own[start + i]:
                    nearest[start + i, n] = places[i, j]
                    n += 1
    return nearest


@compiled
def _add(
    products: Vectors, i: int, shift: Vectors, first: int, floor: np.float32,
    values: Vectors, places: NDArray[np.int32], n: int,
) -> int:  # fmt: skip
    """Add what is above the floor to row i of the kept ones; return how many these are."""
    for start in range(0, products.shape[1], STRIDE):
        stop = min(start + STRIDE, products.shape[1])
        # Counted without a branch, which vector instructions do: mostly there is none.
        n_above = np.int32(0)
        for j in range(start, stop):
            n_above += np.int32(not (products[i, j] + shift[first + j] <= floor))
        if n_above:
            for j in range(start, stop):
                value = products[i, j] + shift[first + j]
                # What is no number is far away.
                value = value if value > LOWEST else LOWEST
                # Written in any case and kept only if above: no branch to mispredict.
                values[i, n], places[i, n] = value, first + j
                n += int(value > floor)
    return n


@compiled
def _keep(values: Vectors, places: NDArray[np.int32], i: int, n: int, n_kept: int) -> np.float32:
    """Move the largest of a row to its front, of equal ones those that came first; return the least of them."""
    least: np.float32 = np.partition(values[i, :n], n - n_kept)[n - n_kept]
    n_equal = n_kept
    for j in range(n):
        n_equal -= int(values[i, j] > least)
    kept = 0
    for j in range(n):
        if values[i, j] > least or (values[i, j] == least and n_equal > 0):
            n_equal -= int(values[i, j] == least)
            values[i, kept], places[i, kept] = values[i, j], places[i, j]
            kept += 1
    return least
