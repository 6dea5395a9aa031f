"""What every step of a run shares: the session, the configuration, the run, and the record of what happened."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from musicrec.config import Config
from musicrec.storage import tables
from musicrec.storage.rows import RowFiles
from musicrec.storage.runs import Run

log = logging.getLogger("musicrec")


@dataclass
class Context:
    """A run under way.

    `record` becomes the manifest; `stages` holds what each stage took, in order.
    """

    session: SparkSession
    config: Config
    run: Run
    record: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and log a line when it is done."""
        started, clock = datetime.now(UTC), time.monotonic()
        yield
        seconds = round(time.monotonic() - clock, 2)
        self.stages.append({"stage": name, "started_at": started.isoformat(), "seconds": seconds})
        log.info("%-12s %7.1f s", name, seconds)

    def materialize(self, rows: DataFrame, name: str, *, schema: StructType) -> DataFrame:
        """Write `rows` under the run's work directory and return what stands there, read back.

        What follows then starts from files: a lost executor costs one stage, not all before it, and a
        Python function never runs twice because two later stages need its rows.
        """
        tables.write_table(rows, self.run.table(name), schema=schema)
        return tables.read_table(self.session, self.run.table(name), schema=schema)

    def tasks(self, n: int) -> DataFrame:
        """Return `id` 0..n-1, a partition each: the numbers of what tasks read."""
        return self.session.range(0, n, 1, max(1, n))

    def files(self, name: str) -> RowFiles:
        """Return the files of a table under the run's work directory that tasks write themselves."""
        return RowFiles(Path(self.run.table(name)))
