"""Songs that share an item, by their numbers: those with equal vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.arrays import Bools, Floats, Ints, concatenate_ranges
from musicrec.catalog.key_search import NOWHERE, find_keys
from musicrec.catalog.numbered import Numbered, each_part
from musicrec.lists.nearest import SongRows
from musicrec.messages import MEMBER_BLOCKS, WRITTEN, as_row
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import MAX_BLOCK_ROWS, Batches, each_block, each_number, joined
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.rows import RowFiles

# The songs of an item, and those of them that a list can hold.
ALL, LISTED = ("starts", "songs", "recordings"), ("listed_starts", "listed", "listed_recordings")


@dataclass(frozen=True)
class Members:
    """Items of several songs, by range of numbers of the song that names the item.

    The files of a range have its `items` (numbers, rising), with `self_scores`, the score of two songs of one, and
    the songs of each in the order of their numbers: `ALL`, and `LISTED`, of each recording the first, and of
    those only as many as a list can hold. `parts` are the ranges that have any.
    """

    files: ArrayFiles
    parts: frozenset[int]
    numbered: Numbered

    def expand(self, items: Ints, recordings: Ints, *, columns: tuple[str, ...]) -> SongRows:
        """Return the songs of each item: one that is in no file is a song by itself, with its recording.

        Parameters
        ----------
        items, recordings : int64 arrays, shape (n,)
            Numbers of the songs that name the items, and their recordings.
        columns : tuple of str
            `ALL` or `LISTED`.
        """
        lengths = np.ones(len(items), dtype=np.int64)
        found = list(self._find(items, columns))
        for rows, place, (starts, *_) in found:
            lengths[rows] = np.diff(starts)[place]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        songs, song_recordings = np.repeat(items, lengths), np.repeat(recordings, lengths)
        for rows, place, (own_starts, own_songs, own_recordings) in found:
            target, source = (
                concatenate_ranges(first, lengths[rows]) for first in (starts[rows], own_starts[place])
            )
            songs[target], song_recordings[target] = own_songs[source], own_recordings[source]
        return SongRows(starts, songs, song_recordings)

    def self_scores(self, items: Ints) -> Floats:
        """Return the score of two songs of each item (n,), NaN for one that is a song by itself."""
        scores = np.full(len(items), np.nan, dtype=np.float32)
        for rows, place, (column,) in self._find(items, ("self_scores",)):
            scores[rows] = column[place]
        return scores

    def _find(self, items: Ints, columns: tuple[str, ...]) -> Iterator[tuple[Ints, Ints, list[NDArray[Any]]]]:
        """Yield by range the rows of items that several songs share, where they stand there, and the columns."""
        for part, rows in each_part(self.numbered.range_of(items)):
            if part in self.parts:
                known, *found = self.files.read(part, "items", *columns)
                place = find_keys(known, items[rows])
                is_here = place != NOWHERE
                yield rows[is_here], place[is_here], found


def as_member_blocks(
    pieces: DataFrame,
    *,
    repeated: RowFiles,
    numbers_of: Sequence[int],
    numbered: Numbered,
    targets: Sequence[int],
) -> DataFrame:
    """Return `messages.MEMBER_BLOCKS` of the songs that share an item.

    Parameters
    ----------
    pieces : DataFrame
        `id`, of `numbers_of`.
    repeated : RowFiles
        `schemas.REPEATED`, in pieces of these numbers.
    numbers_of : sequence of int
    numbered : Numbered
    targets : sequence of int
        For each range a number that Spark's hash sends to its partition.
    """

    def split(batches: Batches) -> Batches:
        for piece in each_number(batches):
            table = repeated.read_piece(numbers_of[piece])
            songs, recordings = numbered.of_keys(numbers(table["track_key"]))
            items, _ = numbered.of_keys(numbers(table["item_key"]))
            scores = numbers(table["self_score"])
            for part, rows in each_part(numbered.range_of(items)):
                for start in range(0, len(rows), MAX_BLOCK_ROWS):
                    some = rows[start : start + MAX_BLOCK_ROWS]
                    yield as_row(
                        MEMBER_BLOCKS, target=targets[part], part=part, items=items[some], songs=songs[some],
                        recordings=recordings[some], scores=scores[some],
                    )  # fmt: skip

    return pieces.mapInArrow(split, MEMBER_BLOCKS)


def write_members(blocks: DataFrame, *, n_ranges: int, k: int, files: ArrayFiles) -> DataFrame:
    """Write the items of each range, as `Members` says, and return `messages.WRITTEN`.

    Parameters
    ----------
    blocks : DataFrame
        `messages.MEMBER_BLOCKS`.
    n_ranges, k : int
    files : ArrayFiles
    """

    def write(batches: Batches) -> Batches:
        for part, rows in each_block(batches):
            items, songs, recordings, scores = (
                joined(MEMBER_BLOCKS, name, rows) for name in ("items", "songs", "recordings", "scores")
            )
            order = np.lexsort((songs, items))
            items, songs, recordings = items[order], songs[order], recordings[order]
            names, firsts = np.unique(items, return_index=True)
            listed = is_listed(items, recordings, k=k)
            files.write(
                part, items=names, self_scores=scores[order][firsts],
                starts=np.append(firsts, len(songs)), songs=songs, recordings=recordings,
                listed_starts=np.concatenate([[0], np.cumsum(np.add.reduceat(listed, firsts, dtype=np.int64))]),
                listed=songs[listed], listed_recordings=recordings[listed],
            )  # fmt: skip
            yield as_row(WRITTEN, piece=part, n_rows=len(songs))

    return blocks.repartition(n_ranges, "target").mapInArrow(write, WRITTEN)


def is_listed(items: Ints, recordings: Ints, *, k: int) -> Bools:
    """Return which songs a list can hold: of each item and recording the first, and of those the first k + 1.

    One of them may be of the query's own recording.

    Parameters
    ----------
    items, recordings : int64 arrays, shape (n,)
        Of the songs: items rise, and those of one item are in order.
    k : int
    """
    order = np.lexsort((np.arange(len(items)), recordings, items))
    is_first = np.ones(len(items), dtype=bool)
    same = (items[order][1:] == items[order][:-1]) & (recordings[order][1:] == recordings[order][:-1])
    is_first[order[1:][same]] = False
    n_so_far = np.cumsum(is_first)
    starts = np.searchsorted(items, items)
    n_before = n_so_far[starts] - is_first[starts]
    listed: Bools = is_first & (n_so_far - n_before <= k + 1)
    return listed
