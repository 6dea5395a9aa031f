"""Songs in pieces → those of one title together → which song is a release of which, by range of ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from musicrec.arrays import Ints, concatenate_ranges
from musicrec.catalog.audit import OTHER_NAMES, TITLE_KEY
from musicrec.catalog.names import Parts
from musicrec.catalog.numbered import cut_by, each_part
from musicrec.catalog.recordings import Named, find_recordings, identify, pack_sounds
from musicrec.messages import NAME_BLOCKS, RELEASE_BLOCKS, as_row
from musicrec.songs import SHARES
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import MAX_BLOCK_ROWS, Batches, each_block, each_number, joined
from musicrec.storage.arrow_files import ArrowFiles

NAME_COLUMNS = ("track_key", "recording_key", TITLE_KEY, OTHER_NAMES, "duration_ms", *SHARES)


def as_name_blocks(
    ranges: DataFrame,
    *,
    pieces: Sequence[int],
    first_ids: tuple[str, ...],
    songs: ArrowFiles,
    targets: Sequence[int],
) -> DataFrame:
    """Return `messages.NAME_BLOCKS` of the songs that have a name.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the positions of `pieces`.
    pieces : sequence of int
        That have songs.
    first_ids : tuple of str
        The first id of each range but the first, rising.
    songs : ArrowFiles
        `messages.AUDITED_SONGS`, in the order of ids.
    targets : sequence of int
        For each part of the titles a number that Spark's hash sends to its partition.
    """

    def split(batches: Batches) -> Batches:
        for position in each_number(batches):
            table = songs.read(pieces[position])
            ids = np.zeros(len(table), dtype=np.int64)
            for part, first, last in cut_by(table["track_id"].chunk(0), first_ids):
                ids[first:last] = part
            yield from _split(table.select(NAME_COLUMNS), ids, targets)
            if position == 0:
                # However few songs have a name, the first part has a task, and so has each range of ids.
                yield from _as_blocks(_no_songs(), 0, targets[0], np.empty(0, dtype=np.int64))

    return ranges.mapInArrow(split, NAME_BLOCKS)


def as_releases(blocks: DataFrame, *, n_parts: int, targets: Sequence[int]) -> DataFrame:
    """Return `messages.RELEASE_BLOCKS`, at least one for each range.

    Parameters
    ----------
    blocks : DataFrame
        `messages.NAME_BLOCKS`.
    n_parts : int
        Of the titles.
    targets : sequence of int
        For each range of ids a number that Spark's hash sends to its partition.
    """

    def find(batches: Batches) -> Batches:
        for part, rows in each_block(batches):
            songs, ranges = _joined_songs(rows), joined(NAME_BLOCKS, "ranges", rows)
            recordings, known = find_recordings(songs), identify(songs.keys, songs.names)
            several = np.flatnonzero(recordings != known)
            some = dict(each_part(ranges[several].astype(np.int64)))
            for number in range(len(targets)) if part == 0 else sorted(some):
                found = several[some.get(number, np.empty(0, dtype=np.int64))]
                for start in range(0, max(1, len(found)), MAX_BLOCK_ROWS):
                    few = found[start : start + MAX_BLOCK_ROWS]
                    yield as_row(
                        RELEASE_BLOCKS, target=targets[number], part=number,
                        songs=known[few], recordings=recordings[few],
                    )  # fmt: skip

    return blocks.repartition(n_parts, "target").mapInArrow(find, RELEASE_BLOCKS)


def with_recordings(songs: pa.Table, known: Ints, recordings: Ints) -> pa.Table:
    """Return songs with the keys of their recordings in place of their names.

    Parameters
    ----------
    songs : pyarrow.Table
        `messages.AUDITED_SONGS`.
    known, recordings : int64 array, shape (n,)
        Songs by `identify`, and their recordings. Any other song names its recording.
    """
    found = identify(*(numbers(songs[name]) for name in ("track_key", "recording_key")))
    order = np.argsort(known)
    if len(order):
        place = np.searchsorted(known, found, sorter=order)
        row = order[np.minimum(place, len(order) - 1)]
        found = np.where(known[row] == found, recordings[row], found)
    at = songs.schema.get_field_index("recording_key")
    return songs.set_column(at, "recording_key", pa.array(found))


def named(table: pa.Table) -> Named:
    """Return the names, lengths and sounds of `messages.AUDITED_SONGS`."""
    others = table[OTHER_NAMES].combine_chunks()
    counts = numbers(pc.list_value_length(others)).astype(np.int64)
    lengths = numbers(pc.fill_null(table["duration_ms"], 0.0)).astype(np.int32)
    shares = np.stack([numbers(table[name]).astype(np.float64) for name in SHARES], axis=1)
    hashes = Parts(np.concatenate([[0], np.cumsum(counts)]), numbers(pc.list_flatten(others)))
    keys, names = (numbers(table[name]) for name in ("track_key", "recording_key"))
    return Named(keys, names, hashes, lengths, pack_sounds(shares))


def _split(table: pa.Table, ranges: Ints, targets: Sequence[int]) -> Batches:
    rows = np.flatnonzero(numbers(table["track_key"]) != numbers(table["recording_key"]))
    some = table.take(pa.array(rows)).combine_chunks()
    songs, titles = named(some), numbers(some[TITLE_KEY]).view(np.uint64)
    for part, few in each_part((titles % np.uint64(len(targets))).astype(np.int64)):
        for start in range(0, len(few), MAX_BLOCK_ROWS):
            block = few[start : start + MAX_BLOCK_ROWS]
            yield from _as_blocks(_taken(songs, block), part, targets[part], ranges[rows[block]])


def _as_blocks(songs: Named, part: int, target: int, ranges: Ints) -> Iterator[pa.RecordBatch]:
    yield as_row(
        NAME_BLOCKS, target=target, part=part, keys=songs.keys, names=songs.names, lengths=songs.lengths,
        sounds=songs.sounds, ranges=ranges, n_others=np.diff(songs.others.starts), others=songs.others.hashes,
    )  # fmt: skip


def _joined_songs(rows: list[dict[str, object]]) -> Named:
    keys, names, lengths, sounds, n_others, others = (
        joined(NAME_BLOCKS, name, rows) for name in ("keys", "names", "lengths", "sounds", "n_others", "others")
    )
    starts = np.concatenate([[0], np.cumsum(n_others, dtype=np.int64)])
    return Named(keys, names, Parts(starts, others), lengths, sounds)


def _taken(songs: Named, rows: Ints) -> Named:
    starts, n_others = songs.others.starts[rows], np.diff(songs.others.starts)[rows]
    others = songs.others.hashes[concatenate_ranges(starts, n_others)]
    parts = Parts(np.concatenate([[0], np.cumsum(n_others)]), others)
    return Named(songs.keys[rows], songs.names[rows], parts, songs.lengths[rows], songs.sounds[rows])


def _no_songs() -> Named:
    none = np.empty(0, dtype=np.int64)
    return Named(none, none, Parts(np.zeros(1, dtype=np.int64), none), none.astype(np.int32), none)
