"""Write: the neighbors of items → those of anyone's ids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pyspark.sql import DataFrame

from musicrec import schemas
from musicrec.context import Context
from musicrec.lists.rank import as_recommendations, rank_songs
from musicrec.neighbors.cells import Cells
from musicrec.neighbors.join_tasks import Found
from musicrec.spark.arrow import numbers
from musicrec.storage import datasets
from musicrec.storage.rows import RowFiles
from musicrec.storage.tables import write_table
from musicrec.vectors import ids
from musicrec.vectors.shared_items import Shared, expand, make_shared

# Songs that share their vector with others: 24 bytes each, for every task.
MAX_SHARED = 5_000_000


def row_writer(files: RowFiles, shared: Shared, k: int) -> Callable[[int, Found], None]:
    """Return what stores the lists of a unit as rows, where a key is an id: tasks write what is published.

    Parameters
    ----------
    files : RowFiles
    shared : Shared
        Of all songs.
    k : int
        Rows of a song.
    """

    def write(unit: int, found: Found) -> None:
        files.write(unit, ids.as_row_table(expand(found.keys, found.lists, shared, k=k)))

    return write


def write_rows(context: Context, rows: DataFrame, embeddings: DataFrame, cells: Cells) -> DataFrame:
    """Write the neighbors of ids that are text, or that share too many vectors, and return them.

    Parameters
    ----------
    context : Context
    rows : DataFrame
        `id, vector`.
    embeddings : DataFrame
        What `ids.as_embeddings` makes of them.
    cells : Cells
        Of which the join has written the neighbors.
    """
    with context.stage("write", n_rows=cells.n_songs):
        lists = rank_songs(context, embeddings, cells)
        found = ids.as_rows(as_recommendations(lists), whole_ids=ids.has_whole_ids(rows))
        schema = schemas.VECTOR_NEIGHBORS[found.schema["id"].dataType.simpleString()]
        return write_table(found, context.run.path(datasets.STAGED_NEIGHBORS), schema=schema)


def shared_items(cells: Cells) -> Shared | None:
    """Return what songs share, None where that is too much to send to every task."""
    if cells.n_repeated > MAX_SHARED:
        return None
    if not cells.n_repeated:
        nothing = np.empty(0, dtype=np.int64)
        return make_shared(nothing, nothing, np.empty(0, dtype=np.float32))
    table = cells.repeated.read()
    return make_shared(*(numbers(table.column(name)) for name in ("track_key", "item_key", "self_score")))
