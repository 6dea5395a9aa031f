"""Rows of one id → the one that stays: the first in a total order over all columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Ints
from musicrec.catalog.audit import N_KNOWN
from musicrec.songs import TRACK_COLUMNS
from musicrec.spark.arrow import bools, numbers


def keep_winners(songs: pa.Table) -> pa.Table:
    """Return one row for each id, in the order of ids.

    Of the rows with one id the winner knows most features, is the most popular, then first by all columns.

    Parameters
    ----------
    songs : pyarrow.Table
        As `Audited.songs`. The winner of several winners is that of all.
    """
    songs = songs.combine_chunks()
    order = numbers(pc.sort_indices(songs["track_id"])).astype(np.int64)
    ids = songs["track_id"].combine_chunks().take(pa.array(order))
    same = bools(pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1))))
    if same.any():
        twin = np.concatenate([[False], same]) | np.concatenate([same, [False]])
        order[twin] = order[twin][_order_of(songs.take(pa.array(order[twin])))]
        order = order[np.concatenate([[True], ~same])]
    return songs.take(pa.array(order)).combine_chunks()


def _order_of(songs: pa.Table) -> Ints:
    others = [(name, "ascending") for name in TRACK_COLUMNS if name not in ("track_id", "popularity")]
    keys = [("track_id", "ascending"), (N_KNOWN, "descending"), ("popularity", "descending"), *others]
    return numbers(pc.sort_indices(songs, sort_keys=keys))
