"""Pieces of vectors → cells of items: songs with equal vectors are one item, those of one cell lie together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from musicrec.algorithms.drawing import is_drawn
from musicrec.algorithms.hashing import HashFamily
from musicrec.algorithms.kernel import pair_scores
from musicrec.algorithms.members import Members
from musicrec.algorithms.spaces import Space, as_stored
from musicrec.algorithms.warm import warm_up
from musicrec.arrow import list_column, numbers
from musicrec.schemas import BLOCKS, CELLS, MEMBERS, REPEATED
from musicrec.tasks import Batches

# Rows of a block at most: a row of Spark stays below a megabyte.
MAX_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class CellSettings:
    """How cells are made.

    first_cells (n_parts + 1,) as `CellIndex` has them; `drawn_share` of the items are drawn by hash.
    """

    family: HashFamily
    space: Space
    first_cells: NDArray[np.int64]
    drawn_share: float
    seed: int

    @property
    def n_first(self) -> int:
        """Cells of the first table, which hold each item once."""
        return self.family.n_cells // self.family.n_tables


def as_blocks(
    pieces: DataFrame, *, settings: CellSettings, targets: Sequence[int], read: Callable[[int], Members]
) -> DataFrame:
    """Return `schemas.BLOCKS`: songs of one part, those of a piece together.

    Parameters
    ----------
    pieces : DataFrame
        `id`, the places of pieces in a list that `read` knows.
    settings : CellSettings
    targets : sequence of int
        For each part a number that Spark's hash sends to its partition.
    read : callable
        Returns the songs of a piece.
    """
    return pieces.mapInArrow(_blocker(settings, tuple(targets), read), BLOCKS)


def as_cells(
    blocks: DataFrame,
    *,
    settings: CellSettings,
    write: Callable[[int, Members], None],
    write_repeated: Callable[[int, pa.Table], None],
) -> DataFrame:
    """Write the items of each cell and return `schemas.CELLS`.

    Catalogs are full of songs with equal vectors, and no splitter can divide them: comparing n equal songs would
    cost n squared. They meet in a cell, and become one item there, named by the smallest key.

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


def as_members(embeddings: DataFrame, *, one_per_recording: bool, repeated: DataFrame | None, k: int) -> DataFrame:
    """Return `schemas.MEMBERS`: each song with its item.

    Of an item's songs a list can hold only the first k + 1 recordings by id, one of which may be the query's own.

    Parameters
    ----------
    embeddings : DataFrame
        `schemas.EMBEDDINGS`.
    one_per_recording : bool
    repeated : DataFrame or None
        `schemas.REPEATED`; None where no two vectors are equal.
    k : int
    """
    recording = "recording_key" if one_per_recording else "track_key"
    songs = embeddings.select("track_key", "track_id", F.col(recording).alias("recording_key"))
    alone = {
        "item_key": F.col("track_key"),
        "n_members": F.lit(1).cast("long"),
        "self_score": F.lit(None).cast("float"),
        "position": F.lit(1),
    }
    if repeated is None:
        return songs.withColumns(alone).select(*MEMBERS.names)
    single = songs.join(repeated, on="track_key", how="left_anti").withColumns(alone)
    several = songs.join(repeated, on="track_key", how="inner").transform(lambda rows: _grouped(rows, k=k))
    return single.select(*MEMBERS.names).unionByName(several.select(*MEMBERS.names))


def _grouped(songs: DataFrame, *, k: int) -> DataFrame:
    item = Window.partitionBy("item_key")
    so_far = item.orderBy("track_id").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    of_recording = Window.partitionBy("item_key", "recording_key").orderBy("track_id")
    grouped = songs.withColumns(
        {"is_first": F.row_number().over(of_recording) == 1, "n_members": F.count("*").over(item)}
    )
    place = F.sum(F.col("is_first").cast("int")).over(so_far)
    listed = F.col("is_first") & (place <= k + 1)
    return grouped.withColumn("position", F.when(listed, place).cast("int"))


def _blocker(
    settings: CellSettings, targets: tuple[int, ...], read: Callable[[int], Members]
) -> Callable[[Batches], Batches]:
    def block_batches(batches: Batches) -> Batches:
        warm_up()
        for batch in batches:
            for place in numbers(batch.column("id")).tolist():
                yield from _blocks(read(place), settings, targets)

    return block_batches


def _blocks(songs: Members, settings: CellSettings, targets: tuple[int, ...]) -> Batches:
    vectors, rounded = as_stored(songs.vectors, settings.space.vector_type)
    cells = settings.family.assign(settings.space.as_found(rounded))  # (n, n_tables)
    row = np.repeat(np.arange(len(cells)), cells.shape[1])
    cell = cells.ravel()
    part = np.searchsorted(settings.first_cells[1:-1], cell, side="right")
    order = np.argsort(part, kind="stable")
    ends = np.searchsorted(part[order], np.arange(len(targets) + 1))
    for number, target in enumerate(targets):
        for first in range(int(ends[number]), int(ends[number + 1]), MAX_BLOCK_ROWS):
            some = order[first : min(first + MAX_BLOCK_ROWS, int(ends[number + 1]))]
            arrays = (cell[some], songs.keys[row[some]], songs.recordings[row[some]], vectors[row[some]])
            yield _as_batch(target, number, arrays)


def _as_batch(target: int, part: int, arrays: tuple[NDArray[np.generic], ...]) -> pa.RecordBatch:
    columns = [
        pa.array([target], type=pa.int32()),
        pa.array([part], type=pa.int32()),
        *[pa.array([array.tobytes()], type=pa.binary()) for array in arrays],
    ]
    return pa.RecordBatch.from_arrays(columns, names=BLOCKS.names)


def _former(
    settings: CellSettings,
    write: Callable[[int, Members], None],
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


def _form(blocks: list[pa.RecordBatch], settings: CellSettings) -> tuple[NDArray[np.int64], Members, pa.Table]:
    """Return the cells of the items of a part, the items, and the songs that share them."""
    vector_type = settings.space.vector_type
    cells, keys, recordings = (_joined(blocks, name, "<i8") for name in ("cells", "keys", "recordings"))
    vectors = _joined(blocks, "vectors", vector_type).reshape(len(keys), -1)
    blocks.clear()
    order, first = _equal_together(cells, keys, vectors)
    starts = np.flatnonzero(first)
    n_members = np.diff(np.append(starts, len(order)))
    item_keys = keys[order[starts]]
    # Of one recording, or of several: then the item is a recording of its own.
    lowest = np.minimum.reduceat(recordings[order], starts)
    highest = np.maximum.reduceat(recordings[order], starts)
    by_cell = np.lexsort((item_keys, cells[order[starts]]))
    rows = order[starts][by_cell]
    items = Members(keys[rows], np.where(lowest == highest, lowest, item_keys)[by_cell], vectors[rows])
    # A song stands once a table; repeated songs are those of the first.
    shared = (np.repeat(n_members, n_members) > 1) & (cells[order] < settings.n_first)
    sharing = order[shared]
    repeated = pa.table(
        [
            keys[sharing],
            np.repeat(item_keys, n_members)[shared],
            pair_scores(vectors[sharing], vectors[sharing], settings.space),
        ],
        names=REPEATED.names,
    )
    return cells[rows], items, repeated


def _as_cells(part: int, cells: NDArray[np.int64], items: Members, settings: CellSettings) -> pa.RecordBatch:
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


def _equal_together(
    cells: NDArray[np.int64], keys: NDArray[np.int64], vectors: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return an order in which equal vectors of a cell follow each other by key, and which are the first."""
    bits = np.ascontiguousarray(vectors).view(np.uint16)
    factors = np.random.default_rng(1).integers(0, 2**63, bits.shape[1], dtype=np.uint64) * 2 + 1
    hashes = np.zeros(len(bits), dtype=np.uint64)
    for column, factor in zip(bits.T, factors, strict=True):
        hashes += (column.astype(np.uint64) + np.uint64(1)) * factor
    order = np.lexsort((keys, hashes, cells))
    here, before = order[1:], order[:-1]
    same = (cells[here] == cells[before]) & (hashes[here] == hashes[before])
    # Two vectors with one hash are hardly ever different; where they are, they are two items.
    pairs = np.flatnonzero(same)
    same[pairs] = (bits[here[pairs]] == bits[before[pairs]]).all(axis=1)
    return order, np.append(True, ~same)[: len(order)]


def _joined(blocks: list[pa.RecordBatch], name: str, kind: str) -> NDArray[Any]:
    return np.frombuffer(b"".join(block.column(name)[0].as_buffer() for block in blocks), dtype=kind)
