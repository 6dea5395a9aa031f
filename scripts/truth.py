"""The judge of neighbor joins: brute force in float64 over a sample of queries.

It shares no code with the package, so a mistake there cannot hide here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from musicrec.arrays import Doubles, Floats, Ints

BLOCK_ROWS = 16_384
# Scores this close to the last true one count as equal: an item of equal score is as good a neighbor.
TOLERANCE = 1e-6
Z_95 = 1.959964


@dataclass(frozen=True)
class Truth:
    """The exact neighbors of sampled items.

    rows: int64 (n_queries,), their positions, rising. scores: float64 (n_queries, k), cosines, falling.
    """

    rows: Ints
    scores: Doubles

    def save(self, path: Path) -> None:
        """Write to an .npz file."""
        np.savez(path, rows=self.rows, scores=self.scores)

    @staticmethod
    def load(path: Path) -> Truth:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return Truth(arrays["rows"], arrays["scores"])


def read_vectors(directory: Path) -> tuple[Ints, Floats]:
    """Return the ids (n,) and the vectors (n, d), scaled to unit length, of Parquet files, in the files' order."""
    files = sorted(str(path) for path in directory.glob("*.parquet"))
    rows = ds.dataset(files, format="parquet").to_table(columns=["id", "vector"])
    lengths = pc.unique(pc.list_value_length(rows["vector"])).to_pylist()
    if len(lengths) != 1:
        raise SystemExit(f"{directory}: vectors must have one length, found {lengths[:5]}")
    lists = [chunk for chunk in rows["vector"].chunks if len(chunk)]
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), -1) for chunk in lists]
    return rows["id"].to_numpy().astype(np.int64), unit_rows(np.concatenate(parts))


def unit_rows(vectors: NDArray[Any]) -> Floats:
    """Return the rows scaled to unit length."""
    scaled: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def find_truth(vectors: Floats, *, k: int, n_queries: int, seed: int) -> Truth:
    """Return the k nearest of random rows by brute force in float64; a copy is a neighbor, the item is not.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        Of unit length.
    k : int
    n_queries : int
        Rows to draw; all where there are fewer.
    seed : int
    """
    n = len(vectors)
    n_queries, k = min(n_queries, n), min(k, n - 1)
    rows = np.sort(np.random.default_rng(seed).choice(n, n_queries, replace=False))
    queries = vectors[rows].astype(np.float64)
    best = np.full((n_queries, k), -np.inf)
    for start in range(0, n, BLOCK_ROWS):
        scores = queries @ vectors[start : start + BLOCK_ROWS].astype(np.float64).T  # (n_queries, block)
        here = np.flatnonzero((rows >= start) & (rows < start + BLOCK_ROWS))
        scores[here, rows[here] - start] = -np.inf
        joined = np.concatenate([best, scores], axis=1)
        best = np.partition(joined, joined.shape[1] - k, axis=1)[:, -k:]
    return Truth(rows, -np.sort(-best, axis=1))


def recall_per_query(found: Ints, truth: Truth, vectors: Floats) -> Doubles:
    """Return the tie-aware recall of each query, 0..1.

    A neighbor counts once, never for itself, and when it scores at least as high as the last of the true ones.

    Parameters
    ----------
    found : int64 array, shape (n_queries, k)
        Positions; negative where there is none.
    truth : Truth
    vectors : float32 array, shape (n, d)
    """
    listed = np.sort(found, axis=1)
    repeated = np.zeros(listed.shape, dtype=np.bool_)
    repeated[:, 1:] = listed[:, 1:] == listed[:, :-1]
    queries = vectors[truth.rows].astype(np.float64)
    scores = np.einsum("qd,qkd->qk", queries, vectors[listed].astype(np.float64))  # (n_queries, k)
    counts = (scores >= truth.scores[:, -1:] - TOLERANCE) & (listed >= 0) & ~repeated
    counts &= listed != truth.rows[:, None]
    n_true = truth.scores.shape[1]
    recalls: Doubles = np.minimum(counts.sum(axis=1), n_true) / n_true
    return recalls


def mean_and_lower(recalls: Doubles) -> tuple[float, float]:
    """Return the mean and the lower end of its normal 95 % interval."""
    mean = float(recalls.mean())
    error = Z_95 * float(recalls.std(ddof=1)) / math.sqrt(len(recalls)) if len(recalls) > 1 else 0.0
    return mean, max(0.0, mean - error)
