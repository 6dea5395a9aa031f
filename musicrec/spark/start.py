"""Start Spark's Python workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession


def warm_workers(session: SparkSession, warm: Callable[[], object]) -> None:
    """Start the Python workers and let each run `warm`, which imports what they need; a part of Spark's start."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        warm()
        yield from batches

    # What is wrong with the workers shows again, and is told, where they do their work.
    with contextlib.suppress(PySparkException):
        session.range(1000).mapInArrow(run, "id long").count()
