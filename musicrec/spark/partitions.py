"""How many partitions a stage has, and which row goes to which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

PARTITIONS = "spark.sql.shuffle.partitions"


def default_partitions(session: SparkSession) -> int:
    """Return how many partitions a wide stage gets: the session's setting for shuffles."""
    return int(session.conf.get(PARTITIONS) or 200)


def partition_targets(n_partitions: int) -> list[int]:
    """Return for each partition a whole number that `repartition(n_partitions, column)` sends there.

    Spark's hash partitioning is Murmur3 of the number, modulo the number of partitions. (`repartitionById`, which
    would do without this, came only with 4.1.)
    """
    # Numbers fall on partitions at random: of 40 n, one of them gets none with probability e^-40.
    partitions = _murmur3(np.arange(40 * n_partitions + 1000, dtype=np.uint32)).view(np.int32) % n_partitions
    found, firsts = np.unique(partitions, return_index=True)
    targets = dict(zip(found.tolist(), firsts.tolist(), strict=True))
    return [targets[partition] for partition in range(n_partitions)]


def _murmur3(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return Murmur3 (Appleby 2008) of 32 bits, with Spark's seed, of numbers of four bytes."""
    mixed = numbers * np.uint32(0xCC9E2D51)
    mixed = _rotated(mixed, 15) * np.uint32(0x1B873593)
    state = _rotated(np.uint32(42) ^ mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    state ^= np.uint32(4)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        state = (state ^ (state >> np.uint32(shift))) * np.uint32(factor)
    return state ^ (state >> np.uint32(16))


def _rotated(numbers: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    return (numbers << np.uint32(bits)) | (numbers >> np.uint32(32 - bits))
