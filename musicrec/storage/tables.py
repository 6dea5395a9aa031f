"""Datasets that Spark writes and reads, with the columns that they declare."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType


@contextlib.contextmanager
def kept(rows: DataFrame) -> Iterator[None]:
    """Keep rows in the session while the block runs, and not longer, however it ends."""
    rows.persist()
    try:
        yield
    finally:
        rows.unpersist()


def read_table(session: SparkSession, path: str, *, schema: StructType) -> DataFrame:
    """Return one of our own Parquet datasets with its declared columns.

    Parameters
    ----------
    session : SparkSession
    path : str
    schema : StructType
    """
    return session.read.schema(schema).parquet(path)


def write_table(rows: DataFrame, path: str, *, schema: StructType) -> DataFrame:
    """Write `rows` as Parquet with exactly the declared columns; return what stands there.

    What follows then starts from files: a lost executor costs one stage, not all before it, and a Python function
    never runs twice because two later stages need its rows. Spark's own commit makes the files visible.

    Parameters
    ----------
    rows : DataFrame
    path : str
        Of a directory that is not there yet.
    schema : StructType

    Raises
    ------
    ValueError
        The columns are not the declared ones: a stage broke its promise.
    """
    found = {field.name: field.dataType.simpleString() for field in rows.schema.fields}
    declared = {field.name: field.dataType.simpleString() for field in schema.fields}
    if found != declared:
        raise ValueError(f"{path}: declared {declared}, found {found}")
    rows.select(*schema.names).write.mode("error").parquet(path)
    return read_table(rows.sparkSession, path, schema=schema)
