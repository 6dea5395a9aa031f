"""Pieces of vectors → cells of items: songs with equal vectors are one item, those of one cell lie together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.arrays import Ints, Reals, concatenate_ranges, is_drawn
from musicrec.messages import BLOCKS, CELLS, as_row, blob_of
from musicrec.neighbors.search.hashing import HashFamily
from musicrec.neighbors.search.items import Items, distinct_rows
from musicrec.neighbors.search.kernel import ONE_EACH, pair_scores
from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.same_vectors import facts_of_items, split_items
from musicrec.neighbors.search.spaces import Space, as_stored
from musicrec.neighbors.search.warm import warm_up
from musicrec.schemas import REPEATED
from musicrec.spark.arrow import list_column, numbers
from musicrec.spark.tasks import Batches, each_number

# Rows of a block at most: a row of Spark stays below a megabyte.
_MAX_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class CellSettings:
    """How cells are made.

    first_cells (n_parts + 1,) as `CellIndex` has them; `drawn_share` of the items are drawn by hash.
    Songs of one vector are one item as far as the `rules` need to know no more of them.
    """

    family: HashFamily
    space: Space
    first_cells: Ints
    drawn_share: float
    seed: int
    rules: ListRules = ONE_EACH

    @property
    def n_first(self) -> int:
        """Cells of the first table, which hold each item once."""
        return self.family.n_cells // self.family.n_tables


def as_blocks(
    pieces: DataFrame, *, settings: CellSettings, targets: Sequence[int], read: Callable[[int], Items]
) -> DataFrame:
    """Return `messages.BLOCKS`: songs of one part, those of a piece together.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the numbers of pieces in a list that `read` knows.
    settings : CellSettings
    targets : sequence of int
        For each part a number that Spark's hash sends to its partition.
    read : callable
        Returns the songs of a piece.
    """
    return pieces.mapInArrow(_blocker(settings, tuple(targets), read), BLOCKS)


def write_parts(
    blocks: DataFrame,
    *,
    settings: CellSettings,
    write: Callable[[int, Items], None],
    write_repeated: Callable[[int, pa.Table], None],
) -> DataFrame:
    """Write the items of each cell and return `messages.CELLS`.

    Catalogs are full of songs with equal vectors, and no splitter can divide them: comparing n equal songs would
    cost n squared. They meet in a cell, and those of equal facts, or all where these are many, become one item
    there, named by the smallest key.

    Parameters
    ----------
    blocks : DataFrame
        What `as_blocks` returns.
    settings : CellSettings
        Those of the blocks.
    write : callable
        Stores the items of a part; a second attempt of a task calls it again with the same items.
    write_repeated : callable
        Stores the songs of a part that share their item, `schemas.REPEATED`; not called where there are none.
    """
    together = blocks.repartition(len(settings.first_cells) - 1, "target")
    return together.mapInArrow(_former(settings, write, write_repeated), CELLS)


def _blocker(
    settings: CellSettings, targets: tuple[int, ...], read: Callable[[int], Items]
) -> Callable[[Batches], Batches]:
    def block_batches(batches: Batches) -> Batches:
        warm_up()
        for number in each_number(batches):
            yield from _blocks(read(number), settings, targets)

    return block_batches


def _blocks(songs: Items, settings: CellSettings, targets: tuple[int, ...]) -> Batches:
    # Equal vectors travel once a block: all songs with one of them meet in one task.
    same = distinct_rows(songs.vectors)
    vectors, rounded = as_stored(songs.vectors[same.firsts], settings.space.vector_type)
    cells = settings.family.assign(settings.space.as_found(rounded))  # (m, n_tables)
    n_tables = cells.shape[1]
    song = np.repeat(np.arange(len(songs)), n_tables)
    row = (same.index[:, None] * n_tables + np.arange(n_tables)).ravel()
    cell = cells.ravel()
    part = np.searchsorted(settings.first_cells[1:-1], cell, side="right")[row]
    order = np.argsort(part, kind="stable")
    ends = np.searchsorted(part[order], np.arange(len(targets) + 1))
    for number, target in enumerate(targets):
        for first in range(int(ends[number]), int(ends[number + 1]), _MAX_BLOCK_ROWS):
            some = order[first : min(first + _MAX_BLOCK_ROWS, int(ends[number + 1]))]
            kept, rows = np.unique(row[some], return_inverse=True)
            yield as_row(
                BLOCKS, target=target, part=number, keys=songs.keys[song[some]],
                facts=songs.facts[song[some]], rows=rows, cells=cell[kept],
                vectors=vectors[kept // n_tables],
            )  # fmt: skip


def _former(
    settings: CellSettings,
    write: Callable[[int, Items], None],
    write_repeated: Callable[[int, pa.Table], None],
) -> Callable[[Batches], Batches]:
    def form_batches(batches: Batches) -> Batches:
        warm_up()
        # A partition has one part. To hold the blocks of several would cost memory; to sort them, copies.
        held: dict[int, list[pa.RecordBatch]] = {}
        for batch in batches:
            for i, part in enumerate(numbers(batch.column("part")).tolist()):
                held.setdefault(part, []).append(batch.slice(i, 1))
        for part in sorted(held):
            cells, items, repeated = _form(held.pop(part), settings)
            write(part, items)
            if repeated.num_rows:
                write_repeated(part, repeated)
            yield _as_cells(part, cells, items, settings)

    return form_batches


def _form(blocks: list[pa.RecordBatch], settings: CellSettings) -> tuple[Ints, Items, pa.Table]:
    """Return the cells of the items of a part, the items, and the songs that share them."""
    keys, facts, cells = (_joined(blocks, name) for name in ("keys", "facts", "cells"))
    facts = facts.reshape(len(keys), -1)
    vectors = _joined(blocks, "vectors", settings.space.vector_type).reshape(len(cells), -1)
    item, first_rows = _items_of(blocks, cells, vectors)
    blocks.clear()
    item, wholes = split_items(item, facts, settings.rules)
    first_rows = first_rows[wholes]
    order = np.lexsort((keys, item))
    starts = np.searchsorted(item[order], np.arange(len(first_rows)))
    n_members = np.diff(np.append(starts, len(order)))
    item_keys = keys[order[starts]]
    of_items = facts_of_items(facts[order], starts, item_keys, settings.rules)
    by_cell = np.lexsort((item_keys, cells[first_rows]))
    rows = first_rows[by_cell]
    items = Items(item_keys[by_cell], of_items[by_cell], vectors[rows])
    # A song stands once a table; repeated songs are those of the first.
    shared = by_cell[(n_members[by_cell] > 1) & (cells[rows] < settings.n_first)]
    of_shared = vectors[first_rows[shared]]
    n_sharing = n_members[shared]
    repeated = pa.table(
        [
            keys[order[concatenate_ranges(starts[shared], n_sharing)]],
            np.repeat(item_keys[shared], n_sharing),
            np.repeat(pair_scores(of_shared, of_shared, settings.space), n_sharing),
        ],
        names=REPEATED.names,
    )
    return cells[rows], items, repeated


def _items_of(blocks: list[pa.RecordBatch], cells: Ints, vectors: Reals) -> tuple[Ints, Ints]:
    """Return which item each song is, (n,), and the row of each item's vector."""
    # In another table, which is another cell, a vector is another item.
    named = distinct_rows(vectors).index * (1 + cells.max(initial=0)) + cells
    _, first_rows, item_of_row = np.unique(named, return_index=True, return_inverse=True)
    n_rows = [len(blob_of(BLOCKS, "cells", block.column("cells")[0].as_buffer())) for block in blocks]
    parts = [
        blob_of(BLOCKS, "rows", block.column("rows")[0].as_buffer()) + before
        for block, before in zip(blocks, np.cumsum([0, *n_rows]), strict=False)
    ]
    return item_of_row[np.concatenate(parts)], first_rows


def _as_cells(part: int, cells: Ints, items: Items, settings: CellSettings) -> pa.RecordBatch:
    names = np.arange(settings.first_cells[part], settings.first_cells[part + 1])
    starts = np.searchsorted(cells, np.append(names, settings.first_cells[part + 1]))
    # An item stands once a table; queries are those of the first.
    drawn = np.flatnonzero(
        is_drawn(items.keys, share=settings.drawn_share, seed=settings.seed) & (cells < settings.n_first)
    )
    columns = [
        pa.array(names),
        pa.array(np.diff(starts)),
        list_column(drawn, np.diff(np.searchsorted(drawn, starts))),
    ]
    return pa.RecordBatch.from_arrays(columns, names=CELLS.names)


def _joined(blocks: list[pa.RecordBatch], name: str, vector_type: str = "") -> NDArray[Any]:
    whole = b"".join(block.column(name)[0].as_buffer() for block in blocks)
    return blob_of(BLOCKS, name, whole, vector_type=vector_type)
