"""Write: the neighbors of items → those of anyone's ids."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from musicrec import schemas
from musicrec.arrays import Ints
from musicrec.context import Context
from musicrec.lists.list_files import ListFiles
from musicrec.lists.sort import taken
from musicrec.messages import WRITTEN
from musicrec.spark.tasks import write_each_piece
from musicrec.storage.outputs import staged_neighbors
from musicrec.storage.rows import RowFiles


def write_rows(context: Context, lists: ListFiles, *, whole_ids: bool) -> RowFiles:
    """Write the neighbors of ids that are text, or that share too many vectors, and return the files.

    Parameters
    ----------
    context : Context
    lists : ListFiles
    whole_ids : bool
        The ids are whole numbers, which are their keys.
    """
    with context.stage("write", n_rows=int(lists.numbered.firsts[-1])):
        files = staged_neighbors(context.run)
        make = partial(as_rows, lists, whole_ids=whole_ids)
        write = write_each_piece(make, partial(files.write, repeated=["id"]))
        context.numbers(lists.numbered.n_ranges).mapInArrow(write, WRITTEN).toArrow()
        return files


def as_rows(lists: ListFiles, part: int, *, whole_ids: bool) -> pa.Table:
    """Return the `schemas.VECTOR_NEIGHBORS` of a range of vectors, in order.

    Parameters
    ----------
    lists : ListFiles
    part : int
    whole_ids : bool
        The ids are whole numbers, which are their keys.
    """
    numbered, found = lists.numbered, lists.range(part)
    row, ranks = taken(found)

    def ids(songs: Ints) -> pa.Array:
        return pa.array(numbered.keys(songs)) if whole_ids else numbered.ids(songs)

    columns = [
        ids(numbered.firsts[part] + row),
        pa.array(ranks.astype(np.int32)),
        ids(found.places[row, ranks - 1].astype(np.int64)),
        pa.array(found.scores[row, ranks - 1]),
    ]
    return pa.Table.from_arrays(columns, names=schemas.VECTOR_NEIGHBORS["string"].names)
