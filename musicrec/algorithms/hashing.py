"""Hash families: a vector → the buckets it belongs to, behind one interface.

`Voronoi` hashes by the data: the cell of the nearest leader, and each cell whose border is nearer than a
margin tau, relative to how dense the surroundings are. `Hyperplane` is sign random projection (Charikar 2002):
two vectors at angle t agree in one bit with probability 1 - t/pi. `Exact` puts all into one bucket, which makes
the join brute force.

An item asks only in its home buckets, and is found in all of its buckets. With one home, as in `Voronoi`, its
list is final when it leaves the bucket: c copies cost c times the bucket in pairs, not c squared, and no merge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from musicrec.algorithms.kernel import BELOW_ALL, largest, pad_rows

Vectors = NDArray[np.float32]
Buckets = NDArray[np.int64]

# A fixed number of rows per product, so that a vector's buckets do not depend on its batch.
BLOCK_ROWS = 1024
# Of 4, 8, 16 and 24, eight took the fewest pairs.
SCALE_LEADERS = 8


class HashFamily(Protocol):
    """What the join needs to know of a hash."""

    @property
    def n_homes(self) -> int:
        """How many columns of `assign`, from the first, are home buckets: there the item asks."""

    def assign(self, vectors: Vectors, asking: Vectors | None = None) -> Buckets:
        """Return the buckets of vectors (n, d) as (n, width) int64, -1 where there is none.

        `asking` (n, d) are the same items where they stand as queries, if that is another place.
        """


@dataclass(frozen=True)
class Exact:
    """One bucket for all."""

    n_homes: ClassVar[int] = 1

    def assign(self, vectors: Vectors, asking: Vectors | None = None) -> Buckets:  # noqa: ARG002
        """Return bucket 0 for each of (n, d) as (n, 1)."""
        return np.zeros((len(vectors), 1), dtype=np.int64)


@dataclass(frozen=True)
class Voronoi:
    """The cells of the leaders, overlapping by a margin.

    Attributes
    ----------
    leaders : float32 array, shape (n_leaders, d)
    tau : float
        Width of the margin on either side of a border, in mean distances to the `SCALE_LEADERS` nearest
        leaders.
    max_copies : int
        Buckets of one vector at most.
    """

    leaders: Vectors
    tau: float
    max_copies: int
    n_homes: ClassVar[int] = 1

    def assign(self, vectors: Vectors, asking: Vectors | None = None) -> Buckets:
        """Return the nearest cell first, then the others within the margin, nearest first."""
        leader, margin = self.margins(vectors)
        buckets = np.where(margin <= self.tau, leader, -1)
        return buckets if asking is None else _asked_first(self.margins(asking)[0][:, :1], buckets)

    def margins(self, vectors: Vectors) -> tuple[Buckets, Vectors]:
        """Return the nearest leaders and the relative distance to the border of each one's cell.

        Returns
        -------
        int64 array and float32 array, shape (n, min(max_copies, n_leaders))
            The distance to the first cell is 0: the vector is inside. The unit is the mean distance to the
            nearest leaders: neighbors are farther away where songs are few, and leaders are, too. Against
            absolute margins it takes a tenth fewer pairs at the same recall, and misses half as many
            neighbors of the tenth of songs with the fewest around them.
        """
        n_near = min(max(self.max_copies, SCALE_LEADERS), len(self.leaders))
        leaders = torch.from_numpy(self.leaders)
        offset = (leaders * leaders).sum(dim=1) / -2
        # Rows of zeros up to a whole number of groups, and so far down that none is chosen.
        columns = pad_rows(leaders).T
        offset = torch.nn.functional.pad(offset, (0, columns.shape[1] - len(leaders)), value=BELOW_ALL)
        width = min(self.max_copies, len(self.leaders))
        nearest = np.empty((len(vectors), width), dtype=np.int64)
        margin = np.empty((len(vectors), width), dtype=np.float32)
        block, products = torch.zeros(BLOCK_ROWS, leaders.shape[1]), torch.empty(BLOCK_ROWS, len(offset))
        for start in range(0, len(vectors), BLOCK_ROWS):
            rows = torch.from_numpy(vectors[start : start + BLOCK_ROWS])
            block[: len(rows)] = rows
            torch.addmm(offset, block, columns, out=products)
            chosen = largest(products, n_near)  # (block, n_near)
            values = products.gather(1, chosen)
            squared = (block * block).sum(dim=1, keepdim=True) - 2 * values
            scale = squared[:, :SCALE_LEADERS].clamp_min(0.0).sqrt().mean(dim=1, keepdim=True)
            apart = torch.linalg.vector_norm(leaders[chosen[:, :1]] - leaders[chosen[:, :width]], dim=2)
            distance = (values[:, :1] - values[:, :width]) / (apart * scale).clamp_min(1e-12)
            stop = start + len(rows)
            nearest[start:stop] = chosen[: len(rows), :width].numpy()
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

    def assign(self, vectors: Vectors, asking: Vectors | None = None) -> Buckets:
        """Return one bucket per table as (n, n_tables)."""
        buckets = self._codes(vectors)
        return buckets if asking is None else _asked_first(self._codes(asking), buckets)

    def _codes(self, vectors: Vectors) -> Buckets:
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


def _asked_first(home: Buckets, buckets: Buckets) -> Buckets:
    """Return the home buckets, then the others."""
    others = np.where((buckets[:, :, None] == home[:, None, :]).any(axis=2), -1, buckets)
    return np.hstack([home, others])


def make_hyperplane(*, n_tables: int, n_bits: int, dim: int, seed: int) -> Hyperplane:
    """Return planes with normally distributed normals."""
    planes = np.random.default_rng(seed).standard_normal((n_tables, n_bits, dim))
    return Hyperplane(planes.astype(np.float32))
