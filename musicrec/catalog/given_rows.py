"""The rows of a user's files, as tasks get them: from Spark, or from local Parquet that they read themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE
from musicrec.catalog.row_groups import RowGroups
from musicrec.spark.partitions import default_partitions
from musicrec.spark.tasks import Batches, by_position, each_number
from musicrec.storage.files import local_paths

READ_ROWS = 32_768
# Of a task, where there are more rows than tasks to keep all cores busy.
TASK_ROWS = 2**20


@dataclass(frozen=True)
class GivenRows:
    """Rows of files.

    Attributes
    ----------
    names : sequence of str
        The source's columns, without `_malformed` and `_source_file`, which all rows have, too.
    files : sequence of str
        URIs, in order.
    given : DataFrame
        What Spark gives to tasks: the rows, or `id`, numbers of row groups.
    groups : RowGroups or None
        Of local files, which tasks read themselves.
    """

    names: Sequence[str]
    files: Sequence[str]
    given: DataFrame
    groups: RowGroups | None = None

    @property
    def all_names(self) -> list[str]:
        """All columns, `_malformed` and `_source_file` last."""
        return [*self.names, MALFORMED, SOURCE_FILE]

    def map(self, make: Callable[[Batches], Batches], schema: StructType, *, columns: Sequence[str]) -> DataFrame:
        """Return what tasks make of the rows.

        Parameters
        ----------
        make : callable
            Is given batches of the wanted columns, in their order; their names say nothing.
        schema : StructType
            Of what it yields.
        columns : sequence of str
            That are wanted.
        """
        if self.groups is None:
            return by_position(self.given.select(*map(quoted, columns))).mapInArrow(make, schema)
        groups = self.groups
        # By its path, the URI that Spark says a row comes from.
        uris = dict(zip(local_paths(self.files) or [], map(one_slash, self.files), strict=True))
        return self.given.mapInArrow(lambda batches: make(_read(batches, groups, columns, uris)), schema)


def as_local_rows(session: SparkSession, files: Sequence[str], groups: RowGroups) -> GivenRows:
    """Return rows that tasks read themselves.

    Parameters
    ----------
    session : SparkSession
    files : sequence of str
        URIs.
    groups : RowGroups
        Of these files.
    """
    n = len(groups.groups)
    n_tasks = max(1, min(n, max(default_partitions(session), groups.n_rows // TASK_ROWS)))
    return GivenRows(groups.schema.names, files, session.range(0, n, 1, n_tasks), groups)


def can_read_here(groups: RowGroups) -> bool:
    """Return whether all columns come from pyarrow as they come from Spark, and can be asked for by their names.

    Others are read by Spark: it says what it does with a decimal or a time, and which names are too much alike.
    """
    names = {field.name.lower() for field in groups.schema}
    is_plain = all(_is_plain(field.type) for field in groups.schema)
    has_own_names = len(names) == len(groups.schema) and not names & {MALFORMED, SOURCE_FILE}
    # pyarrow takes a dot for the way to a part of a column.
    return is_plain and has_own_names and not any("." in name for name in names)


def one_slash(uri: str) -> str:
    """Return the URI of a file as Spark's rows have it: file:/a for what it lists as file:///a."""
    return re.sub(r"^file:/+", "file:/", uri)


def quoted(name: str) -> Column:
    """Return a column of the source by its name, whatever characters that has."""
    return F.col("`" + name.replace("`", "``") + "`")


def _read(
    batches: Batches, groups: RowGroups, columns: Sequence[str], uris: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    stored = [name for name in columns if name not in (MALFORMED, SOURCE_FILE)]
    for number in each_number(batches):
        uri = uris[groups.groups[number][0]]
        with groups.opened(number) as (file, group):
            for batch in file.iter_batches(READ_ROWS, row_groups=[group], columns=stored, use_threads=False):
                yield _in_order(batch, columns, uri=uri)


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_signed_integer(kind):
        return True
    return bool(pa.types.is_float32(kind) or pa.types.is_float64(kind) or pa.types.is_boolean(kind)
                or pa.types.is_date32(kind))  # fmt: skip


def _in_order(batch: pa.RecordBatch, columns: Sequence[str], *, uri: str) -> pa.RecordBatch:
    """Return the columns by their positions, as Spark hands them over."""
    n = batch.num_rows
    added = {
        MALFORMED: lambda: pa.nulls(n, pa.string()),
        SOURCE_FILE: lambda: pa.repeat(pa.scalar(uri, pa.string()), n),
    }
    arrays = [added[name]() if name in added else _as_spark(batch.column(name)) for name in columns]
    return pa.RecordBatch.from_arrays(arrays, names=[f"column{i}" for i in range(len(arrays))])


def _as_spark(column: pa.Array) -> pa.Array:
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return pc.cast(plain, pa.string()) if pa.types.is_large_string(plain.type) else plain
