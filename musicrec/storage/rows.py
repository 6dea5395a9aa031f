"""Tables that tasks write or read themselves: arrays become Parquet and back without passing through the JVM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError
from musicrec.storage.files import replacing


@dataclass(frozen=True)
class RowFiles:
    """A directory of Parquet files, one for each task's number, on a file system that all executors see."""

    directory: str

    def write(self, number: int, rows: pa.Table) -> None:
        """Write the rows of a task. The file appears whole; a second attempt replaces it by the same rows."""
        with replacing(self._path(number)) as staged:
            # Keys and scores hardly repeat: a dictionary of them is time for nothing.
            pq.write_table(rows, staged, compression="zstd", compression_level=1, use_dictionary=False)

    def read_piece(self, number: int, *, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of one task, by the number that it wrote them under."""
        return _read(self._path(number), columns)

    def read(self) -> pa.Table:
        """Return the rows of all tasks, of which at least one has written, in the order of their numbers."""
        try:
            return pa.concat_tables(pq.read_table(path) for path in self._paths())
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"cannot read the rows: {error}", where=self.directory) from None

    def count(self) -> int:
        """Return how many rows all tasks have written."""
        try:
            return sum(pq.read_metadata(path).num_rows for path in self._paths())
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"cannot read the rows: {error}", where=self.directory) from None

    def _path(self, number: int) -> Path:
        return Path(self.directory, f"part-{number:05d}.parquet")

    def _paths(self) -> list[Path]:
        return sorted(Path(self.directory).glob("part-*.parquet"))


@dataclass(frozen=True)
class TableFiles:
    """The row groups of the Parquet files that Spark has written a table to: 128 MB at most each."""

    groups: tuple[tuple[Path, int], ...]

    @classmethod
    def find(cls, directory: str) -> TableFiles:
        """Return the row groups of a table that is complete."""
        paths = sorted(Path(directory).glob("part-*.parquet"))
        try:
            return cls(tuple((path, i) for path in paths for i in range(pq.read_metadata(path).num_row_groups)))
        except (OSError, pa.ArrowInvalid) as error:
            raise StorageError(f"cannot read the rows: {error}", where=directory) from None

    def read_group(self, number: int, *, columns: list[str]) -> pa.Table:
        """Return the rows of a row group; `columns` may name parts of a column: `list.list.element.score`."""
        path, group = self.groups[number]
        return _read(path, columns, row_groups=[group])


def _read(path: Path, columns: list[str] | None, *, row_groups: list[int] | None = None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(file.schema, columns or [], path)
            groups = range(file.num_row_groups) if row_groups is None else row_groups
            return file.read_row_groups(groups, columns=columns, use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(f"cannot read the rows: {error}", where=str(path)) from None


def _check_columns(schema: pq.ParquetSchema, wanted: list[str], path: Path) -> None:
    """Refuse names that a file does not have: pyarrow leaves them out in silence."""
    leaves = [schema.column(i).path for i in range(len(schema))]
    missing = [name for name in wanted if not any(f"{leaf}.".startswith(f"{name}.") for leaf in leaves)]
    if missing:
        raise StorageError(f"the file has no {', '.join(missing)}; it has {', '.join(leaves)}", where=str(path))
