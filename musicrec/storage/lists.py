"""Lists that tasks of the join write themselves: arrays become Parquet without passing through the JVM."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError


@dataclass(frozen=True)
class ListFiles:
    """A directory of Parquet files, one for each unit, on a file system that all executors see."""

    directory: Path

    def write(self, unit: int, rows: pa.Table) -> None:
        """Write a unit. The file appears whole; a second attempt of a task replaces it by the same rows."""
        target = self.directory / f"part-{unit:05d}.parquet"
        staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # Keys and scores hardly repeat: a dictionary of them is time for nothing.
            pq.write_table(rows, staged, compression="zstd", compression_level=1, use_dictionary=False)
            os.replace(staged, target)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise StorageError(f"cannot write the lists: {error.strerror or error}", where=str(target)) from None
