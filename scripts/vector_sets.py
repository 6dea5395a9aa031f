"""Vectors to search among: those of generated songs, and sets that are hard for one method or another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from truth import unit_rows

from musicrec.arrays import Floats, Ints

ROOT = Path(__file__).parents[1]

SEED = 17
DIM = 64
N_CLUSTERS = 200
FILE_ROWS = 125_000


def make_clustered(rng: np.random.Generator, n: int, *, spread: float = 0.05) -> Floats:
    """Return n unit vectors around random centers.

    Parameters
    ----------
    rng : Generator
    n : int
    spread : float
        Deviation of a coordinate from its center.
    """
    centers = unit_rows(rng.standard_normal((N_CLUSTERS, DIM)))
    return unit_rows(centers[rng.integers(0, N_CLUSTERS, n)] + spread * _normal(rng, n))


def make_duplicates(rng: np.random.Generator, n: int) -> Floats:
    """Return clustered unit vectors of which 30 % are exact copies of others."""
    vectors = make_clustered(rng, n)
    order = rng.permutation(n)
    copies, originals = order[: int(0.3 * n)], order[int(0.3 * n) :]
    vectors[copies] = vectors[rng.choice(originals, len(copies))]
    return vectors


def make_cluster(rng: np.random.Generator, n: int) -> Floats:
    """Return unit vectors, half in one tight cluster (cosines about 0.975), half in many looser ones."""
    n_tight = n // 2
    center = unit_rows(rng.standard_normal((1, DIM)))
    tight = unit_rows(center + 0.02 * _normal(rng, n_tight))
    vectors: Floats = np.concatenate([tight, make_clustered(rng, n - n_tight)])
    return vectors[rng.permutation(n)]


def make_noise(rng: np.random.Generator, n: int) -> Floats:
    """Return unit vectors that point anywhere: no method can know where the neighbors are."""
    return unit_rows(_normal(rng, n))


def make_latent(rng: np.random.Generator, n: int) -> Floats:
    """Return unit vectors on a bent surface of 24 dimensions, with a little noise."""
    latent = rng.standard_normal((n, 24), dtype=np.float32)
    directions = rng.standard_normal((24, DIM), dtype=np.float32) / np.float32(np.sqrt(24))
    return unit_rows(np.tanh(latent @ directions) + np.float32(0.05) * _normal(rng, n))


def make_uneven(rng: np.random.Generator, n: int) -> Floats:
    """Return unit vectors of uneven density: 12 latent numbers in 3,000 clusters of different size and spread.

    The loosest has four times the spread of the tightest, and the largest holds a tenth of all.
    """
    centers = rng.standard_normal((3000, 12), dtype=np.float32)
    spread = np.exp(rng.uniform(np.log(0.05), np.log(0.2), len(centers))).astype(np.float32)
    sizes = rng.pareto(1.0, len(centers)) + 1.0
    cluster = rng.choice(len(centers), n, p=sizes / sizes.sum())  # (n,)
    latent = centers[cluster] + spread[cluster, None] * rng.standard_normal((n, 12), dtype=np.float32)
    directions = rng.standard_normal((12, DIM), dtype=np.float32) / np.float32(np.sqrt(12))
    return unit_rows(np.tanh(latent @ directions))


def make_identical(_: np.random.Generator, n: int) -> Floats:
    """Return one unit vector n times."""
    return np.full((n, DIM), DIM**-0.5, dtype=np.float32)


def _normal(rng: np.random.Generator, n: int) -> Floats:
    return rng.standard_normal((n, DIM), dtype=np.float32)


MAKERS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "duplicates": make_duplicates,
    "cluster": make_cluster,
    "noise": make_noise,
    "latent24": make_latent,
    "uneven": make_uneven,
    "identical": make_identical,
}
SONG_LIKE = "song-like"


def write_vectors(directory: Path, ids: Ints, vectors: Floats) -> None:
    """Write Parquet files (id, vector).

    Parameters
    ----------
    directory : path
        Must not exist.
    ids : int64 array, shape (n,)
    vectors : float array, shape (n, d)
    """
    directory.mkdir(parents=True)
    for number, start in enumerate(range(0, len(ids), FILE_ROWS)):
        part = np.ascontiguousarray(vectors[start : start + FILE_ROWS], dtype=np.float32)
        offsets = pa.array(np.arange(len(part) + 1, dtype=np.int32) * part.shape[1])
        lists = pa.ListArray.from_arrays(offsets, pa.array(part.reshape(-1)))
        rows = pa.table({"id": pa.array(ids[start : start + FILE_ROWS]), "vector": lists})
        pq.write_table(rows, directory / f"part-{number:05d}.parquet")


def make_data(name: str, directory: Path, *, n_songs: int, memory: str) -> Path:
    """Write a data set unless it is there, and return its directory.

    Parameters
    ----------
    name : str
        Of `MAKERS`, or `SONG_LIKE`.
    directory : path
    n_songs : int
        Vectors to make, but for songs that are cleaned away.
    memory : str
        Of Spark's driver, where songs are embedded.
    """
    if directory.exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    if name == SONG_LIKE:
        command = [sys.executable, str(ROOT / "scripts/embed_songs.py"), "--songs", str(n_songs)]
        subprocess.run([*command, "--output", str(unfinished), "--driver-memory", memory], check=True)
    else:
        # The name is part of the seed, so that no set depends on which others are made.
        rng = np.random.default_rng([SEED, *name.encode()])
        write_vectors(unfinished, np.arange(n_songs), MAKERS[name](rng, n_songs))
    return unfinished.rename(directory)
