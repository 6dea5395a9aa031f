"""Rows that a Spark session keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pyspark.sql import DataFrame


@contextlib.contextmanager
def kept(rows: DataFrame) -> Iterator[None]:
    """Keep rows in the session while the block runs, and not longer, however it ends."""
    rows.persist()
    try:
        yield
    finally:
        rows.unpersist()
