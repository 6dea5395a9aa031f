"""A DataFrame of a notebook, handed to a job that reads files, and what it wrote, handed back."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession


@contextlib.contextmanager
def written(rows: DataFrame, root: str) -> Iterator[str]:
    """Keep rows as Parquet under `root` while the block runs, and give where."""
    directory = Path(root).absolute() / "vectors"
    try:
        rows.write.mode("overwrite").parquet(str(directory))
        yield str(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def read_back(session: SparkSession, root: str, name: str) -> DataFrame:
    """Return a dataset that a job wrote under its output."""
    return session.read.parquet(str(Path(root).absolute() / name))
