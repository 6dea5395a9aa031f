"""Local Parquet files of ids and vectors, which tasks read themselves: no vector then passes through the JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.catalog.hashes import hash_texts
from musicrec.spark.arrow import MAX_BYTES
from musicrec.spark.failures import BROKEN_FILE
from musicrec.spark.tasks import PIECE_ROWS

# Footers that the driver reads; of more files Spark's tasks read them.
MAX_FILES = 1000
# Pieces of a row group have numbers of their own.
MAX_GROUP_PIECES = 2**16


@dataclass(frozen=True)
class RowGroups:
    """The row groups of the files.

    Attributes
    ----------
    groups : tuple of (str, int)
        File, and number of the row group in it.
    id_column, vector_column : str
    id_kind : str
        As Spark calls the type of the ids.
    vector_kind : str
    n_rows : int
    """

    groups: tuple[tuple[str, int], ...]
    id_column: str
    vector_column: str
    id_kind: str
    vector_kind: str
    n_rows: int

    def read(self, number: int) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows of a row group in pieces, `track_key, recording_key, embedding`, with their numbers."""
        path, group = self.groups[number]
        try:
            with pq.ParquetFile(path) as file:
                columns = [self.id_column, self.vector_column]
                n_rows = rows_of_piece(file, group, self.vector_column)
                batches = file.iter_batches(n_rows, row_groups=[group], columns=columns, use_threads=False)
                for i, batch in enumerate(batches):
                    keys = _as_keys(batch.column(self.id_column))
                    vectors = batch.column(self.vector_column).cast(pa.list_(pa.float32()))
                    names = ["track_key", "recording_key", "embedding"]
                    yield number * MAX_GROUP_PIECES + i, pa.Table.from_arrays([keys, keys, vectors], names=names)
        except pa.ArrowMemoryError:
            raise
        except (OSError, pa.ArrowException) as error:
            # In Spark's own words, by which it is known for what it is.
            raise RuntimeError(f"{BROKEN_FILE[0]} file:{path}: {error}") from None


def rows_of_piece(file: pq.ParquetFile, group: int, vector_column: str) -> int:
    """Return how many rows of a row group a task takes at once: vectors may be of any length.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
    group : int
    vector_column : str
    """
    rows = file.metadata.row_group(group)
    parts = [rows.column(i) for i in range(rows.num_columns)]
    n_values = sum(part.num_values for part in parts if part.path_in_schema.split(".")[0] == vector_column)
    row_bytes = 8 * max(1, n_values) / max(1, rows.num_rows)
    return max(1, min(PIECE_ROWS, int(MAX_BYTES / row_bytes)))


def find_row_groups(paths: Sequence[str], *, id_column: str, vector_column: str) -> RowGroups | None:
    """Return the row groups of local files that are all alike; None where Spark has to look at them.

    Parameters
    ----------
    paths : sequence of str
    id_column, vector_column : str
    """
    if len(paths) > MAX_FILES:
        return None
    groups, kinds, n_rows = list[tuple[str, int]](), set[tuple[str, str]](), 0
    try:
        for path in paths:
            with pq.ParquetFile(path) as file:
                named = {name: file.schema_arrow.field(name).type for name in (id_column, vector_column)}
                kinds.add((_id_kind(named[id_column]), _vector_kind(named[vector_column])))
                groups += [(path, group) for group in range(file.num_row_groups)]
                n_rows += file.metadata.num_rows
    except (OSError, pa.ArrowException, KeyError):
        return None
    if len(kinds) != 1 or "" in next(iter(kinds)):
        return None
    return RowGroups(tuple(groups), id_column, vector_column, *kinds.pop(), n_rows=n_rows)


def _id_kind(kind: pa.DataType) -> str:
    names = {pa.int8(): "tinyint", pa.int16(): "smallint", pa.int32(): "int", pa.int64(): "bigint"}
    return "string" if pa.types.is_string(kind) else names.get(kind, "")


def _vector_kind(kind: pa.DataType) -> str:
    if not (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)):
        return ""
    return {pa.float32(): "array<float>", pa.float64(): "array<double>"}.get(kind.value_type, "")


def _as_keys(ids: pa.Array) -> pa.Int64Array:
    if not pa.types.is_string(ids.type):
        return ids.cast(pa.int64())
    known = ids.is_valid().to_numpy(zero_copy_only=False)
    keys = np.zeros(len(ids), dtype=np.int64)
    keys[known] = hash_texts(pc.drop_null(ids))
    return pa.array(keys, mask=~known)
