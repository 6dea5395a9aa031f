"""Spark's Python workers: start them before the work, not within it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import SparkSession

from musicrec.spark.failures import SPARK_ERRORS

# Names the job that warms a worker.
_TAG = "musicrec-warming"


def warm_workers(session: SparkSession, warm_up: Callable[[], None], *, n: int | None = None) -> None:
    """Start workers and call `warm_up` in each, which imports what takes seconds.

    Parameters
    ----------
    session : SparkSession
    warm_up : callable
    n : int, optional
        Of workers; by default one a slot.
    """

    def warm(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        warm_up()
        yield from batches

    # What is wrong with the workers shows again, and is told, where they do their work.
    with contextlib.suppress(*SPARK_ERRORS):
        session.range(0, 1000, 1, n).mapInArrow(warm, "id long").count()


@dataclass(frozen=True)
class Warming:
    """A worker that is being warmed beside what the driver does: others are forked from what that imported."""

    session: SparkSession
    thread: threading.Thread

    def end(self, *, limit_s: float) -> None:
        """Give up where it is not warm yet, and wait for that, so that no task is left in the session."""
        with contextlib.suppress(Exception):
            self.session.interruptTag(_TAG)
        self.thread.join(limit_s)


def warm_workers_beside(session: SparkSession, warm_up: Callable[[], None]) -> Warming:
    """Start a worker, and call `warm_up` in it, in a thread of the driver."""

    def warm_quietly() -> None:
        # A run that ends meanwhile takes the session with it, and says why by itself.
        with contextlib.suppress(Exception):
            session.addTag(_TAG)
            warm_workers(session, warm_up, n=1)

    # A daemon: nobody has to wait for workers that have no work yet.
    thread = threading.Thread(target=warm_quietly, daemon=True)
    thread.start()
    return Warming(session, thread)
