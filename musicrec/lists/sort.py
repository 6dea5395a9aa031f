"""Rank, favorites and the checks on what was written: neighbors → what is published."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame

from musicrec import schemas
from musicrec.catalog.clean import Catalog
from musicrec.context import Context
from musicrec.lists import rank
from musicrec.storage import publish, tables

# Rows of a published file: a few dozen MB, which query engines read in one go.
ROWS_PER_FILE = 1_000_000


def publish_lists(context: Context, catalog: Catalog, lists: DataFrame) -> DataFrame:
    """Return `schemas.RECOMMENDATIONS` as they will be published: sorted by track_id, rank."""
    # Sorted as whole lists, a tenth of the rows; from files, because range partitioning reads its input twice.
    n_files = max(1, -(-catalog.n_tracks * context.config.neighbors.k // ROWS_PER_FILE))
    ordered = lists.repartitionByRange(n_files, "track_id").sortWithinPartitions("track_id")
    rows = rank.as_recommendations(ordered)
    return _stage(context, rows, "recommendations", schemas.RECOMMENDATIONS)


def _stage(context: Context, rows: DataFrame, name: str, schema: Any) -> DataFrame:
    path = publish.staged_path(context.run, name)
    tables.write_table(rows, path, schema=schema)
    return tables.read_table(context.session, path, schema=schema)
