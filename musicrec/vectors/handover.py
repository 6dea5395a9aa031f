"""A DataFrame of a notebook, handed to a job that reads files, and what it wrote, handed back."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

from pyspark.sql import DataFrame, SparkSession

from musicrec.messages import WRITTEN, as_row
from musicrec.schemas import VECTOR_NEIGHBORS
from musicrec.spark.tasks import Batches, numbered_pieces, read_pieces
from musicrec.storage.datasets import VECTOR_NEIGHBORS as NEIGHBORS
from musicrec.storage.rows import RowFiles
from musicrec.storage.runs import Root
from musicrec.storage.uris import file_uri
from musicrec.vectors.ids import WHOLE_NUMBERS


@contextlib.contextmanager
def handed_over(rows: DataFrame, root: Root) -> Iterator[str]:
    """Keep rows as Parquet under `root` while the block runs, under a name that nobody has, and give where."""
    name = f"vectors-{uuid.uuid4().hex}"
    files = RowFiles(root.store.below(name))

    def write(batches: Batches) -> Batches:
        for piece, table in numbered_pieces(batches):
            files.write(piece, table)
            yield as_row(WRITTEN, piece=piece, n_rows=table.num_rows)

    try:
        written = rows.mapInArrow(write, WRITTEN).toArrow()
        if not written.num_rows:
            # Of no rows no task writes, and their columns would be lost.
            files.write(0, rows.limit(0).toArrow())
        yield file_uri(files.store.uri) if root.store.path() is not None else files.store.uri
    finally:
        root.store.delete_all(name)


def read_back(session: SparkSession, root: Root, ids: str) -> DataFrame:
    """Return the neighbors that a job wrote under its output, in whatever session asks for them.

    Parameters
    ----------
    session : SparkSession
    root : Root
    ids : str
        As Spark calls the type of the ids.
    """
    directory = root.store.path(NEIGHBORS.name)
    if directory is not None:
        return session.read.parquet(directory)
    files = RowFiles(root.store.below(NEIGHBORS.name), prefix="")
    names = files.names()
    schema = VECTOR_NEIGHBORS["bigint" if ids in WHOLE_NUMBERS else "string"]
    numbers = session.range(0, len(names), 1, max(1, len(names)))
    return read_pieces(
        numbers, range(len(names)), read=lambda number: files.read_named(names[number]), schema=schema
    )
