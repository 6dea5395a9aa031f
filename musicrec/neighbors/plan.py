"""Plan: how songs will be hashed, by leaders from a sample, and which part each cell goes to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Floats
from musicrec.config import NeighborsConfig
from musicrec.context import Context
from musicrec.neighbors.cell_tasks import CellSettings
from musicrec.neighbors.search.hashing import Exact, HashFamily, make_hyperplane
from musicrec.neighbors.search.index import cut_parts
from musicrec.neighbors.search.leaders import fit_leaders
from musicrec.neighbors.search.reach import same_reach
from musicrec.neighbors.search.rules import make_rules
from musicrec.neighbors.search.spaces import Frame, Space, as_stored, fit_frame
from musicrec.neighbors.search.voronoi import N_NEAR, Voronoi
from musicrec.spark.partitions import default_partitions

SONGS_PER_LEADER = 24
# Mean items of a cell. `voronoi` needs fewer pairs in smaller cells, but more leaders and more overhead.
CELL_SIZES = {"voronoi": 125, "hyperplane": 1000, "exact": 4096}
# More would not fit the driver, with the sample that they come from.
MAX_LEADERS = 250_000
SAMPLE_SIZE = 20_000
# Rows of a part: a task holds the largest, and is not worth starting for fewer than the smallest.
MIN_PART_ROWS, MAX_PART_ROWS = 1024, 250_000


@dataclass(frozen=True)
class CellPlan:
    """How songs are put into cells, and the frame in which they are compared."""

    settings: CellSettings
    frame: Frame


def sample_share(settings: NeighborsConfig, *, n_songs: int) -> float:
    """Return the share of the songs that leaders come from."""
    kind, n_cells = _kind(settings, n_songs), _n_cells(settings, n_songs)
    wanted = max(SAMPLE_SIZE, SONGS_PER_LEADER * n_cells if kind == "voronoi" else 0)
    return min(1.0, wanted / max(1, n_songs))


def plan_cells(context: Context, sample: Floats, *, n_songs: int, space: Space) -> CellPlan:
    """Return how songs are put into cells, and the frame in which they are compared.

    Parameters
    ----------
    context : Context
    sample : float32 array, shape (n, d)
        Those of a `sample_share` of the songs, in the order of their keys.
    n_songs : int
        Of the catalog.
    space : Space
    """
    with context.stage("plan", n_rows=len(sample)):
        settings, seed = context.config.neighbors, context.config.model.seed
        _, vectors = as_stored(sample, space.vector_type)
        family = _family(settings, space.as_found(vectors), n_songs=n_songs, space=space, seed=seed)
        n_rows = n_songs * family.n_tables
        n_parts = max(
            1, min(default_partitions(context.session), n_rows // MIN_PART_ROWS), n_rows // MAX_PART_ROWS
        )
        # The sample is in the order of keys, which says nothing of where its vectors are.
        some = vectors[:: -(-len(vectors) // SAMPLE_SIZE)]
        loads = np.bincount(family.assign(space.as_found(some)).ravel(), minlength=family.n_cells)
        cells = CellSettings(
            family=family,
            space=space,
            first_cells=cut_parts(loads.astype(np.float64), n_parts=n_parts),
            drawn_share=min(1.0, settings.expert.n_truth_queries / max(1, n_songs)),
            seed=seed,
            rules=make_rules(context.config.lists),
        )
        return CellPlan(cells, fit_frame(vectors, space))


def _kind(settings: NeighborsConfig, n_songs: int) -> str:
    return "exact" if n_songs <= settings.expert.exact_below else settings.hash_family


def _n_cells(settings: NeighborsConfig, n_songs: int) -> int:
    size = settings.expert.cell_size or CELL_SIZES[_kind(settings, n_songs)]
    return min(MAX_LEADERS, max(1, round(n_songs / size)))


def _family(settings: NeighborsConfig, found: Floats, *, n_songs: int, space: Space, seed: int) -> HashFamily:
    kind, n_cells = _kind(settings, n_songs), _n_cells(settings, n_songs)
    if kind == "hyperplane":
        n_bits = settings.expert.n_bits or math.ceil(math.log2(max(2, n_cells)))
        return make_hyperplane(n_tables=settings.expert.n_tables, n_bits=n_bits, dim=found.shape[1], seed=seed)
    if kind == "exact" or n_cells < 2:
        return Exact(n_cells)
    leaders = fit_leaders(found, n_leaders=n_cells, seed=seed, spherical=space.metric == "cosine")
    return Voronoi(leaders, same_reach(settings.expert.tau or math.inf), n_near=N_NEAR)
