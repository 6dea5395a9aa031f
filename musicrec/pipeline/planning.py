"""How the items will be hashed: leaders from a sample, and where each cell goes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.algorithms.hashing import Exact, HashFamily, Voronoi, make_hyperplane
from musicrec.algorithms.layout import cut_parts
from musicrec.algorithms.leaders import ONE_LEVEL, fit_leaders
from musicrec.algorithms.spaces import Frame, Space, fit_frame
from musicrec.arrow import column_matrix, numbers
from musicrec.config import NeighborsConfig
from musicrec.pipeline.context import Context
from musicrec.stages import sample
from musicrec.stages.bucket import CellSettings
from musicrec.storage.session import default_partitions

SONGS_PER_LEADER = 24
# Mean items of a cell. `voronoi` needs fewer pairs in smaller cells (at recall 0.99 of a million song-like vectors
# 11,000 with 1,000, 6,800 with 250, 4,200 with 125, 2,900 with 64), but more leaders and more overhead.
CELL_SIZES = {"voronoi": 125, "hyperplane": 1000, "exact": 4096}
# More would not fit the driver, with the sample that they come from.
MAX_LEADERS = 250_000
SAMPLE_SIZE = 20_000
# Rows of a part: a task holds one.
ROWS_PER_PART = 250_000


def plan_cells(context: Context, embeddings: DataFrame, *, n_songs: int, space: Space) -> tuple[CellSettings, Frame]:
    """Return how songs are put into cells, and the frame in which they are compared."""
    settings, seed = context.config.neighbors, context.config.model.seed
    kind = "exact" if n_songs <= settings.exact_below else settings.hash_family
    n_cells = min(MAX_LEADERS, max(1, round(n_songs / (settings.leaf_size or CELL_SIZES[kind]))))
    wanted = max(SAMPLE_SIZE, SONGS_PER_LEADER * n_cells if kind == "voronoi" else 0)
    drawn = sample.keep_sample(
        embeddings.select("track_key", "embedding"),
        key="track_key",
        n_rows=n_songs,
        sample_size=wanted,
        seed=seed + 1,
    ).toArrow()
    vectors = column_matrix(drawn.column("embedding").combine_chunks())[np.argsort(numbers(drawn["track_key"]))]
    vectors = vectors.astype(space.vector_type).astype(np.float32)
    family = _family(kind, space.as_found(vectors), n_cells=n_cells, settings=settings, space=space, seed=seed)
    n_parts = max(default_partitions(context.session), n_songs * family.n_tables // ROWS_PER_PART)
    loads = np.bincount(family.assign(space.as_found(vectors)).ravel(), minlength=family.n_cells)
    cells = CellSettings(
        family=family,
        space=space,
        first_cells=cut_parts(loads.astype(np.float64), n_parts=n_parts),
        n_songs=n_songs,
        n_drawn=settings.n_truth_queries,
        seed=seed,
    )
    return cells, fit_frame(vectors, space)


def _family(
    kind: str, found: NDArray[np.float32], *, n_cells: int, settings: NeighborsConfig, space: Space, seed: int
) -> HashFamily:
    if kind == "hyperplane":
        n_bits = settings.n_bits or math.ceil(math.log2(max(2, n_cells)))
        return make_hyperplane(n_tables=settings.n_tables, n_bits=n_bits, dim=found.shape[1], seed=seed)
    if kind == "exact" or n_cells < 2:
        return Exact(n_cells)
    leaders = fit_leaders(found, n_leaders=n_cells, seed=seed, spherical=space.metric == "cosine")
    return Voronoi(leaders, tau=settings.tau or math.inf, n_near=ONE_LEVEL)
