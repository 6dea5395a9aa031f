"""Number: songs → their numbers, in the order of their ids, and where each key's number stands."""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame

from musicrec.arrays import Ints
from musicrec.context import Context
from musicrec.lists import number_tasks
from musicrec.lists.numbered import Numbered
from musicrec.spark.arrow import numbers
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets

# Rows of a published file: a few dozen MB.
ROWS_PER_FILE = 1_000_000
# Songs of a range at least, however long the lists: a task should have something to do.
MIN_RANGE_SONGS = 20_000
# Drawn songs from which the borders of a range come.
N_DRAWN_PER_RANGE = 200


def write_numbers(context: Context, songs: DataFrame, *, n_songs: int) -> Numbered:
    """Give all songs their numbers.

    Parameters
    ----------
    context : Context
    songs : DataFrame
        `track_id, track_key, recording_key`, the first two unique.
    n_songs : int
    """
    with context.stage("number", n_rows=n_songs):
        by_id, by_key = context.arrays(datasets.NUMBERED), context.arrays(datasets.NUMBERED_KEYS)
        first_ids, first_keys = _borders(context, songs, n_songs=n_songs)
        n_ranges, n_key_ranges = len(first_ids) + 1, len(first_keys) + 1
        blocks = number_tasks.as_song_blocks(songs, first_ids=first_ids, targets=partition_targets(n_ranges))
        written = number_tasks.write_songs(blocks, n_ranges=n_ranges, files=by_id).toArrow().sort_by("piece")
        firsts = np.concatenate([[0], np.cumsum(numbers(written["n_rows"]))])
        key_blocks = number_tasks.as_key_blocks(
            context.numbers(n_ranges), firsts=firsts, songs=by_id, first_keys=first_keys,
            targets=partition_targets(n_key_ranges),
        )  # fmt: skip
        number_tasks.write_keys(key_blocks, n_ranges=n_key_ranges, files=by_key).toArrow()
        return Numbered(by_id, by_key, firsts, first_ids, first_keys)


def _borders(context: Context, songs: DataFrame, *, n_songs: int) -> tuple[tuple[str, ...], Ints]:
    """Return the first id and the first key of each range but the first; the songs alone decide them."""
    n_ranges = -(-n_songs // max(MIN_RANGE_SONGS, ROWS_PER_FILE // context.config.neighbors.k))
    if n_ranges == 1:
        return (), np.empty(0, dtype=np.int64)
    share = N_DRAWN_PER_RANGE * n_ranges / n_songs
    drawn = number_tasks.as_drawn(songs, share=share, seed=context.config.model.seed).toArrow()
    ids, keys = np.array(sorted(drawn["track_id"].to_pylist()), dtype=object), np.sort(numbers(drawn["track_key"]))
    places = np.unique(np.arange(1, n_ranges) * len(ids) // n_ranges)
    # The first one drawn is in the first range, so none is empty.
    places = places[places > 0]
    return tuple(ids[places].tolist()), keys[places]
