"""Local Parquet files of ids and vectors, which tasks read themselves: no vector then passes through the JVM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.catalog.hashes import hash_texts
from musicrec.catalog.row_groups import RowGroups
from musicrec.neighbors.pack import EMBEDDED
from musicrec.spark.arrow import MAX_BYTES
from musicrec.spark.tasks import PIECE_ROWS, Batches, each_number

# Pieces of a row group have numbers of their own.
MAX_GROUP_PIECES = 2**16


@dataclass(frozen=True)
class VectorFiles:
    """The row groups of files of ids and vectors.

    Attributes
    ----------
    groups : RowGroups
        Of the id column and the vector column.
    id_kind : str
        As Spark calls the type of the ids.
    """

    groups: RowGroups
    id_kind: str

    def read(self, number: int) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows of a row group in pieces, `track_key, facts, embedding`, with their numbers."""
        columns = id_column, vector_column = self.groups.schema.names
        with self.groups.opened(number) as (file, group):
            n_rows = rows_of_piece(file, group, vector_column)
            batches = file.iter_batches(n_rows, row_groups=[group], columns=columns, use_threads=False)
            for i, batch in enumerate(batches):
                keys = _as_keys(batch.column(id_column))
                vectors = batch.column(vector_column).cast(pa.list_(pa.float32()))
                facts = pa.FixedSizeListArray.from_arrays(keys, 1)
                rows = pa.Table.from_arrays([keys, facts, vectors], names=EMBEDDED)
                yield number * MAX_GROUP_PIECES + i, rows


def read_ids_and_vectors(files: VectorFiles, batches: Batches) -> Batches:
    """Yield `id, vector` of row groups by their numbers: what Spark reads where it knows the files' place."""
    names = files.groups.schema.names
    for number in each_number(batches):
        with files.groups.opened(number) as (file, group):
            n_rows = rows_of_piece(file, group, names[1])
            for batch in file.iter_batches(n_rows, row_groups=[group], columns=names, use_threads=False):
                ids, vectors = (batch.column(name) for name in names)
                listed = vectors.cast(pa.list_(vectors.type.value_type))
                yield pa.RecordBatch.from_arrays([ids, listed], names=["id", "vector"])


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


def as_vector_files(groups: RowGroups) -> VectorFiles | None:
    """Return row groups of an id and a vector column as such; None where Spark has to look at them."""
    id_kind, is_vector = _id_kind(groups.schema.types[0]), _is_vector(groups.schema.types[1])
    return VectorFiles(groups, id_kind) if id_kind and is_vector else None


def _id_kind(kind: pa.DataType) -> str:
    names = {pa.int8(): "tinyint", pa.int16(): "smallint", pa.int32(): "int", pa.int64(): "bigint"}
    return "string" if pa.types.is_string(kind) else names.get(kind, "")


def _is_vector(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and kind.value_type in (pa.float32(), pa.float64())


def _as_keys(ids: pa.Array) -> pa.Int64Array:
    if not pa.types.is_string(ids.type):
        return ids.cast(pa.int64())
    known = ids.is_valid().to_numpy(zero_copy_only=False)
    keys = np.zeros(len(ids), dtype=np.int64)
    keys[known] = hash_texts(pc.drop_null(ids))
    return pa.array(keys, mask=~known)
