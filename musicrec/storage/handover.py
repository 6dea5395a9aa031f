"""A DataFrame of a notebook, handed to a job that reads files, and what it wrote, handed back."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from musicrec.storage.datasets import Dataset
from musicrec.storage.files import drop


@contextlib.contextmanager
def handed_over(rows: DataFrame, root: str) -> Iterator[str]:
    """Keep rows as Parquet under `root` while the block runs, under a name that nobody has, and give where."""
    directory = Path(root).absolute() / f"vectors-{uuid.uuid4().hex}"
    try:
        rows.write.mode("error").parquet(str(directory))
        yield str(directory)
    finally:
        drop(directory)


def read_back(session: SparkSession, root: str, dataset: Dataset) -> DataFrame:
    """Return a dataset that a job wrote under its output.

    Parameters
    ----------
    session : SparkSession
    root : str
    dataset : Dataset
    """
    return session.read.parquet(str(Path(root).absolute() / dataset.name))
