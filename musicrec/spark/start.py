"""Start Spark's Python workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from musicrec.neighbors.search.warm import warm_up


def warm_workers(session: SparkSession) -> None:
    """Start the Python workers and let them import torch and load compiled code: a part of Spark's own start."""

    def warm(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        warm_up()
        yield from batches

    # What is wrong with the workers shows again, and is told, where they do their work.
    with contextlib.suppress(PySparkException):
        session.range(1000).mapInArrow(warm, "id long").count()
