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
    ordered = songs.take(pc.sort_indices(songs["track_id"])).combine_chunks()
    if len(ordered) < 2:
        return ordered
    ids = ordered["track_id"].combine_chunks()
    same = bools(pc.equal(ids.slice(1), ids.slice(0, len(ids) - 1)))
    if same.any():
        twin = np.concatenate([[False], same]) | np.concatenate([same, [False]])
        order = np.arange(len(ordered))
        order[twin] = np.flatnonzero(twin)[_order_of(ordered.filter(pa.array(twin)))]
        is_first = np.concatenate([[True], ~same])
        ordered = ordered.take(pa.array(order[is_first])).combine_chunks()
    return ordered


def _order_of(songs: pa.Table) -> Ints:
    others = [(name, "ascending") for name in TRACK_COLUMNS if name not in ("track_id", "popularity")]
    keys = [("track_id", "ascending"), (N_KNOWN, "descending"), ("popularity", "descending"), *others]
    return numbers(pc.sort_indices(songs, sort_keys=keys))
