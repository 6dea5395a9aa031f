"""Number: songs in the order of their ids → their numbers, and where each key's number stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame

from musicrec.arrays import Ints
from musicrec.catalog import number_tasks
from musicrec.catalog.numbered import Numbered
from musicrec.context import Context
from musicrec.errors import InputError
from musicrec.spark.arrow import numbers
from musicrec.spark.partitions import partition_targets
from musicrec.spark.tasks import PIECE_ROWS
from musicrec.storage import datasets
from musicrec.storage.array_files import ArrayFiles

# Rows of a published file: a few dozen MB.
ROWS_PER_FILE = 1_000_000
# Songs of a range at least, however long the lists: a task should have something to do.
MIN_RANGE_SONGS = 20_000
# Drawn songs from which the borders of a range come.
N_DRAWN_PER_RANGE = 200


@dataclass(frozen=True)
class Ordered:
    """Songs in the order of their ids.

    Attributes
    ----------
    files : ArrayFiles
        By range: what `Numbered.songs` has.
    firsts : int64 array, shape (n_ranges + 1,)
        The number of the first song of each range, and how many songs there are.
    first_ids : tuple of str
        The first id of each range but the first.
    drawn_keys : int64 array, shape (n_drawn,)
        Keys of a sample.
    """

    files: ArrayFiles
    firsts: Ints
    first_ids: tuple[str, ...]
    drawn_keys: Ints


def write_numbers(context: Context, songs: Ordered) -> Numbered:
    """Give all songs their numbers, and write the number of each key.

    Raises
    ------
    InputError
        Two songs have one key.
    """
    with context.stage("number", n_rows=int(songs.firsts[-1])):
        return _write_keys(context, songs)


def write_vector_numbers(context: Context, songs: DataFrame, *, n_songs: int) -> Numbered:
    """Give songs that stand in no order their numbers.

    Parameters
    ----------
    context : Context
    songs : DataFrame
        `track_id, track_key`, both unique, and `facts` (array<bigint>).
    n_songs : int
    """
    with context.stage("number", n_rows=n_songs):
        return _write_keys(context, _order_songs(context, songs, n_songs=n_songs))


def choose_borders(ids: Sequence[str], *, n_songs: int, k: int) -> tuple[str, ...]:
    """Return the first id of each range but the first.

    Parameters
    ----------
    ids : sequence of str
        Of drawn songs, in any order.
    n_songs : int
    k : int
        Places of a list: a range is what a file of lists holds.
    """
    ordered = sorted(set(ids))
    n_ranges = count_ranges(n_songs, k=k)
    # The first one drawn is in the first range, so none is empty.
    places = {i * len(ordered) // n_ranges for i in range(1, n_ranges)} - {0}
    return tuple(ordered[place] for place in sorted(places))


def count_ranges(n_songs: int, *, k: int) -> int:
    """Return into how many ranges so many songs go."""
    return max(1, -(-n_songs // max(MIN_RANGE_SONGS, min(PIECE_ROWS, ROWS_PER_FILE // k))))


def _order_songs(context: Context, songs: DataFrame, *, n_songs: int) -> Ordered:
    k, files = context.config.neighbors.k, context.arrays(datasets.NUMBERED)
    ids, keys = [], np.empty(0, dtype=np.int64)
    if (n_ranges := count_ranges(n_songs, k=k)) > 1:
        share = N_DRAWN_PER_RANGE * n_ranges / n_songs
        drawn = number_tasks.as_drawn(songs, share=share, seed=context.config.model.seed).toArrow()
        ids, keys = drawn["track_id"].to_pylist(), numbers(drawn["track_key"])
    first_ids = choose_borders(ids, n_songs=n_songs, k=k)
    targets = partition_targets(len(first_ids) + 1)
    blocks = number_tasks.as_song_blocks(songs, first_ids=first_ids, targets=targets)
    written = number_tasks.write_songs(blocks, n_ranges=len(targets), files=files).toArrow().sort_by("piece")
    return Ordered(files, np.concatenate([[0], np.cumsum(numbers(written["n_rows"]))]), first_ids, keys)


def _write_keys(context: Context, songs: Ordered) -> Numbered:
    n_ranges, files = len(songs.firsts) - 1, context.arrays(datasets.NUMBERED_KEYS)
    # Each once and in order, and the least of them in the first range: none is empty, whichever key is asked for.
    drawn = np.unique(songs.drawn_keys)
    places = np.unique(np.arange(1, n_ranges) * len(drawn) // n_ranges)
    first_keys = drawn[places[places > 0]]
    targets = partition_targets(len(first_keys) + 1)
    blocks = number_tasks.as_key_blocks(
        context.numbers(n_ranges), firsts=songs.firsts, songs=songs.files, first_keys=first_keys, targets=targets
    )
    written = number_tasks.write_keys(blocks, n_ranges=len(targets), files=files).toArrow()
    if n_repeated := sum(written["n_repeated"].to_pylist()):
        raise InputError(
            f"{n_repeated} different ids share a 64-bit hash", todo="rename one of them, e.g. with a prefix"
        )
    return Numbered(songs.files, files, songs.firsts, songs.first_ids, first_keys)
