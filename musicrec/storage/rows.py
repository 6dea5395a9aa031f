"""Tables that tasks write and read themselves: arrays become Parquet and back without passing through the JVM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError
from musicrec.storage.files import replacing

# Rows that a reader who looks for one value reads at once.
GROUP_ROWS = 131_072


@dataclass(frozen=True)
class RowFiles:
    """A directory of Parquet files, one for each task's number, on a file system that all executors see."""

    directory: str

    def write(self, number: int, rows: pa.Table, *, repeated: Sequence[str] = ()) -> None:
        """Write the rows of a task. The file appears whole; a second attempt replaces it by the same rows.

        Parameters
        ----------
        number : int
        rows : pyarrow.Table
        repeated : sequence of str
            Columns whose values repeat. Of keys and scores a dictionary is time for nothing.
        """
        with replacing(self._path(number)) as staged:
            pq.write_table(
                rows, staged, compression="zstd", compression_level=1, row_group_size=GROUP_ROWS,
                use_dictionary=list(repeated) or False,
            )  # fmt: skip

    def read_piece(self, number: int, *, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of one task, by the number that it wrote them under."""
        return _read(self._path(number), columns)

    def pieces(self) -> list[int]:
        """Return the numbers under which tasks have written rows, rising."""
        return [int(path.stem.removeprefix("part-")) for path in self._paths()]

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


def _read(path: Path, columns: list[str] | None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(file.schema, columns or [], path)
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise StorageError(f"cannot read the rows: {error}", where=str(path)) from None


def _check_columns(schema: pq.ParquetSchema, wanted: list[str], path: Path) -> None:
    """Refuse names that a file does not have: pyarrow leaves them out in silence."""
    leaves = [schema.column(i).path for i in range(len(schema))]
    missing = [name for name in wanted if not any(f"{leaf}.".startswith(f"{name}.") for leaf in leaves)]
    if missing:
        raise StorageError(f"the file has no {', '.join(missing)}; it has {', '.join(leaves)}", where=str(path))
