"""A sample by hash: the same songs for the same seed, whatever the partitions, the launcher or a retry."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def keep_sample(rows: DataFrame, *, key: str, n_rows: int, sample_size: int, seed: int) -> DataFrame:
    """Return about `sample_size` of `n_rows` rows; all of them where there are no more.

    Parameters
    ----------
    rows : DataFrame
    key : str
        Column of 64-bit keys, unique; a row's key and the seed alone decide whether it is drawn.
    n_rows, sample_size : int
    seed : int
    """
    if n_rows <= sample_size:
        return rows
    # Hashes are spread evenly over the signed 64-bit numbers.
    threshold = int(sample_size / n_rows * 2**64) - 2**63
    return rows.where(F.xxhash64(key, F.lit(seed)) < threshold)
