"""Pack and bucket: embeddings → items in the cells of a hash, on disk."""

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

from musicrec.algorithms.layout import CellIndex, CellReader
from musicrec.algorithms.members import Members, concatenate
from musicrec.algorithms.spaces import Frame, Space
from musicrec.arrow import numbers
from musicrec.pipeline.context import Context
from musicrec.pipeline.planning import plan_cells, sample_share
from musicrec.stages import bucket, pack
from musicrec.stages.bucket import CellSettings
from musicrec.storage.cells import CellFiles
from musicrec.storage.rows import RowFiles
from musicrec.storage.session import partition_targets


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
        files, repeated = CellFiles(Path(context.run.table("items"))), context.files("repeated")
        read, names = pieces.files.read, pieces.numbers
        blocks = bucket.as_blocks(
            context.tasks(len(names)),
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
        # Two rows of one key and one vector share the item that the key names.
        if _has_equal(songs):
            return True
    return _has_equal(np.concatenate(keys))


def _has_equal(keys: NDArray[np.int64]) -> bool:
    ordered = np.sort(keys)
    return bool((ordered[1:] == ordered[:-1]).any())


def _drawn(cells: CellReader, index: CellIndex, found: pa.Table, *, n_items: int, n_wanted: int) -> Members:
    """Return the items of the sample by rising key.

    Songs are drawn by their hash. Where few are items, because most songs share theirs, that draws too few: then
    items are taken evenly.
    """
    parts = np.searchsorted(index.first_cells, numbers(found.column("cell")), side="right") - 1
    firsts = index.starts[index.first_cells][parts]
    drawn = [
        first + np.array(rows)
        for first, rows in zip(firsts, found.column("drawn").to_pylist(), strict=True)
        if rows
    ]
    n_least = min(n_items, n_wanted)
    even = np.unique(np.linspace(0, n_items - 1, n_least).astype(np.int64))
    rows = np.sort(np.concatenate(drawn)) if 2 * sum(map(len, drawn)) >= n_least else even
    items = concatenate([cells.rows(row, row + 1) for row in rows.tolist()])
    return items.take(np.argsort(items.keys))
