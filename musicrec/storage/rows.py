"""Tables that tasks write or read themselves: arrays become Parquet and back without passing through the JVM."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError


@dataclass(frozen=True)
class RowFiles:
    """A directory of Parquet files, one for each task's number, on a file system that all executors see."""

    directory: Path

    def write(self, number: int, rows: pa.Table) -> None:
        """Write the rows of a task. The file appears whole; a second attempt replaces it by the same rows."""
        target = self._path(number)
        staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # Keys and scores hardly repeat: a dictionary of them is time for nothing.
            pq.write_table(rows, staged, compression="zstd", compression_level=1, use_dictionary=False)
            os.replace(staged, target)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise StorageError(f"cannot write the rows: {error.strerror or error}", where=str(target)) from None

    def read_piece(self, number: int, *, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of one task, by the number that it wrote them under."""
        return _read(self._path(number), columns)

    def read(self) -> pa.Table:
        """Return the rows of all tasks, of which at least one has written, in the order of their numbers."""
        try:
            return pa.concat_tables(pq.read_table(path) for path in self._paths())
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"cannot read the rows: {error}", where=str(self.directory)) from None

    def count(self) -> int:
        """Return how many rows all tasks have written."""
        try:
            return sum(pq.read_metadata(path).num_rows for path in self._paths())
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"cannot read the rows: {error}", where=str(self.directory)) from None

    def _path(self, number: int) -> Path:
        return self.directory / f"part-{number:05d}.parquet"

    def _paths(self) -> list[Path]:
        return sorted(self.directory.glob("part-*.parquet"))


@dataclass(frozen=True)
class TableFiles:
    """The Parquet files that Spark has written a table to; a piece is one of them."""

    paths: tuple[Path, ...]

    @classmethod
    def find(cls, directory: Path) -> TableFiles:
        """Return the files of a table that is complete."""
        return cls(tuple(sorted(directory.glob("part-*.parquet"))))

    def read_piece(self, number: int, *, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of one file; `columns` may name parts of a column, as in `list.list.element.score`."""
        return _read(self.paths[number], columns)


def _read(path: Path, columns: list[str] | None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(f"cannot read the rows: {error}", where=str(path)) from None
