"""Songs with ids and keys → ranges of them in the order of their ids, and of their keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from musicrec.arrays import Ints, is_drawn
from musicrec.catalog.numbered import cut_by, each_part, text_arrays, texts_of
from musicrec.messages import KEY_BLOCKS, SONG_BLOCKS, WRITTEN, WRITTEN_KEYS, as_row, blob_of
from musicrec.spark.arrow import gather_batches, numbers
from musicrec.spark.tasks import MAX_BLOCK_ROWS, PIECE_ROWS, Batches, each_block, each_number, joined
from musicrec.storage.array_files import ArrayFiles


def as_drawn(songs: DataFrame, *, share: float, seed: int) -> DataFrame:
    """Return the `track_id, track_key` of a sample of the songs.

    Parameters
    ----------
    songs : DataFrame
        With these columns.
    share : float
        0..1: about so many are drawn, by the hash of their keys.
    seed : int
    """

    def draw(batches: Batches) -> Batches:
        for batch in batches:
            drawn = is_drawn(numbers(batch.column("track_key")), share=share, seed=seed)
            yield batch.filter(pa.array(drawn))

    return songs.select("track_id", "track_key").mapInArrow(draw, "track_id string, track_key long")


def as_song_blocks(songs: DataFrame, *, first_ids: tuple[str, ...], targets: Sequence[int]) -> DataFrame:
    """Return `messages.SONG_BLOCKS`.

    Parameters
    ----------
    songs : DataFrame
        `track_id, track_key`, both unique, and `facts` (array<bigint>).
    first_ids : tuple of str
        The first id of each range but the first, rising.
    targets : sequence of int
        For each range a number that Spark's hash sends to its partition.
    """

    def split(batches: Batches) -> Batches:
        for table in gather_batches(batches, n_rows=PIECE_ROWS):
            ordered = table.take(pc.sort_indices(table["track_id"]))
            ids = ordered["track_id"].combine_chunks()
            for part, first, last in cut_by(ids, first_ids):
                for start in range(first, last, MAX_BLOCK_ROWS):
                    some = ordered.slice(start, min(MAX_BLOCK_ROWS, last - start))
                    offsets, text = text_arrays(some["track_id"].combine_chunks())
                    yield as_row(
                        SONG_BLOCKS, target=targets[part], part=part, offsets=offsets, text=text,
                        keys=numbers(some["track_key"]), facts=numbers(some["facts"].combine_chunks().flatten()),
                    )  # fmt: skip

    return songs.select("track_id", "track_key", "facts").mapInArrow(split, SONG_BLOCKS)


def write_songs(blocks: DataFrame, *, n_ranges: int, files: ArrayFiles) -> DataFrame:
    """Write the songs of each range, in the order of their ids, and return `messages.WRITTEN`.

    Parameters
    ----------
    blocks : DataFrame
        `messages.SONG_BLOCKS`.
    n_ranges : int
    files : ArrayFiles
        Gets `offsets`, `text`, `keys` and `facts` of each range.
    """

    def write(batches: Batches) -> Batches:
        for part, rows in each_block(batches):
            ids = pa.concat_arrays(
                texts_of(*(blob_of(SONG_BLOCKS, name, row[name]) for name in ("offsets", "text"))) for row in rows
            )
            order = pc.sort_indices(ids)
            offsets, text = text_arrays(ids.take(order))
            keys = joined(SONG_BLOCKS, "keys", rows)[numbers(order)]
            facts = joined(SONG_BLOCKS, "facts", rows).reshape(len(keys), -1)[numbers(order)]
            files.write(part, offsets=offsets, text=text, keys=keys, facts=facts)
            yield as_row(WRITTEN, piece=part, n_rows=len(keys))

    return blocks.repartition(n_ranges, "target").mapInArrow(write, WRITTEN)


def as_key_blocks(
    ranges: DataFrame, *, firsts: Ints, songs: ArrayFiles, first_keys: Ints, targets: Sequence[int]
) -> DataFrame:
    """Return `messages.KEY_BLOCKS` of the songs of each range.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges.
    firsts : int64 array, shape (n_ranges + 1,)
        The first number of each range.
    songs : ArrayFiles
        What `write_songs` has written.
    first_keys : int64 array, shape (n_key_ranges - 1,)
        The first key of each range of keys but the first, rising.
    targets : sequence of int
        For each range of keys a number that Spark's hash sends to its partition.
    """

    def split(batches: Batches) -> Batches:
        for part in each_number(batches):
            keys, facts = songs.read(part, "keys", "facts")
            for key_part, rows in each_part(np.searchsorted(first_keys, keys, side="right")):
                for start in range(0, len(rows), MAX_BLOCK_ROWS):
                    some = rows[start : start + MAX_BLOCK_ROWS]
                    yield as_row(
                        KEY_BLOCKS, target=targets[key_part], part=key_part, keys=keys[some],
                        numbers=firsts[part] + some, facts=facts[some],
                    )  # fmt: skip

    return ranges.mapInArrow(split, KEY_BLOCKS)


def write_keys(blocks: DataFrame, *, n_ranges: int, files: ArrayFiles) -> DataFrame:
    """Write the songs of each range of keys, in the order of their keys, and return `messages.WRITTEN_KEYS`.

    Parameters
    ----------
    blocks : DataFrame
        `messages.KEY_BLOCKS`.
    n_ranges : int
    files : ArrayFiles
        Gets `keys`, `numbers` and `facts` of each range.
    """

    def write(batches: Batches) -> Batches:
        for part, rows in each_block(batches):
            keys = joined(KEY_BLOCKS, "keys", rows)
            order = np.argsort(keys)
            n_repeated = int((np.diff(keys[order]) == 0).sum())
            facts = joined(KEY_BLOCKS, "facts", rows).reshape(len(keys), -1)[order]
            files.write(part, keys=keys[order], numbers=joined(KEY_BLOCKS, "numbers", rows)[order], facts=facts)
            yield as_row(WRITTEN_KEYS, piece=part, n_rows=len(keys), n_repeated=n_repeated)

    return blocks.repartition(n_ranges, "target").mapInArrow(write, WRITTEN_KEYS)
