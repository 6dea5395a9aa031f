"""Bucket and join: embeddings → the nearest items of each item, with recall measured against the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec import schemas
from musicrec.algorithms.hashing import Exact, HashFamily, Voronoi
from musicrec.algorithms.kernel import SLACK, Members, concatenate
from musicrec.algorithms.layout import CellIndex, CellReader, cut_units
from musicrec.algorithms.spaces import Frame, Space
from musicrec.algorithms.tuning import Queries, tune
from musicrec.arrow import numbers
from musicrec.config import NeighborsConfig
from musicrec.errors import QualityError
from musicrec.pipeline.context import Context
from musicrec.pipeline.planning import plan_cells, sample_share
from musicrec.pipeline.truth import Truth, as_truth, asking_points, find_truth, measure_recall, scores_of
from musicrec.stages import bucket, join, pack
from musicrec.stages.bucket import CellSettings
from musicrec.stages.join import Found, JoinSettings
from musicrec.storage import tables
from musicrec.storage.cells import CellFiles
from musicrec.storage.rows import RowFiles
from musicrec.storage.session import default_partitions, partition_targets

# Units of queries have as many bytes of vectors as `neighbors.max_unit_rows` of so many dimensions.
UNIT_DIM = 64
# Cells whose cost is computed; others cost what one before them does.
N_COSTED = 1000


@dataclass(frozen=True)
class Joined:
    """Songs with their items, and the items' neighbors."""

    members: DataFrame
    neighbors: DataFrame


@dataclass(frozen=True)
class Cells:
    """The stored items.

    `index` knows the cells of all tables, of which the first `n_cells` hold each item once; `drawn` are the items
    of a sample; `repeated` are the `n_repeated` songs that share one with others, `schemas.REPEATED`.
    """

    settings: CellSettings
    frame: Frame
    n_songs: int
    index: CellIndex
    drawn: Members
    repeated: RowFiles
    n_repeated: int
    read: Callable[[int], Members]

    @property
    def n_cells(self) -> int:
        """Cells of the first table."""
        return self.settings.n_first

    @property
    def n_items(self) -> int:
        """Different vectors."""
        return int(self.index.starts[self.n_cells])


@dataclass(frozen=True)
class Pieces:
    """Vectors on disk as they came.

    `numbers` are the pieces; `sample` (n, d) are the vectors that leaders come from.
    """

    files: CellFiles
    numbers: list[int]
    n_songs: int
    sample: NDArray[np.float32]


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


def pack_vectors(context: Context, embeddings: DataFrame, *, n_rows: int) -> tuple[Pieces, dict[str, Any]]:
    """Write the vectors in pieces; return them, and the counts of `pack.total`.

    Parameters
    ----------
    context : Context
    embeddings : DataFrame
        `schemas.EMBEDDINGS`; vectors of any length. Those that are not fit are counted, and are in no piece.
    n_rows : int
        Rows of `embeddings`.
    """
    settings, seed = context.config.neighbors, context.config.model.seed
    files = CellFiles(Path(context.run.table("pieces")))
    recording = "recording_key" if settings.one_per_recording else "track_key"
    columns = embeddings.select("track_key", F.col(recording).alias("recording_key"), "embedding")
    share = sample_share(settings, n_songs=n_rows)
    found = pack.as_pieces(columns, share=share, seed=seed, write=files.write).toArrow()
    counts = pack.total(found)
    written = sorted(number for number in found["piece"].to_pylist() if number is not None)
    is_whole = counts["min_dim"] == counts["max_dim"]
    sample = pack.sample_of(found) if written and is_whole else np.empty((0, 0), dtype=np.float32)
    return Pieces(files, written, counts["n_rows"], sample), counts


def as_joined(context: Context, embeddings: DataFrame, cells: Cells) -> Joined:
    """Join the cells and return songs with their items, and the items' neighbors.

    Parameters
    ----------
    context : Context
    embeddings : DataFrame
        `schemas.EMBEDDINGS`, those of the cells.
    cells : Cells

    Raises
    ------
    QualityError
        The measured recall is below `neighbors.min_recall`.
    """
    settings, files = context.config.neighbors, context.files("neighbors")
    join_cells(context, cells, write=lambda unit, found: files.write(unit, join.as_neighbors(found)))
    repeated = None
    if cells.n_repeated:
        repeated = tables.read_table(context.session, str(cells.repeated.directory), schema=schemas.REPEATED)
    members = bucket.as_members(
        embeddings, one_per_recording=settings.one_per_recording, repeated=repeated, k=settings.k
    )
    return Joined(members, tables.read_table(context.session, str(files.directory), schema=schemas.NEIGHBORS))


def make_cells(context: Context, pieces: Pieces, *, space: Space) -> Cells:
    """Put the songs into cells; the pieces are then gone.

    Parameters
    ----------
    context : Context
    pieces : Pieces
        Of which all are fit.
    space : Space
    """
    n_songs = pieces.n_songs
    with context.stage("leaders"):
        settings, frame = plan_cells(context, pieces.sample, n_songs=n_songs, space=space)
    with context.stage("cells"):
        files, repeated = (
            CellFiles(Path(context.run.table("items"))),
            context.files("repeated"),
        )
        n_pieces, read, names = len(pieces.numbers), pieces.files.read, pieces.numbers
        blocks = bucket.as_blocks(
            context.tasks(n_pieces),
            settings=settings,
            targets=partition_targets(len(settings.first_cells) - 1),
            read=lambda place: read(names[place]),
        )
        rows = bucket.as_cells(blocks, settings=settings, write=files.write, write_repeated=repeated.write)
        found = rows.toArrow()
        shutil.rmtree(pieces.files.directory, ignore_errors=True)
        counts = np.zeros(settings.family.n_cells, dtype=np.int64)
        cell = numbers(found.column("cell"))
        counts[cell] = numbers(found.column("n_items"))
        index = CellIndex(np.concatenate([[0], np.cumsum(counts)]), settings.first_cells)
        return Cells(
            settings=settings,
            frame=frame,
            n_songs=n_songs,
            index=index,
            drawn=_drawn(
                CellReader(files.read, index),
                index,
                found,
                n_items=int(index.starts[settings.n_first]),
                n_wanted=context.config.neighbors.n_truth_queries,
            ),
            repeated=repeated,
            n_repeated=repeated.count(),
            read=files.read,
        )


def has_repeated_keys(cells: Cells) -> bool:
    """Return whether two songs have one key."""
    # Parts follow each other, those of the first table first; one without items is no file.
    bounds = cells.index.starts[cells.index.first_cells]
    filled = np.flatnonzero((np.diff(bounds) > 0) & (bounds[:-1] < cells.n_items))
    keys = [np.concatenate([cells.read(part).keys for part in filled.tolist()])[: cells.n_items]]
    if cells.n_repeated:
        table = cells.repeated.read()
        songs, owners = numbers(table["track_key"]), numbers(table["item_key"])
        keys.append(songs[songs != owners])
    ordered = np.sort(np.concatenate(keys))
    return bool((ordered[1:] == ordered[:-1]).any())


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
        rows = join.as_units(units, settings=plan, write=write).toArrow().to_pylist()
    found = scores_of(rows, cells.drawn)
    if truth is None:
        truth = as_truth(found, cells.drawn, space=cells.settings.space, k=context.config.neighbors.k)
    context.record["neighbors"] = {
        **_described(cells, family),
        **_costs(rows, n_items=cells.n_items),
        **measure_recall(context, found, truth),
    }
    _check_recall(context)


def _drawn(cells: CellReader, index: CellIndex, found: pa.Table, *, n_items: int, n_wanted: int) -> Members:
    """Return the items of the sample by rising key; where hashing drew none, as of very few, others evenly."""
    parts = np.searchsorted(index.first_cells, numbers(found.column("cell")), side="right") - 1
    firsts = index.starts[index.first_cells][parts]
    drawn = [
        first + np.array(rows)
        for first, rows in zip(firsts, found.column("drawn").to_pylist(), strict=True)
        if rows
    ]
    even = np.unique(np.linspace(0, n_items - 1, min(n_items, n_wanted)).astype(np.int64))
    rows = np.sort(np.concatenate(drawn)) if drawn else even
    items = concatenate([cells.rows(row, row + 1) for row in rows.tolist()])
    return items.take(np.argsort(items.keys))


def _tune(config: NeighborsConfig, family: HashFamily, truth: Truth) -> HashFamily:
    if not isinstance(family, Voronoi) or config.tau > 0:
        return family
    queries = Queries(asking_points(truth.queries, truth.space), truth.cells)
    return tune(family, queries, target_recall=config.target_recall)[0]


def _plan(context: Context, cells: Cells, family: HashFamily) -> JoinSettings:
    config, dim = context.config.neighbors, cells.drawn.vectors.shape[1]
    units = cut_units(
        cells.index.starts[: cells.n_cells + 1],
        _costs_of_cells(cells, family),
        n_units=default_partitions(context.session),
        max_rows=max(64, config.max_unit_rows * UNIT_DIM // max(UNIT_DIM, dim)),
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


def _costs_of_cells(cells: Cells, family: HashFamily) -> NDArray[np.float64]:
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
    found, wanted = context.record["neighbors"]["recall_at_k"], context.config.neighbors.min_recall
    if found < wanted:
        raise QualityError(
            f"recall@{context.config.neighbors.k} against exact is {found:.4f}, at least {wanted} is wanted",
            where=f"{context.record['neighbors']['hash_family']} on {context.run.table('embeddings')}",
            todo='use neighbors.hash_family = "voronoi" with neighbors.tau = 0, or lower neighbors.min_recall',
        )
