"""The process that Spark forks its Python workers from: what tasks need is imported once, not by each worker.

Spark starts it as `python -m musicrec.daemon pyspark.worker` where the session says so (`spark.session`). Forked
workers share the memory of what was imported, and one that replaces an idle one is there at once.
"""

from __future__ import annotations

import importlib

from musicrec.storage import environment

# What Spark's worker is, and modules that lead to all that tasks run.
PRELOADED = (
    "pyspark.worker",
    "musicrec.catalog.clean_tasks",
    "musicrec.catalog.number_tasks",
    "musicrec.encoder.artist_tasks",
    "musicrec.encoder.embed",
    "musicrec.encoder.sample_tasks",
    "musicrec.lists.check_tasks",
    "musicrec.lists.favorite_tasks",
    "musicrec.lists.rank_tasks",
    "musicrec.lists.short_tasks",
    "musicrec.lists.spread_tasks",
    "musicrec.neighbors.cell_tasks",
    "musicrec.neighbors.item_tasks",
    "musicrec.neighbors.join_tasks",
    "musicrec.neighbors.pack",
    "musicrec.neighbors.truth_tasks",
)


def preload() -> None:
    """Import what tasks need, without starting a thread."""
    environment.prefer_unpacked()
    environment.use_one_thread()
    for name in PRELOADED:
        importlib.import_module(name)
    from musicrec.neighbors.search.warm import warm_up

    warm_up()


def serve() -> None:
    """Import, then wait for Spark's wishes."""
    # The first that Spark reads from stdout is the port.
    with environment.stdout_as_stderr():
        preload()
    from pyspark.daemon import manager

    manager()


if __name__ == "__main__":
    serve()
