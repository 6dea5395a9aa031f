"""Our own Parquet datasets, with the columns that they declare."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType


def read_table(session: SparkSession, path: str, *, schema: StructType) -> DataFrame:
    """Return one of our own Parquet datasets with its declared columns."""
    return session.read.schema(schema).parquet(path)


def write_table(rows: DataFrame, path: str, *, schema: StructType) -> None:
    """Write `rows` as Parquet with exactly the declared columns.

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
