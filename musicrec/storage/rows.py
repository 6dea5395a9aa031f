"""Tables that tasks write and read themselves: arrays become Parquet and back without passing through the JVM."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError
from musicrec.storage.ranged import open_ranged
from musicrec.storage.stores import Entry, Store

# Rows that a reader who looks for one value reads at once.
GROUP_ROWS = 65_536


@dataclass(frozen=True)
class FileRecord:
    """What a manifest says of a file: its name, what is in it, and where its rows begin and end."""

    path: str
    rows: int
    bytes: int
    sha256: str
    first_id: str | None
    last_id: str | None


@dataclass(frozen=True)
class RowFiles:
    """A place of Parquet files, one for each task's number, that all executors see."""

    store: Store
    prefix: str = "part-"

    def name(self, number: int) -> str:
        """Return the name of the file of a task's number."""
        return f"{self.prefix}{number:05d}.parquet"

    def write(self, number: int, rows: pa.Table, *, repeated: Sequence[str] = ()) -> None:
        """Write the rows of a task. The file appears whole; a second attempt replaces it by the same rows.

        Parameters
        ----------
        number : int
        rows : pyarrow.Table
        repeated : sequence of str
            Columns whose values repeat. Of keys and scores a dictionary is time for nothing.
        """
        self.store.put(self.name(number), _as_parquet(rows, repeated))

    def write_recorded(self, number: int, rows: pa.Table, *, repeated: Sequence[str] = ()) -> FileRecord:
        """Write rows that will be published, in the order of their first column; return the file's record.

        Parameters
        ----------
        number : int
        rows : pyarrow.Table
        repeated : sequence of str
        """
        content, ids = _as_parquet(rows, repeated), rows.column(0)
        self.store.put(self.name(number), content)
        first, last = (ids[0].as_py(), ids[-1].as_py()) if rows.num_rows else (None, None)
        digest = hashlib.sha256(content).hexdigest()
        return FileRecord(self.name(number), rows.num_rows, content.nbytes, digest, first, last)

    def read_piece(self, number: int, *, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of one task, by the number that it wrote them under."""
        return self._read(self.name(number), columns)

    def read_named(self, name: str) -> pa.Table:
        """Return the rows of a file by its name."""
        return self._read(name, None)

    def pieces(self) -> list[int]:
        """Return the numbers under which tasks have written rows, rising."""
        return [int(name.removeprefix(self.prefix).partition(".")[0]) for name in self.names()]

    def names(self) -> list[str]:
        """Return the names of the files that tasks have written."""
        return [entry.name for entry in self._entries()]

    def read(self) -> pa.Table:
        """Return the rows of all tasks, of which at least one has written, in the order of their numbers."""
        return pa.concat_tables([self.read_piece(number) for number in self.pieces()])

    def count(self) -> int:
        """Return how many rows all tasks have written."""
        n_rows = 0
        for entry in self._entries():
            try:
                with open_ranged(self.store, entry.name, n_bytes=entry.n_bytes) as file:
                    n_rows += pq.read_metadata(file).num_rows
            except (OSError, pa.ArrowInvalid) as error:
                raise self._unreadable(error, entry.name) from None
        return n_rows

    def _read(self, name: str, columns: list[str] | None) -> pa.Table:
        try:
            # Of a bucket the whole file is one request; parts of it would be many.
            with pq.ParquetFile(self.store.path(name) or pa.BufferReader(self.store.get(name))) as file:
                _check_columns(file.schema, columns or [], f"{self.store.uri}/{name}")
                return file.read(columns=columns, use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            raise self._unreadable(error, name) from None

    def _entries(self) -> Iterator[Entry]:
        return (entry for entry in self.store.entries() if entry.name.startswith(self.prefix))

    def _unreadable(self, error: Exception, name: str) -> StorageError:
        return StorageError(f"cannot read the rows: {error}", where=f"{self.store.uri}/{name}")


def _as_parquet(rows: pa.Table, repeated: Sequence[str]) -> memoryview:
    sink, settings = pa.BufferOutputStream(), {"compression": "zstd", "compression_level": 1}
    pq.write_table(
        rows, sink, row_group_size=GROUP_ROWS, use_dictionary=list(repeated) or False, write_page_index=True,
        **settings,
    )  # fmt: skip
    found: Any = sink.getvalue()
    return memoryview(found)


def _check_columns(schema: pq.ParquetSchema, wanted: list[str], where: str) -> None:
    """Refuse names that a file does not have: pyarrow leaves them out in silence."""
    leaves = [schema.column(i).path for i in range(len(schema))]
    missing = [name for name in wanted if not any(f"{leaf}.".startswith(f"{name}.") for leaf in leaves)]
    if missing:
        raise StorageError(f"the file has no {', '.join(missing)}; it has {', '.join(leaves)}", where=where)
