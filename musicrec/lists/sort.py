"""Sort: lists → recommendations as they will be published, in files that query engines read in one go."""

from __future__ import annotations

from pyspark.sql import DataFrame

from musicrec.catalog.clean import Catalog
from musicrec.context import Context
from musicrec.lists.rank import as_recommendations
from musicrec.storage import datasets

# Rows of a published file: a few dozen MB.
ROWS_PER_FILE = 1_000_000


def write_recommendations(context: Context, catalog: Catalog, lists: DataFrame) -> DataFrame:
    """Write `schemas.RECOMMENDATIONS`, sorted by track_id and rank, and return it.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    lists : DataFrame
        `schemas.LISTS`.
    """
    with context.stage("sort", n_rows=catalog.n_tracks):
        # Sorted as whole lists, a tenth of the rows; from files, because range partitioning reads its input twice.
        n_files = count_files(catalog.n_tracks * context.config.neighbors.k)
        ordered = lists.repartitionByRange(n_files, "track_id").sortWithinPartitions("track_id")
        return context.write(as_recommendations(ordered), datasets.RECOMMENDATIONS)


def count_files(n_rows: int) -> int:
    """Return into how many files so many published rows go."""
    return max(1, -(-n_rows // ROWS_PER_FILE))
