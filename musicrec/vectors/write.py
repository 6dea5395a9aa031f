"""Write: the neighbors of items → those of anyone's ids."""

from __future__ import annotations

from pyspark.sql import DataFrame

from musicrec import schemas
from musicrec.context import Context
from musicrec.lists.rank import as_recommendations, rank_songs
from musicrec.neighbors.cells import Cells
from musicrec.storage import datasets
from musicrec.storage.tables import write_table
from musicrec.vectors import ids


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
