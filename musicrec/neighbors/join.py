"""Join: cells → the nearest items of each item, with recall measured against the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from musicrec.arrays import Doubles
from musicrec.config import NeighborsConfig
from musicrec.config_lists import NO_LIMIT, ListsConfig
from musicrec.context import Context
from musicrec.errors import QualityError
from musicrec.neighbors.cells import Cells
from musicrec.neighbors.complete import complete_lists
from musicrec.neighbors.join_tasks import (
    Found,
    JoinSettings,
    as_neighbors,
    asked_scores,
    short_rows,
    write_units,
)
from musicrec.neighbors.recall import lists_as_truth, measure_recall
from musicrec.neighbors.search.hashing import Exact, HashFamily
from musicrec.neighbors.search.index import cut_units
from musicrec.neighbors.search.kernel import SLACK
from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.voronoi import Voronoi
from musicrec.neighbors.truth import Truth, asking_points
from musicrec.spark.partitions import default_partitions
from musicrec.storage import datasets

# Units of queries have as many bytes of vectors as `neighbors.expert.max_unit_rows` of so many dimensions.
UNIT_DIM = 64


def write_neighbors(
    context: Context,
    cells: Cells,
    family: HashFamily,
    truth: Truth | None,
    *,
    write: Callable[[int, Found], None] | None = None,
) -> dict[str, Any]:
    """Find and write the nearest items of each item; return what the manifest says of the join.

    Parameters
    ----------
    context : Context
    cells : Cells
    family : HashFamily
        That of the cells, tuned.
    truth : Truth or None
        The true neighbors of some items; None where the lists compare all and are the truth themselves.
    write : callable, optional
        Stores the lists of a unit, in a task; by default as `schemas.NEIGHBORS`.

    Raises
    ------
    QualityError
        The measured recall is below `neighbors.min_recall`.
    """
    with context.stage("join", n_rows=cells.n_items):
        settings, files = context.config.neighbors, context.files(datasets.NEIGHBORS)
        plan = _plan(context, cells, family)
        units = write_units(
            context.numbers(len(plan.units) - 1),
            settings=plan,
            write=write or (lambda unit, found: files.write(unit, as_neighbors(found))),
        )
        rows = units.toArrow().to_pylist()
        if write is None and not isinstance(family, Exact):
            complete_lists(context, cells, short_rows(rows), units=plan.units, k=settings.k, files=files)
        by_key = asked_scores(rows)
        found = [by_key[key] for key in cells.drawn.keys.tolist()]
        truth = truth or lists_as_truth(found, cells.drawn, space=cells.settings.space, k=settings.k)
        figures = {
            **_described(cells, family),
            **_costs(rows, n_items=cells.n_items),
            **measure_recall(settings, found, truth),
        }
        _check_recall(figures, settings, where=context.run.work.uri)
        return figures


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
        n_spare=count_spare(cells.settings.rules, context.config.lists),
        rules=cells.settings.rules,
        space=cells.settings.space,
        frame=cells.frame,
        family=family,
        index=cells.index,
        units=units,
        asked=cells.drawn.keys,
        read=cells.read,
    )


def count_spare(rules: ListRules, settings: ListsConfig) -> int:
    """Return how many places beyond k the items need whose songs differ: each song drops what is its own."""
    if settings.listed_once == "track_key" and rules.n_facts == 1:
        return 0
    return SLACK + sum(most for most, of_own in rules.limits[1:] if of_own < most < NO_LIMIT)


def _costs_of_cells(cells: Cells, family: HashFamily) -> Doubles:
    """Return how many items one of each cell meets, as the items of the sample do."""
    if not isinstance(family, Voronoi):
        return np.ones(cells.n_cells)
    space, vectors = cells.settings.space, cells.drawn.vectors.astype(np.float32)
    own, query = np.unique(family.assign(space.as_found(vectors))[:, 0], return_inverse=True)
    counts, met = cells.index.counts.astype(np.float64), np.zeros(len(own))
    for probes in family.probes(asking_points(cells.drawn, space)):
        rows = np.arange(len(vectors)) if probes.rows is None else probes.rows
        items = np.repeat(counts[probes.cells], np.diff(probes.starts))
        met += np.bincount(query[rows], weights=items, minlength=len(own))
    # Cells that follow each other are near each other.
    return np.interp(np.arange(cells.n_cells), own, met / np.bincount(query))


def _described(cells: Cells, family: HashFamily) -> dict[str, Any]:
    row_bytes = (2 + cells.drawn.facts.shape[1]) * 8 + cells.drawn.vectors.shape[1] * cells.drawn.vectors.itemsize
    described = {
        "n_items": cells.n_items,
        "hash_family": type(family).__name__.lower(),
        "n_cells": family.n_cells,
        "n_parts": len(cells.settings.first_cells) - 1,
        "copies_per_item": family.n_tables,
        # Before compression: cell, key, facts and vector of each song and table.
        "shuffle_bytes": cells.n_songs * family.n_tables * row_bytes,
    }
    if isinstance(family, Voronoi):
        described |= {
            "tau": [round(tau, 6) for tau in family.reach.taus.tolist()],
            "own_share": round(family.reach.own_share, 6),
            "n_near": family.n_near,
        }
    return described


def _costs(units: list[dict[str, Any]], *, n_items: int) -> dict[str, Any]:
    pairs = np.array([row["n_compared"] for row in units], dtype=np.float64)
    return {
        "n_units": len(units),
        "pairs_per_item": round(float(pairs.sum()) / max(1, n_items), 1),
        "max_over_mean_task": round(float(pairs.max() / pairs.mean()), 4) if pairs.any() else 1.0,
    }


def _check_recall(figures: dict[str, Any], settings: NeighborsConfig, *, where: str) -> None:
    # Who asks for less gets less.
    wanted = min(settings.min_recall, settings.target_recall)
    if figures["recall_at_k"] < wanted:
        raise QualityError(
            f"recall@{settings.k} against exact is {figures['recall_at_k']:.4f}, at least {wanted} is wanted",
            where=f"{figures['hash_family']} in {where}",
            todo='set neighbors.hash_family = "voronoi", neighbors.expert.tau = 0, or lower neighbors.min_recall',
        )
