"""Spark's Python workers: start them before the work, not within it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from musicrec.spark.failures import SPARK_ERRORS


def warm_workers(session: SparkSession, warm_up: Callable[[], None]) -> None:
    """Start the workers and call `warm_up` in each, which imports what takes seconds."""

    def warm(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        warm_up()
        yield from batches

    # What is wrong with the workers shows again, and is told, where they do their work.
    with contextlib.suppress(*SPARK_ERRORS):
        session.range(1000).mapInArrow(warm, "id long").count()
