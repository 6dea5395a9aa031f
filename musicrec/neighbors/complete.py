"""Lists that stayed short → the same, of all items: the cells that one asks may hold too few that rules allow."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from musicrec.arrays import Ints
from musicrec.context import Context
from musicrec.neighbors.cells import Cells
from musicrec.neighbors.join_tasks import Found, as_neighbors
from musicrec.neighbors.search.index import CellReader
from musicrec.neighbors.search.items import concatenate
from musicrec.neighbors.search.top_k import Lists
from musicrec.neighbors.truth import asking_points, search_cells
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
    reader = CellReader(cells.read, cells.index)
    queries = concatenate([reader.rows(row, row + 1) for row in rows.tolist()])
    asking, everywhere = asking_points(queries, cells.settings.space), np.full(len(queries), np.inf)
    lists, _ = search_cells(context, cells, queries, asking, everywhere, leaders=None, k=k)
    unit = np.searchsorted(units, rows, side="right") - 1
    for number in np.unique(unit).tolist():
        some = np.flatnonzero(unit == number)
        found = Found(queries.keys[some], 0, Lists(lists.keys[some], lists.groups[some], lists.scores[some]))
        before = files.read_piece(number)
        order = np.arange(before.num_rows)
        order[rows[some] - units[number]] = before.num_rows + np.arange(len(some))
        both = pa.concat_tables([before, as_neighbors(found).cast(before.schema)])
        files.write(number, both.take(pa.array(order)).combine_chunks())
