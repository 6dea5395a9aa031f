"""Cells: packed songs → items in the cells of a hash, on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from musicrec.arrays import Ints
from musicrec.context import Context
from musicrec.neighbors import cell_tasks, item_tasks
from musicrec.neighbors.cell_tasks import CellSettings
from musicrec.neighbors.item_files import ItemFiles
from musicrec.neighbors.item_tasks import ItemSettings
from musicrec.neighbors.pack import PackedSongs
from musicrec.neighbors.plan import CellPlan
from musicrec.neighbors.search.index import CellIndex
from musicrec.neighbors.search.items import Items, concatenate
from musicrec.neighbors.search.spaces import Frame, Space
from musicrec.spark.arrow import numbers
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets
from musicrec.storage.rows import RowFiles


@dataclass(frozen=True)
class Cells:
    """The stored items.

    `index` knows the cells of all tables, of which the first `n_cells` hold each item once; `drawn` are the items
    of a sample, by rising key; `repeated` are the `n_repeated` songs that share one with others,
    `schemas.REPEATED`.
    """

    settings: CellSettings
    frame: Frame
    n_songs: int
    index: CellIndex
    drawn: Items
    repeated: RowFiles
    n_repeated: int
    read: Callable[[int], Items]

    @property
    def n_cells(self) -> int:
        """Cells of the first table."""
        return self.settings.n_first

    @property
    def n_items(self) -> int:
        """Items: vectors, and facts where these are several of one."""
        return int(self.index.starts[self.n_cells])


def write_cells(context: Context, packed: PackedSongs, plan: CellPlan) -> Cells:
    """Put the songs into cells and return where these are; what was packed is then gone.

    Parameters
    ----------
    context : Context
    packed : PackedSongs
        Of which all are fit.
    plan : CellPlan
    """
    with context.stage("cells", n_rows=packed.n_songs):
        files, repeated = ItemFiles(context.run.place(datasets.ITEMS)), context.files(datasets.REPEATED)
        settings, read, pieces = plan.settings, packed.files.read, packed.pieces
        blocks = cell_tasks.as_blocks(
            context.numbers(len(pieces)),
            settings=settings,
            targets=partition_targets(len(settings.first_cells) - 1),
            read=lambda number: read(pieces[number]),
        )
        rows = cell_tasks.write_parts(blocks, settings=settings, write=files.write, write_repeated=repeated.write)
        found = rows.toArrow()
        context.run.work.delete_all(datasets.PACKED.name)
        counts = np.zeros(settings.family.n_cells, dtype=np.int64)
        cell = numbers(found.column("cell"))
        counts[cell] = numbers(found.column("n_items"))
        index = CellIndex(np.concatenate([[0], np.cumsum(counts)]), settings.first_cells)
        n_items, n_wanted = int(index.starts[settings.n_first]), context.config.neighbors.expert.n_truth_queries
        sample = _drawn(index, found, n_items=n_items, n_wanted=n_wanted)
        drawn = gather_items(context, files.read, index, sample, space=settings.space)
        return Cells(
            settings=settings,
            frame=plan.frame,
            n_songs=packed.n_songs,
            index=index,
            drawn=drawn.take(np.argsort(drawn.keys)),
            repeated=repeated,
            n_repeated=repeated.count(),
            read=files.read,
        )


def has_repeated_keys(cells: Cells) -> bool:
    """Return whether two songs have one key."""
    # Parts follow each other, those of the first table first; one without items is no file.
    bounds = cells.index.bounds
    filled = np.flatnonzero((np.diff(bounds) > 0) & (bounds[:-1] < cells.n_items))
    keys = [np.concatenate([cells.read(part).keys for part in filled.tolist()])[: cells.n_items]]
    if cells.n_repeated:
        table = cells.repeated.read()
        songs, owners = numbers(table["track_key"]), numbers(table["item_key"])
        keys.append(songs[songs != owners])
        # Two rows of one key and one vector share the item that the key names.
        if _has_equal(songs):
            return True
    return _has_equal(np.concatenate(keys))


def _has_equal(keys: Ints) -> bool:
    ordered = np.sort(keys)
    return bool((ordered[1:] == ordered[:-1]).any())


def gather_items(
    context: Context, read: Callable[[int], Items], index: CellIndex, rows: Ints, *, space: Space
) -> Items:
    """Return some items, which tasks have sent.

    Parameters
    ----------
    context : Context
    read : callable
        Returns the items of a part.
    index : CellIndex
    rows : int64 array, shape (n,)
        Of all rows, at least one, rising.
    space : Space
        Of the vectors.
    """
    parts = np.unique(np.searchsorted(index.bounds, rows, side="right") - 1)
    settings = ItemSettings(rows, parts, index, read)
    found = item_tasks.as_items(context.numbers(len(parts)), settings=settings).toArrow()
    return concatenate([item_tasks.items_in(row, vector_type=space.vector_type) for row in found.to_pylist()])


def _drawn(index: CellIndex, found: pa.Table, *, n_items: int, n_wanted: int) -> Ints:
    """Return the rows of the items of the sample, rising.

    Songs are drawn by their hash. Where few are items, because most songs share theirs, that draws too few: then
    items are taken evenly.
    """
    parts = np.searchsorted(index.first_cells, numbers(found.column("cell")), side="right") - 1
    drawn = [
        first + np.array(rows)
        for first, rows in zip(index.bounds[parts], found.column("drawn").to_pylist(), strict=True)
        if rows
    ]
    n_least = min(n_items, n_wanted)
    even = np.unique(np.linspace(0, n_items - 1, n_least).astype(np.int64))
    return np.sort(np.concatenate(drawn)) if 2 * sum(map(len, drawn)) >= n_least else even
