"""Join: embeddings → the nearest items of each item, with recall measured against the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pyspark.sql import DataFrame

from musicrec.arrays import Doubles
from musicrec.config import NeighborsConfig
from musicrec.context import Context
from musicrec.errors import QualityError
from musicrec.lists.members import Joined, as_joined
from musicrec.neighbors import join_tasks
from musicrec.neighbors.cells import Cells, make_cells
from musicrec.neighbors.join_tasks import Found, JoinSettings
from musicrec.neighbors.pack import pack_vectors
from musicrec.neighbors.recall import lists_as_truth, measure_recall, scores_of
from musicrec.neighbors.search.hashing import Exact, HashFamily
from musicrec.neighbors.search.index import cut_units
from musicrec.neighbors.search.kernel import SLACK
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.tune import Queries, tune
from musicrec.neighbors.search.voronoi import Voronoi
from musicrec.neighbors.truth import Truth, asking_points, find_truth
from musicrec.spark.partitions import default_partitions

# Units of queries have as many bytes of vectors as `neighbors.expert.max_unit_rows` of so many dimensions.
UNIT_DIM = 64
# Cells whose cost is computed; others cost what one before them does.
N_COSTED = 1000


def join_neighbors(context: Context, embeddings: DataFrame) -> Joined:
    """Return the nearest items of each item, by the cosine.

    Parameters
    ----------
    context : Context
    embeddings : DataFrame
        `schemas.EMBEDDINGS`.

    Raises
    ------
    QualityError
        The measured recall is below `neighbors.min_recall`.
    """
    with context.stage("pack"):
        pieces, _ = pack_vectors(context, embeddings, n_rows=embeddings.count())
    cells = make_cells(context, pieces, space=Space())
    return as_joined(context, embeddings, cells)


def join_cells(context: Context, cells: Cells, *, write: Callable[[int, Found], None]) -> None:
    """Find and write the nearest items of each item, and record the recall measured against the truth.

    Parameters
    ----------
    context : Context
    cells : Cells
    write : callable
        Stores the lists of a unit, in a task.

    Raises
    ------
    QualityError
        The measured recall is below `neighbors.min_recall`.
    """
    family, truth = cells.settings.family, None
    if not isinstance(family, Exact):
        with context.stage("truth"):
            truth = find_truth(
                context, cells.drawn, space=cells.settings.space, family=family, frame=cells.frame,
                index=cells.index, n_cells=cells.n_cells, read=cells.read,
            )  # fmt: skip
        with context.stage("tune"):
            family = _tune(context.config.neighbors, family, truth)
    with context.stage("join"):
        plan = _plan(context, cells, family)
        n_units = len(plan.units) - 1
        units = context.tasks(n_units)
        rows = join_tasks.as_units(units, settings=plan, write=write).toArrow().to_pylist()
    found = scores_of(rows, cells.drawn)
    if truth is None:
        truth = lists_as_truth(found, cells.drawn, space=cells.settings.space, k=context.config.neighbors.k)
    context.record["neighbors"] = {
        **_described(cells, family),
        **_costs(rows, n_items=cells.n_items),
        **measure_recall(context, found, truth),
    }
    _check_recall(context)


def _tune(config: NeighborsConfig, family: HashFamily, truth: Truth) -> HashFamily:
    if not isinstance(family, Voronoi) or config.expert.tau > 0:
        return family
    queries = Queries(asking_points(truth.queries, truth.space), truth.cells)
    return tune(family, queries, target_recall=config.target_recall)[0]


def _plan(context: Context, cells: Cells, family: HashFamily) -> JoinSettings:
    config, dim = context.config.neighbors, cells.drawn.vectors.shape[1]
    units = cut_units(
        cells.index.starts[: cells.n_cells + 1],
        _costs_of_cells(cells, family),
        n_units=default_partitions(context.session),
        max_rows=max(64, config.expert.max_unit_rows * UNIT_DIM // max(UNIT_DIM, dim)),
    )
    return JoinSettings(
        k=config.k,
        n_spare=SLACK if config.one_per_recording else 0,
        space=cells.settings.space,
        frame=cells.frame,
        family=family,
        index=cells.index,
        units=units,
        asked=cells.drawn.keys,
        read=cells.read,
    )


def _costs_of_cells(cells: Cells, family: HashFamily) -> Doubles:
    """Return how many items one of each cell meets, as in the middle of a cell close by."""
    if not isinstance(family, Voronoi):
        return np.ones(cells.n_cells)
    some = np.arange(0, family.n_cells, -(-family.n_cells // N_COSTED))
    met = np.ones(len(some))
    counts = cells.index.counts.astype(np.float64)
    for probes in family.probes(family.leaders.centers[some], some):
        rows = np.arange(len(some)) if probes.rows is None else probes.rows
        items = np.repeat(counts[probes.cells], np.diff(probes.starts))
        met += np.bincount(rows, weights=items, minlength=len(some))
    # Cells that follow each other are near each other.
    return np.repeat(met, np.diff(np.append(some, family.n_cells)))


def _described(cells: Cells, family: HashFamily) -> dict[str, Any]:
    row_bytes = 3 * 8 + cells.drawn.vectors.shape[1] * cells.drawn.vectors.itemsize
    described = {
        "n_items": cells.n_items,
        "hash_family": type(family).__name__.lower(),
        "n_cells": family.n_cells,
        "n_parts": len(cells.settings.first_cells) - 1,
        "copies_per_item": family.n_tables,
        # Before compression: cell, key, recording and vector of each song and table.
        "shuffle_bytes": cells.n_songs * family.n_tables * row_bytes,
    }
    if isinstance(family, Voronoi):
        described |= {"tau": round(family.tau, 6), "n_near": family.n_near}
    return described


def _costs(units: list[dict[str, Any]], *, n_items: int) -> dict[str, Any]:
    pairs = np.array([row["n_compared"] for row in units], dtype=np.float64)
    return {
        "n_units": len(units),
        "pairs_per_item": round(float(pairs.sum()) / max(1, n_items), 1),
        "max_over_mean_task": round(float(pairs.max() / pairs.mean()), 4) if pairs.any() else 1.0,
    }


def _check_recall(context: Context) -> None:
    settings, found = context.config.neighbors, context.record["neighbors"]["recall_at_k"]
    # Who asks for less gets less.
    wanted = min(settings.min_recall, settings.target_recall)
    if found < wanted:
        raise QualityError(
            f"recall@{settings.k} against exact is {found:.4f}, at least {wanted} is wanted",
            where=f"{context.record['neighbors']['hash_family']} in {context.run.work}",
            todo='set neighbors.hash_family = "voronoi", neighbors.expert.tau = 0, or lower neighbors.min_recall',
        )
