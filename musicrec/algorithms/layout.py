"""Cut buckets into units of bounded size, and pack the units onto partitions of equal cost.

A unit is a part of a bucket's items, those at home in it as queries, against all of its items. The loads come
from a sample: a bucket large enough to matter has many of the sample's items, and a small one is never cut. A
wrong estimate changes how even the partitions are, never what a list holds.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Loads:
    """What each bucket holds.

    buckets (b,) in rising order; n_home and n_items (b,): rows that ask, and all rows.
    """

    buckets: NDArray[np.int64]
    n_home: NDArray[np.float64]
    n_items: NDArray[np.float64]

    @property
    def n_copies(self) -> float:
        """Rows of all buckets."""
        return float(self.n_items.sum())

    @property
    def n_pairs(self) -> float:
        """Comparisons of all buckets."""
        return float((self.n_home * self.n_items).sum())


@dataclass(frozen=True)
class Layout:
    """Where each unit goes.

    Attributes
    ----------
    n_partitions : int
    n_parts : dict
        Bucket -> parts, for those of more than one; a bucket has as many units as parts.
    partitions : dict
        (bucket, unit) -> partition, for the units that the sample knew.
    """

    n_partitions: int
    n_parts: dict[int, int]
    partitions: dict[tuple[int, int], int]

    def parts_of(self, bucket: int) -> int:
        """Return into how many parts a bucket is cut."""
        return self.n_parts.get(bucket, 1)

    def partition_of(self, bucket: int, unit: int) -> int:
        """Return the partition of a unit."""
        return self.partitions.get((bucket, unit), (bucket + unit) % self.n_partitions)


def estimate_loads(buckets: NDArray[np.int64], *, n_homes: int, n_items: int) -> Loads:
    """Return the loads of all items, scaled up from the buckets of a sample.

    Parameters
    ----------
    buckets : int64 array, shape (n_sample, max_copies)
        What `HashFamily.assign` returns.
    n_homes : int
    n_items : int
        Items of the whole catalog.
    """
    row, slot = np.nonzero(buckets >= 0)
    names, place = np.unique(buckets[row, slot], return_inverse=True)
    scale = n_items / max(1, len(buckets))
    rows = np.bincount(place, minlength=len(names)).astype(np.float64)
    home = np.bincount(place[slot < n_homes], minlength=len(names)).astype(np.float64)
    return Loads(names, home * scale, rows * scale)


def make_layout(loads: Loads, *, max_unit_rows: int, n_partitions: int) -> Layout:
    """Return units of at most about `max_unit_rows` rows a part, packed by their pairs.

    The largest unit goes first, each to the partition with the least so far (Graham 1969): no partition then
    costs more than 4/3 of the best packing's.
    """
    n_parts, units = {}, []
    for bucket, n_home, n_rows in zip(
        loads.buckets.tolist(), loads.n_home.tolist(), loads.n_items.tolist(), strict=True
    ):
        parts = max(1, math.ceil(n_rows / max_unit_rows))
        if parts > 1:
            n_parts[bucket] = parts
        units += [(n_home / parts * n_rows, bucket, unit) for unit in range(parts)]
    partitions = {}
    load = [(0.0, partition) for partition in range(n_partitions)]
    for cost, bucket, unit in sorted(units, key=lambda u: (-u[0], u[1], u[2])):
        least, partition = heapq.heappop(load)
        partitions[bucket, unit] = partition
        heapq.heappush(load, (least + cost, partition))
    return Layout(n_partitions, n_parts, partitions)
