"""Sort: lists of numbers → recommendations as they will be published, by the order of ids."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from musicrec.arrays import NO_SONG, Ints
from musicrec.context import Context
from musicrec.lists.list_files import ListFiles
from musicrec.lists.nearest import Places
from musicrec.messages import RECORDED
from musicrec.schemas import RECOMMENDATIONS
from musicrec.spark.tasks import records_in, write_recorded_pieces
from musicrec.storage import datasets
from musicrec.storage.rows import FileRecord


def write_recommendations(context: Context, lists: ListFiles) -> list[FileRecord]:
    """Write `schemas.RECOMMENDATIONS`, by track_id and rank, a file for each range; return the files' records."""
    numbered = lists.numbered
    with context.stage("sort", n_rows=int(numbered.firsts[-1])):
        files = context.files(datasets.RECOMMENDATIONS)
        write = write_recorded_pieces(
            partial(as_recommendations, lists), partial(files.write_recorded, repeated=["track_id"])
        )
        return records_in(context.numbers(numbered.n_ranges).mapInArrow(write, RECORDED).toArrow())


def as_recommendations(lists: ListFiles, part: int) -> pa.Table:
    """Return the `schemas.RECOMMENDATIONS` of a range of songs, in order."""
    found = lists.range(part)
    row, ranks = taken(found)
    columns = [
        lists.numbered.ids_of(part).take(pa.array(row)),
        pa.array(ranks.astype(np.int32)),
        lists.numbered.ids(found.places[row, ranks - 1].astype(np.int64)),
        pa.array(found.scores[row, ranks - 1]),
    ]
    return pa.Table.from_arrays(columns, names=RECOMMENDATIONS.names)


def taken(lists: Places) -> tuple[Ints, Ints]:
    """Return the row and the rank, from 1, of each place that a song has, in order."""
    row, place = np.nonzero(lists.places != NO_SONG)
    return row, place + 1
