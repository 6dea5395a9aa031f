"""Hash families: a vector → the cell it is stored in, and the cells it asks, behind one interface.

`Voronoi` (`voronoi.py`) hashes by the data: the cell of the nearest leader; a query asks each cell whose leader is
not much farther than those around it. `Hyperplane` is locality-sensitive hashing (Indyk and Motwani 1998) by sign
random projection (Charikar 2002): two vectors at angle t agree in one bit with probability 1 - t/pi. `Exact` deals
the vectors out and asks every cell: brute force.

An item is stored once (by `Hyperplane` once a table), and a query goes to where its neighbors may be. That takes
no copies, and each query asks no more than it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from musicrec.arrays import Floats, Ints, concatenate_ranges
from musicrec.compiled import compiled

Numbers = Ints | NDArray[np.int32]
Whole = TypeVar("Whole", np.int32, np.int64)

# A fixed number of rows per product, so that what a vector hashes to does not depend on its batch.
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Probes:
    """Which queries ask which cells.

    Attributes
    ----------
    cells : int64 array, shape (n_cells,)
        Rising.
    starts : int64 array, shape (n_cells + 1,)
    rows : int32 array, shape (starts[-1],), or None
        The queries of cell i are rows[starts[i] : starts[i + 1]]; with None every query asks every cell.
    """

    cells: Ints
    starts: Ints
    rows: NDArray[np.int32] | None

    def of(self, indices: Ints) -> tuple[Ints, Ints]:
        """Return starts (n + 1,) and rows of the queries of cells[indices] (n,), one after the other.

        Raises
        ------
        ValueError
            Every query asks every cell.
        """
        if self.rows is None:
            raise ValueError("every query asks every cell")
        lengths = self.starts[indices + 1] - self.starts[indices]  # (n,)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        return starts, self.rows[concatenate_ranges(self.starts[indices], lengths)].astype(np.int64)


class HashFamily(Protocol):
    """What the join needs to know of a hash."""

    @property
    def n_tables(self) -> int:
        """In how many cells an item is stored."""

    @property
    def n_cells(self) -> int:
        """Cells of all tables; those of the first table come first."""

    def assign(self, vectors: Floats) -> Ints:
        """Return where vectors (n, d), as they are found, are stored: (n, n_tables) cells, a table a column."""

    def probes(self, vectors: Floats, home: Ints | None = None) -> Iterator[Probes]:
        """Yield which cells vectors (n, d), as they ask, have to see: the best first, then the rest.

        No query sees a cell twice. `home` (n,) are the cells of the first table that `assign` gives for these
        vectors, where they are known.
        """


@dataclass(frozen=True)
class Exact:
    """Cells without meaning, all of which are asked."""

    n_cells: int
    n_tables: int = 1

    def assign(self, vectors: Floats) -> Ints:
        """Deal the vectors out by their bits, so that equal ones meet."""
        bits = np.ascontiguousarray(vectors).view(np.uint32).astype(np.uint64)  # (n, d)
        factors = np.random.default_rng(0).integers(0, 2**63, bits.shape[1], dtype=np.uint64) * 2 + 1
        mixed = (bits * factors).sum(axis=1, dtype=np.uint64) >> np.uint64(33)  # (n,)
        cells: Ints = (mixed % np.uint64(self.n_cells)).astype(np.int64)[:, None]
        return cells

    def probes(self, vectors: Floats, home: Ints | None = None) -> Iterator[Probes]:  # noqa: ARG002
        """Yield all cells for all."""
        yield Probes(np.arange(self.n_cells), np.zeros(self.n_cells + 1, dtype=np.int64), None)


@dataclass(frozen=True)
class Hyperplane:
    """Sign random projections: one cell per table, named by the signs of `n_bits` projections.

    Attributes
    ----------
    planes : float32 array, shape (n_tables, n_bits, d)
    """

    planes: Floats

    @property
    def n_tables(self) -> int:
        """One cell in each table."""
        return len(self.planes)

    @property
    def n_cells(self) -> int:
        """A cell for each combination of signs in each table."""
        return len(self.planes) << int(self.planes.shape[1])

    def assign(self, vectors: Floats) -> Ints:
        """Return one cell per table as (n, n_tables)."""
        n_tables, n_bits, d = self.planes.shape
        flat = torch.from_numpy(self.planes.reshape(-1, d))  # (n_tables * n_bits, d)
        powers = torch.from_numpy(2 ** np.arange(n_bits, dtype=np.int64))
        offset = np.arange(n_tables, dtype=np.int64) << n_bits
        cells = np.empty((len(vectors), n_tables), dtype=np.int64)
        block = torch.zeros(_BLOCK_ROWS, d)
        for start in range(0, len(vectors), _BLOCK_ROWS):
            rows = torch.from_numpy(vectors[start : start + _BLOCK_ROWS])
            block[: len(rows)] = rows
            bits = (block @ flat.T > 0).view(_BLOCK_ROWS, n_tables, n_bits)
            codes = (bits * powers).sum(dim=2)[: len(rows)].numpy()  # (len(rows), n_tables)
            cells[start : start + len(rows)] = codes + offset
        return cells

    def probes(self, vectors: Floats, home: Ints | None = None) -> Iterator[Probes]:  # noqa: ARG002
        """Yield the cells of each query's own signs."""
        cells = self.assign(vectors)
        rows = np.repeat(np.arange(len(cells)), cells.shape[1])
        yield as_probes([rows], [cells.ravel()], self.n_cells)


def make_hyperplane(*, n_tables: int, n_bits: int, dim: int, seed: int) -> Hyperplane:
    """Return planes with normally distributed normals.

    Parameters
    ----------
    n_tables : int
        Cells that an item is stored in, at least 1.
    n_bits : int
        Planes of a table, which have 2 ** n_bits cells.
    dim : int
        Of the vectors.
    seed : int
    """
    planes = np.random.default_rng(seed).standard_normal((n_tables, n_bits, dim))
    return Hyperplane(planes.astype(np.float32))


def as_probes(rows: Sequence[Numbers], cells: Sequence[Numbers], n_cells: int) -> Probes:
    """Return which queries ask which cells.

    Parameters
    ----------
    rows, cells : sequences of integer arrays, shapes (n_i,)
        Of the pairs, in several arrays; none is there twice.
    n_cells : int
        Of all; `cells` are below it.
    """
    row = np.concatenate([np.empty(0, dtype=np.int32), *rows]).astype(np.int32)
    cell = np.concatenate([np.empty(0, dtype=np.int32), *cells]).astype(np.int32)
    sorted_rows, starts = grouped_by(cell, row, n_cells)
    present = np.flatnonzero(np.diff(starts))
    return Probes(present, np.append(starts[present], starts[-1]), sorted_rows)


@compiled
def grouped_by(numbers: Numbers, values: NDArray[Whole], n: int) -> tuple[NDArray[Whole], Ints]:
    """Return values in the order of their numbers, and where those of each begin: a counting sort.

    Those of one number keep their order. Counting takes a tenth of sorting by comparisons.

    Parameters
    ----------
    numbers : integer array, shape (m,)
        0 .. n - 1.
    values : integer array, shape (m,)
    n : int

    Returns
    -------
    integer array, shape (m,), and int64 array, shape (n + 1,)
        The values of number i are at starts[i] .. starts[i + 1].
    """
    starts = np.zeros(n + 1, dtype=np.int64)
    for number in numbers:
        starts[number + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    position = starts[:-1].copy()
    grouped = np.empty_like(values)
    for i in range(len(numbers)):
        grouped[position[numbers[i]]] = values[i]
        position[numbers[i]] += 1
    return grouped, starts
