"""Start: Python workers that have imported what tasks need, a part of Spark's own start."""

from __future__ import annotations

from musicrec.context import Context
from musicrec.neighbors.search.warm import warm_up
from musicrec.spark.workers import warm_workers


def start_workers(context: Context) -> None:
    """Start Spark's Python workers and let them import torch and load compiled code."""
    with context.stage("start"):
        warm_workers(context.session, warm_up)
