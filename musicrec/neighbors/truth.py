"""Truth: the exact neighbors of a sample of items, found in one pass over the cells that can hold one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Doubles, Floats, Ints
from musicrec.context import Context
from musicrec.messages import REACHES, blob_of
from musicrec.neighbors import truth_tasks
from musicrec.neighbors.cells import Cells
from musicrec.neighbors.search.hashing import Exact
from musicrec.neighbors.search.index import cut_parts
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.search.top_k import Lists, merge_lists
from musicrec.neighbors.search.voronoi import Voronoi
from musicrec.neighbors.truth_tasks import ReachSettings, TruthSettings
from musicrec.spark.partitions import default_partitions


@dataclass(frozen=True)
class Truth:
    """Exact neighbors of a sample of items: the k-th score is what a found neighbor must reach.

    `scores` and `cells` (n, k): NaN and -1 where fewer than k exist; cells also where they are unknown.
    """

    space: Space
    queries: Items
    scores: Floats
    cells: Ints


def find_truth(context: Context, cells: Cells) -> Truth | None:
    """Return the exact neighbors of the items drawn; None where lists that compare all are the truth."""
    settings = cells.settings
    if isinstance(settings.family, Exact):
        return None
    with context.stage("truth", n_rows=len(cells.drawn)):
        queries, space, k = cells.drawn, settings.space, context.config.neighbors.k
        asking, leaders = asking_points(queries, space), None
        reach = np.full(len(queries), np.inf)
        if isinstance(settings.family, Voronoi):
            leaders = settings.family.leaders.centers
            home = settings.family.assign(asking)[:, 0]
            reach = _reach(context, cells, queries, asking, home, k=k)
        lists, found = search_cells(context, cells, queries, asking, reach, leaders=leaders, k=k)
        return Truth(space, queries, lists.scores, found)


def search_cells(
    context: Context,
    cells: Cells,
    queries: Items,
    asking: Floats,
    reach: Doubles,
    *,
    leaders: Floats | None,
    k: int,
) -> tuple[Lists, Ints]:
    """Return the lists of queries of all items, and the cells of their neighbors (n, k).

    Parameters
    ----------
    context : Context
    cells : Cells
    queries : Items
    asking : float32 array, shape (n, d)
        Where they ask.
    reach : float64 array, shape (n,)
        How far from there their neighbors are at most.
    leaders : float32 array, shape (n_cells, d), optional
        Of the cells: those that cannot hold a neighbor are not looked at.
    k : int
    """
    settings, n_shares = cells.settings, default_partitions(context.session)
    shares = cut_parts(cells.index.counts[: cells.n_cells].astype(np.float64), n_parts=n_shares)
    task = TruthSettings(
        k, queries, settings.space, settings.rules, asking, reach, leaders, cells.frame, cells.index, shares,
        cells.read,
    )  # fmt: skip
    rows = truth_tasks.as_truths(context.numbers(n_shares), settings=task).toArrow().to_pylist()
    found = [truth_tasks.lists_of_share(row, n_queries=len(queries), k=k) for row in rows]
    lists = merge_lists([lists for lists, _ in found], queries.facts, k=k, rules=settings.rules)
    return lists, _cells_of(lists, found)


def asking_points(items: Items, space: Space) -> Floats:
    """Return where items stand as queries, (n, d)."""
    vectors = items.vectors.astype(np.float32)
    asking = space.as_asking(vectors)
    return space.as_found(vectors) if asking is None else asking


def _reach(context: Context, cells: Cells, queries: Items, asking: Floats, home: Ints, *, k: int) -> Doubles:
    """Return how far the k-th of each query's list of its own cell is; no k nearest of all are farther."""
    # Tasks with queries of neighboring cells read few parts each.
    order, n_tasks = np.argsort(home, kind="stable"), min(len(home), default_partitions(context.session))
    firsts = np.linspace(0, len(home), n_tasks + 1).astype(np.int64)
    settings, reach = cells.settings, np.full(len(queries), np.inf)
    task = ReachSettings(
        k, queries, settings.space, settings.rules, asking, home, order, firsts, cells.index, cells.read
    )
    for row in truth_tasks.as_reaches(context.numbers(n_tasks), settings=task).toArrow().to_pylist():
        reach[blob_of(REACHES, "queries", row["queries"])] = blob_of(REACHES, "reach", row["reach"])
    return reach


def _cells_of(lists: Lists, found: list[tuple[Lists, Ints]]) -> Ints:
    keys = np.concatenate([some.keys.ravel() for some, _ in found])
    cells = np.concatenate([some.ravel() for _, some in found])
    names, first = np.unique(keys, return_index=True)
    index = np.searchsorted(names, lists.keys)
    return np.where(lists.keys == -1, -1, cells[first][index.clip(0, len(names) - 1)])
