"""Lists that stayed short → the same, of all items: the cells that one asks may hold too few that rules allow."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from musicrec.arrays import Ints
from musicrec.context import Context
from musicrec.messages import WRITTEN
from musicrec.neighbors.cells import Cells, gather_items
from musicrec.neighbors.join_tasks import Found, as_neighbors
from musicrec.neighbors.search.top_k import Lists
from musicrec.neighbors.truth import asking_points, search_cells
from musicrec.spark.tasks import write_each_piece
from musicrec.storage.rows import RowFiles

# Items that are compared with all at most, about as many as those of which the truth is found. Where more lists
# are short the rules leave too little for any search.
MAX_COMPLETED = 2000


def complete_lists(context: Context, cells: Cells, short: Ints, *, units: Ints, k: int, files: RowFiles) -> None:
    """Write the lists of some items anew.

    Parameters
    ----------
    context : Context
    cells : Cells
    short : int64 array, shape (n,)
        Rows of the items whose lists are short, rising.
    units : int64 array, shape (n_units + 1,)
        The first row of each unit.
    k : int
    files : RowFiles
        `schemas.NEIGHBORS`, by unit.
    """
    rows = short[:: max(1, -(-len(short) // MAX_COMPLETED))]
    if not len(rows):
        return
    queries = gather_items(context, cells.read, cells.index, rows, space=cells.settings.space)
    asking, everywhere = asking_points(queries, cells.settings.space), np.full(len(queries), np.inf)
    lists, _ = search_cells(context, cells, queries, asking, everywhere, leaders=None, k=k)
    unit = np.searchsorted(units, rows, side="right") - 1
    numbers = np.unique(unit).tolist()

    def completed(i: int) -> pa.Table:
        some = np.flatnonzero(unit == numbers[i])
        found = Found(queries.keys[some], 0, Lists(lists.keys[some], lists.groups[some], lists.scores[some]))
        before = files.read_piece(numbers[i])
        order = np.arange(before.num_rows)
        order[rows[some] - units[numbers[i]]] = before.num_rows + np.arange(len(some))
        both = pa.concat_tables([before, as_neighbors(found).cast(before.schema)])
        return both.take(pa.array(order)).combine_chunks()

    # A second attempt reads what the first one wrote, and writes the same.
    write = write_each_piece(completed, lambda i, found: files.write(numbers[i], found))
    context.numbers(len(numbers)).mapInArrow(write, WRITTEN).toArrow()
