"""Read: anyone's ids and vectors, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.catalog.formats import read_counted_parquet
from musicrec.catalog.found_files import find_files, find_local_groups
from musicrec.context import Context
from musicrec.errors import InputError
from musicrec.neighbors.pack import MIN_LENGTH, VectorPieces
from musicrec.neighbors.search.spaces import Metric
from musicrec.storage.byte_files import StoredFile
from musicrec.vectors import ids
from musicrec.vectors.vector_files import VectorFiles, as_vector_files, read_ids_and_vectors

FLOATS = ("array<float>", "array<double>")


@dataclass(frozen=True)
class VectorsInput:
    """Where the vectors are, and what near means."""

    uri: str
    id_column: str
    vector_column: str
    metric: Metric


@dataclass(frozen=True)
class VectorRows:
    """Ids and vectors as they came.

    Attributes
    ----------
    n : int
        Rows, by the footers of the files.
    has_whole_ids : bool
        The ids are whole numbers, not text.
    files : VectorFiles or None
        Local ones, which tasks read themselves.
    rows : callable
        Returns `id, vector` as Spark reads them.
    """

    n: int
    has_whole_ids: bool
    files: VectorFiles | None
    rows: Callable[[], DataFrame]

    def pieces(self) -> DataFrame | VectorPieces:
        """Return `track_key, recording_key, embedding`, as `write_packed` takes it."""
        if self.files is None:
            return ids.as_embeddings(self.rows())
        return VectorPieces(len(self.files.groups.groups), self.files.read)


def read_vectors(context: Context, source: VectorsInput) -> VectorRows:
    """Return the ids and vectors, of which no vector is read yet.

    Raises
    ------
    InputError
        The files cannot be read, or the columns are not there or of another type.
    """
    with context.stage("read"):
        found, columns = find_files(context.session, source.uri), (source.id_column, source.vector_column)
        groups = find_local_groups(context.session, found, columns=columns)
        files = as_vector_files(groups) if groups else None
        if files is not None:
            has_whole_ids = files.id_kind in ids.WHOLE_NUMBERS
            is_stored = any(isinstance(file, StoredFile) for file in found.values())
            by_tasks = partial(_read_by_tasks, context, files)
            read = by_tasks if is_stored else partial(_read_by_spark, context, source)
            return VectorRows(files.groups.n_rows, has_whole_ids, files, read)
        rows, n_rows = _read(context.session, source)
        return VectorRows(n_rows, ids.has_whole_ids(rows), None, lambda: rows)


def check_vectors(read: Callable[[], DataFrame], found: dict[str, Any], source: VectorsInput) -> None:
    """Refuse vectors that cannot be compared.

    Parameters
    ----------
    read : callable
        Returns `id, vector`, of which the bad ones are named.
    found : dict
        The survey of `PackedSongs`.
    source : VectorsInput

    Raises
    ------
    InputError
        Names the first ids.
    """
    size, where = F.size(F.col("vector")), source.uri

    def some(condition: Any) -> str:
        return _some(read(), condition, where)

    if found["n_without_key"]:
        raise InputError(
            f"{found['n_without_key']} rows have no id", where=where, todo="drop them, or give them ids"
        )
    not_finite = F.exists(F.coalesce("vector", F.array()), lambda x: x.isNull() | F.isnan(x) | (F.abs(x) > 3.4e38))
    if found["n_empty"]:
        empty = F.col("vector").isNull() | (size == 0)
        raise InputError(f"{found['n_empty']} rows have no vector", where=some(empty), todo="drop them")
    if found["min_dim"] != found["max_dim"]:
        shorter = size == found["min_dim"]
        raise InputError(
            f"vectors have from {found['min_dim']} to {found['max_dim']} numbers; all must have as many",
            where=some(shorter),
            todo="drop or correct the odd ones",
        )
    if not ids.MIN_DIM <= found["max_dim"] <= ids.MAX_DIM:
        raise InputError(
            f"vectors must have {ids.MIN_DIM} to {ids.MAX_DIM} numbers, found {found['max_dim']}",
            where=where,
        )
    if found["n_not_finite"]:
        raise InputError(
            f"{found['n_not_finite']} vectors hold NaN, infinity or NULL",
            where=some(not_finite),
            todo="drop or correct them",
        )
    if found["n_zero"] and source.metric == "cosine":
        zero = F.forall("vector", lambda x: F.abs(x) < MIN_LENGTH)
        raise InputError(
            f"{found['n_zero']} vectors are zero, or nearly, and have no direction",
            where=some(zero),
            todo="drop them, or use --metric euclidean",
        )
    if found["n_rows"] < 2:
        raise InputError("there is only one vector, which has no neighbor", where=where, todo="check the export")


def refuse_repeated_ids(rows: DataFrame, source: VectorsInput) -> None:
    """Refuse ids that more than one row has.

    Raises
    ------
    InputError
        Always: names the first of them.
    """
    repeated = ids.keep_repeated_ids(rows).orderBy("key").limit(3).collect()
    names = "; ".join(
        str(row["first"]) if row["first"] == row["last"] else f"{row['first']} and {row['last']} (same hash)"
        for row in repeated
    )
    raise InputError(f"ids in more than one row: {names}", where=source.uri, todo="keep one of each")


def _read(session: SparkSession, source: VectorsInput) -> tuple[DataFrame, int]:
    """Return `id, vector` and how many there are."""
    rows, n_rows = read_counted_parquet(session, source.uri)
    kinds = {field.name: field.dataType.simpleString() for field in rows.schema.fields}
    names = ", ".join(f"{name} {kind}" for name, kind in kinds.items() if not name.startswith("_"))
    for name, wanted in ((source.id_column, ("string", *ids.WHOLE_NUMBERS)), (source.vector_column, FLOATS)):
        if kinds.get(name) not in wanted:
            raise InputError(
                f"column {name} must be {' or '.join(wanted)}, found {kinds.get(name, 'no such column')}",
                where=f"{source.uri}: {names}",
                todo="name the columns with --id-column and --vector-column",
            )
    named = rows.select(
        F.col(f"`{source.id_column}`").alias("id"), F.col(f"`{source.vector_column}`").alias("vector")
    )
    return named, n_rows


def _read_by_tasks(context: Context, files: VectorFiles) -> DataFrame:
    """Return `id, vector` of files that Spark has no client for."""
    value = "float" if files.groups.schema.types[1].value_type == pa.float32() else "double"
    schema = f"id {files.id_kind}, vector array<{value}>"
    read = partial(read_ids_and_vectors, files)
    return context.numbers(len(files.groups.groups)).mapInArrow(read, schema)


def _read_by_spark(context: Context, source: VectorsInput) -> DataFrame:
    return _read(context.session, source)[0]


def _some(rows: DataFrame, condition: Any, where: str) -> str:
    # Ordered, so that the same input names the same rows.
    found = rows.where(condition).select(F.col("id").cast("string").alias("id")).orderBy("id").limit(3).collect()
    return f"{where}; ids {', '.join(str(row['id']) for row in found)}"
