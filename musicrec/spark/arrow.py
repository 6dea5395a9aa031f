"""Vectors and keys as binary blobs and Arrow lists: whole arrays cross the JVM's border, never single values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.arrays import Bools, Ints

# A row may be of any size: a title of megabytes, a vector of thousands of numbers.
MAX_BYTES = 256 * 2**20


def gather_batches(batches: Iterator[pa.RecordBatch], *, n_rows: int) -> Iterator[pa.Table]:
    """Yield the batches as tables of at least `n_rows` rows, or of `MAX_BYTES`, each, but for the last."""
    held: list[pa.RecordBatch] = []
    n_held = n_bytes = 0
    for batch in batches:
        held.append(batch)
        n_held, n_bytes = n_held + batch.num_rows, n_bytes + batch.nbytes
        if n_held >= n_rows or n_bytes >= MAX_BYTES:
            yield pa.Table.from_batches(held)
            held, n_held, n_bytes = [], 0, 0
    if n_held:
        yield pa.Table.from_batches(held)


def present_columns(present: Bools, *values: NDArray[Any]) -> list[pa.ListArray]:
    """Return for each array (n, width) the Arrow lists of those of its elements that are `present` (n, width)."""
    lengths = present.sum(axis=1)
    return [list_column(array[present], lengths) for array in values]


def list_column(values: NDArray[Any], lengths: Ints) -> pa.ListArray:
    """Return the Arrow lists that `lengths` cut `values` into."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def matrix_column(matrix: NDArray[Any]) -> pa.FixedSizeListArray:
    """Return the rows of (n, d) as Arrow lists."""
    # A fixed size is written a fifth faster than lists that each say theirs.
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).reshape(-1)), matrix.shape[1])


def numbers(column: pa.Array) -> NDArray[Any]:
    """Return a column of numbers without NULL."""
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def bools(column: pa.Array) -> Bools:
    """Return a column of truths without NULL."""
    values: Bools = column.to_numpy(zero_copy_only=False).astype(bool)
    return values
