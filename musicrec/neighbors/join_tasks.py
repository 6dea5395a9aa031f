"""Cells → the nearest items of each item.

A task has a range of the items as queries. It asks the hash which cells they have to see, reads those cells once
each, a few at a time, and keeps the queries' lists meanwhile. Nothing is copied, and nothing depends on which
queries came together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.arrays import Floats, Ints
from musicrec.messages import UNITS, as_row, blob_of
from musicrec.neighbors.search.hashing import HashFamily, Probes
from musicrec.neighbors.search.index import CellIndex, CellReader
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import Meetings, Search, as_candidates
from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.spaces import Frame, Space
from musicrec.neighbors.search.top_k import Lists
from musicrec.neighbors.search.warm import warm_up
from musicrec.schemas import NEIGHBORS
from musicrec.spark.arrow import present_columns
from musicrec.spark.tasks import Batches, each_number


@dataclass(frozen=True)
class JoinSettings:
    """What a task of the join needs to know.

    units (n_units + 1,): the first row of each unit of queries. An item whose songs differ keeps `n_spare`
    neighbors beyond k: each of its songs drops what is its own. The scores of the items `asked` are returned,
    too. `read` returns the items of a part.
    """

    k: int
    n_spare: int
    rules: ListRules
    space: Space
    frame: Frame
    family: HashFamily
    index: CellIndex
    units: Ints
    asked: Ints
    read: Callable[[int], Items]


@dataclass(frozen=True)
class Found:
    """The lists of a unit's items, `keys` (n,), and how many pairs were compared for them."""

    keys: Ints
    n_compared: int
    lists: Lists


def write_units(units: DataFrame, *, settings: JoinSettings, write: Callable[[int, Found], None]) -> DataFrame:
    """Find and write the nearest neighbors of each item among those in the cells it asks; return `messages.UNITS`.

    Parameters
    ----------
    units : DataFrame
        `id`, the numbers of the units, a partition each.
    settings : JoinSettings
    write : callable
        Stores the lists of a unit; a second attempt of a task calls it again with the same lists.
    """
    return units.mapInArrow(_joiner(settings, write), UNITS)


def as_neighbors(found: Found) -> pa.Table:
    """Return the lists as `schemas.NEIGHBORS`."""
    columns: list[pa.Array] = present_columns(~np.isnan(found.lists.scores), found.lists.keys, found.lists.scores)
    return pa.Table.from_arrays([pa.array(found.keys), *columns], names=NEIGHBORS.names)


def _joiner(settings: JoinSettings, write: Callable[[int, Found], None]) -> Callable[[Batches], Batches]:
    def join_batches(batches: Batches) -> Batches:
        warm_up()
        reader = CellReader(settings.read, settings.index)
        for unit in each_number(batches):
            found = _join_unit(reader, int(settings.units[unit]), int(settings.units[unit + 1]), settings)
            write(unit, found)
            yield _as_unit(unit, found, settings)

    return join_batches


def _as_unit(unit: int, found: Found, settings: JoinSettings) -> pa.RecordBatch:
    rows = np.flatnonzero(np.isin(found.keys, settings.asked))
    short = settings.units[unit] + np.flatnonzero(np.isnan(found.lists.scores[:, settings.k - 1]))
    return as_row(
        UNITS, unit=unit, n_items=len(found.keys), n_compared=found.n_compared,
        asked_keys=found.keys[rows], asked_scores=found.lists.scores[rows], short_rows=short,
    )  # fmt: skip


def asked_scores(units: list[dict[str, Any]]) -> dict[int, Floats]:
    """Return the scores of the items asked, falling, by their keys, from rows of `messages.UNITS`."""
    by_key: dict[int, Floats] = {}
    for row in units:
        keys = blob_of(UNITS, "asked_keys", row["asked_keys"])
        found = blob_of(UNITS, "asked_scores", row["asked_scores"]).reshape(len(keys), -1 if len(keys) else 0)
        by_key |= {key: some[~np.isnan(some)] for key, some in zip(keys.tolist(), found, strict=True)}
    return by_key


def short_rows(units: list[dict[str, Any]]) -> Ints:
    """Return the rows of the items whose lists are short, rising, from rows of `messages.UNITS`."""
    nothing = np.empty(0, dtype=np.int64)
    return np.sort(np.concatenate([nothing, *(blob_of(UNITS, "short_rows", row["short_rows"]) for row in units)]))


def _join_unit(reader: CellReader, start: int, stop: int, settings: JoinSettings) -> Found:
    queries = reader.rows(start, stop)
    vectors = queries.vectors.astype(np.float32)
    asking, home = settings.space.as_asking(vectors), None
    if asking is None:
        # Where items ask is where they are stored.
        asking = settings.space.as_found(vectors)
        home = np.searchsorted(settings.index.starts, np.arange(start, stop), side="right") - 1
    search = Search(queries, k=settings.k, n_spare=settings.n_spare, rules=settings.rules, frame=settings.frame)
    for probes in settings.family.probes(asking, home):
        _compare(search, reader, probes, settings)
    return Found(np.asarray(queries.keys), search.n_compared, search.lists())


def _compare(search: Search, reader: CellReader, probes: Probes, settings: JoinSettings) -> None:
    """Let the queries meet the items of the cells that they ask."""
    for items, spans in reader.chunks(probes.cells):
        candidates = as_candidates(items, settings.frame)
        if probes.rows is None:
            search.meet_all(candidates)
        else:
            starts, rows = probes.of(spans.cell_indices)
            search.meet(candidates, Meetings(spans.firsts, spans.lasts, starts, rows))
