"""Hash families: a vector → the buckets it belongs to, behind one interface.

`Voronoi` hashes by the data: the cell of the nearest leader, and each cell whose border is nearer than a
margin tau. `Hyperplane` is sign random projection (Charikar 2002): two vectors at angle t agree in one bit
with probability 1 - t/pi. `Exact` puts all into one bucket, which makes the join brute force.

An item asks only in its home buckets, and is found in all of its buckets. With one home, as in `Voronoi`, its
list is final when it leaves the bucket: c copies cost c times the bucket in pairs, not c squared, and no merge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Buckets = NDArray[np.int64]

# A fixed number of rows per product, so that a vector's buckets do not depend on its batch.
BLOCK_ROWS = 1024


class HashFamily(Protocol):
    """What the join needs to know of a hash."""

    @property
    def n_homes(self) -> int:
        """How many columns of `assign`, from the first, are home buckets: there the item asks."""

    def assign(self, vectors: Vectors) -> Buckets:
        """Return the buckets of unit vectors (n, d) as (n, max_copies) int64, -1 where there is none."""


@dataclass(frozen=True)
class Exact:
    """One bucket for all."""

    n_homes: ClassVar[int] = 1

    def assign(self, vectors: Vectors) -> Buckets:
        """Return bucket 0 for each of (n, d) as (n, 1)."""
        return np.zeros((len(vectors), 1), dtype=np.int64)


@dataclass(frozen=True)
class Voronoi:
    """The cells of the leaders, overlapping by a margin.

    Attributes
    ----------
    leaders : float32 array, shape (n_leaders, d)
    tau : float
        Width of the margin on either side of a border, as a Euclidean distance.
    max_copies : int
        Buckets of one vector at most.
    """

    leaders: Vectors
    tau: float
    max_copies: int
    n_homes: ClassVar[int] = 1

    def assign(self, vectors: Vectors) -> Buckets:
        """Return the nearest cell first, then the others within the margin, nearest first."""
        leader, margin = self.margins(vectors)
        return np.where(margin <= self.tau, leader, -1)

    def margins(self, vectors: Vectors) -> tuple[Buckets, Vectors]:
        """Return the nearest leaders and the distance to the border of each one's cell.

        Returns
        -------
        int64 array and float32 array, shape (n, min(max_copies, n_leaders))
            The distance to the first cell is 0: the vector is inside.
        """
        width = min(self.max_copies, len(self.leaders))
        leaders = torch.from_numpy(self.leaders)
        nearest = np.empty((len(vectors), width), dtype=np.int64)
        margin = np.empty((len(vectors), width), dtype=np.float32)
        block = torch.zeros(BLOCK_ROWS, leaders.shape[1])
        for start in range(0, len(vectors), BLOCK_ROWS):
            rows = torch.from_numpy(vectors[start : start + BLOCK_ROWS])
            block[: len(rows)] = rows
            best = torch.topk(block @ leaders.T, width, dim=1)
            gap = best.values[:, :1] - best.values
            own = leaders[best.indices[:, :1]]  # (block, 1, d)
            apart = torch.linalg.vector_norm(own - leaders[best.indices], dim=2)
            distance = gap / apart.clamp_min(1e-12)
            stop = start + len(rows)
            nearest[start:stop] = best.indices[: len(rows)].numpy()
            margin[start:stop] = distance[: len(rows)].numpy()
        return nearest, margin


@dataclass(frozen=True)
class Hyperplane:
    """Sign random projections: one bucket per table, named by the signs of `n_bits` projections.

    Attributes
    ----------
    planes : float32 array, shape (n_tables, n_bits, d)
    """

    planes: Vectors

    @property
    def n_homes(self) -> int:
        """One bucket in each table."""
        return len(self.planes)

    def assign(self, vectors: Vectors) -> Buckets:
        """Return one bucket per table as (n, n_tables)."""
        n_tables, n_bits, d = self.planes.shape
        flat = torch.from_numpy(self.planes.reshape(-1, d))
        powers = torch.from_numpy(2 ** np.arange(n_bits, dtype=np.int64))
        offset = np.arange(n_tables, dtype=np.int64) << n_bits
        buckets = np.empty((len(vectors), n_tables), dtype=np.int64)
        block = torch.zeros(BLOCK_ROWS, d)
        for start in range(0, len(vectors), BLOCK_ROWS):
            rows = torch.from_numpy(vectors[start : start + BLOCK_ROWS])
            block[: len(rows)] = rows
            bits = (block @ flat.T > 0).view(BLOCK_ROWS, n_tables, n_bits)
            codes = (bits * powers).sum(dim=2)[: len(rows)].numpy()
            buckets[start : start + len(rows)] = codes + offset
        return buckets


def make_hyperplane(*, n_tables: int, n_bits: int, dim: int, seed: int) -> Hyperplane:
    """Return planes with normally distributed normals."""
    planes = np.random.default_rng(seed).standard_normal((n_tables, n_bits, dim))
    return Hyperplane(planes.astype(np.float32))
