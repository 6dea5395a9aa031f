"""The truth for a sample of items: their exact neighbors, in one pass over the cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from pyspark.sql import DataFrame

from musicrec.arrays import Doubles, Floats, Ints
from musicrec.messages import REACHES, TRUTHS, as_row, blob_of
from musicrec.neighbors.search.index import CHUNK_ROWS, CellIndex, CellReader, Spans
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import Meetings, Search, as_candidates
from musicrec.neighbors.search.pruning import can_hold, radii, reach_within
from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.spaces import Frame, Space
from musicrec.neighbors.search.top_k import Lists
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark.tasks import Batches, each_number


@dataclass(frozen=True)
class TruthSettings:
    """What a task that looks for the truth needs to know.

    shares (n_shares + 1,): the first cell of each task's share. `read` returns the items of a part. `reach` (n,)
    is how far from where queries ask, `asking` (n, d), their k nearest are at most; where cells have `leaders`
    (n_cells, d), those beyond are not looked at.
    """

    k: int
    queries: Items
    space: Space
    rules: ListRules
    asking: Floats
    reach: Doubles
    leaders: Floats | None
    frame: Frame
    index: CellIndex
    shares: Ints
    read: Callable[[int], Items]


@dataclass(frozen=True)
class ReachSettings:
    """What a task needs to know that looks at the cells at `home` (n,) of queries.

    Task i has the queries order[firsts[i]] .. order[firsts[i + 1]]. Else as `TruthSettings`.
    """

    k: int
    queries: Items
    space: Space
    rules: ListRules
    asking: Floats
    home: Ints
    order: Ints
    firsts: Ints
    index: CellIndex
    read: Callable[[int], Items]


def as_reaches(numbers: DataFrame, *, settings: ReachSettings) -> DataFrame:
    """Return `messages.REACHES`: how far the k-th of each query's list of its own cell is.

    Parameters
    ----------
    numbers : DataFrame
        `id`, the numbers of tasks, a partition each.
    settings : ReachSettings
    """

    def look_batches(batches: Batches) -> Batches:
        warm_up()
        reader = CellReader(settings.read, settings.index)
        for number in each_number(batches):
            some = settings.order[settings.firsts[number] : settings.firsts[number + 1]].tolist()
            of_cells = groupby(some, key=lambda query: int(settings.home[query]))
            reach = [one for cell, queries in of_cells for one in _reaches(reader, cell, list(queries), settings)]
            yield as_row(REACHES, queries=some, reach=reach)

    return numbers.mapInArrow(look_batches, REACHES)


def _reaches(reader: CellReader, cell: int, queries: list[int], settings: ReachSettings) -> list[float]:
    """Return how far the k-th of the cell's items is from each of some queries; it is read once for all."""
    start, end = settings.index.starts[cell : cell + 2].tolist()
    if start == end:
        return [np.inf] * len(queries)
    # The first of a cell that holds half of the catalog are enough.
    items = reader.rows(start, min(end, start + CHUNK_ROWS))
    points = settings.space.as_found(items.vectors.astype(np.float32))
    asking, own, k, rules = settings.asking, settings.queries.facts, settings.k, settings.rules
    return [reach_within(asking[i], own[i], points, items.facts, k=k, rules=rules) for i in queries]


def as_truths(shares: DataFrame, *, settings: TruthSettings) -> DataFrame:
    """Return `messages.TRUTHS`: for each share of the cells the nearest of its items to each query.

    Parameters
    ----------
    shares : DataFrame
        `id`, the numbers of the shares, a partition each.
    settings : TruthSettings
    """
    return shares.mapInArrow(_searcher(settings), TRUTHS)


def lists_of_share(row: dict[str, bytes], *, n_queries: int, k: int) -> tuple[Lists, Ints]:
    """Return the lists of a row of `messages.TRUTHS` and the cells of their neighbors, (n_queries, k).

    Parameters
    ----------
    row : dict
    n_queries, k : int
    """
    keys, groups, cells, scores = (
        blob_of(TRUTHS, name, row[name]).reshape(n_queries, k, -1) for name in TRUTHS.names
    )
    return Lists(keys[:, :, 0], groups, scores[:, :, 0]), cells[:, :, 0]


def _searcher(settings: TruthSettings) -> Callable[[Batches], Batches]:
    def search_batches(batches: Batches) -> Batches:
        warm_up()
        reader = CellReader(settings.read, settings.index)
        for share in each_number(batches):
            cells = np.arange(settings.shares[share], settings.shares[share + 1])
            lists, found_in = _search(reader, cells, settings)
            yield as_row(TRUTHS, keys=lists.keys, groups=lists.groups, cells=found_in, scores=lists.scores)

    return search_batches


def _search(reader: CellReader, cells: Ints, settings: TruthSettings) -> tuple[Lists, Ints]:
    search = Search(settings.queries, k=settings.k, rules=settings.rules, frame=settings.frame)
    keys, owners = [], []
    for items, spans in reader.chunks(cells):
        _meet(search, items, spans, cells, settings)
        keys.append(items.keys)
        owners.append(np.repeat(cells[spans.cell_indices], spans.lasts - spans.firsts))
    lists = search.lists()
    if not keys:
        return lists, np.full_like(lists.keys, -1)
    known, owner = np.concatenate(keys), np.concatenate(owners)
    order = np.argsort(known)
    index = order[np.searchsorted(known, lists.keys, sorter=order).clip(0, len(known) - 1)]
    return lists, np.where(lists.keys == known[index], owner[index], -1)


def _meet(search: Search, items: Items, spans: Spans, cells: Ints, settings: TruthSettings) -> None:
    candidates = as_candidates(items, settings.frame)
    if settings.leaders is None:
        search.meet_all(candidates)
        return
    leaders = settings.leaders[cells[spans.cell_indices]]
    points = settings.space.as_found(items.vectors.astype(np.float32))
    holds = can_hold(settings.asking, settings.reach, leaders, radii(points, leaders, spans.firsts))
    starts = np.concatenate([[0], np.cumsum(holds.sum(axis=1))])
    # A copy that lies together: another layout would be compiled for, for seconds.
    rows = np.nonzero(holds)[1].copy()
    search.meet(candidates, Meetings(spans.firsts, spans.lasts, starts, rows))
