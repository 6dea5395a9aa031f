"""The rows of a user's files, as tasks get them: read by the tasks themselves, or by Spark where only that can."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE
from musicrec.spark.tasks import Batches, by_position

ReadRows = Callable[[Batches, Sequence[str]], Batches]
# Columns beside those that are needed, which a refused row is shown with.
MAX_SHOWN = 50


@dataclass(frozen=True)
class GivenRows:
    """Rows of files.

    Attributes
    ----------
    names : sequence of str
        The source's columns, without `MALFORMED` and `SOURCE_FILE`, which all rows have, too.
    files : sequence of str
        URIs, in order.
    given : DataFrame
        What Spark gives to tasks: the rows, or `id`, numbers of pieces of the files, or their contents.
    read : callable or None
        Makes of what Spark gives batches of the wanted columns, in their order; None where these are given.
    sample : pyarrow.Table
        Some of the first rows with all columns: text, or the types of the files; maybe without rows.
    names_by_file : mapping
        Columns of each file, where files may differ.
    said : sequence of str
        What was understood of the files, a sentence each.
    n_rows : int, optional
        As the files themselves say.
    """

    names: Sequence[str]
    files: Sequence[str]
    given: DataFrame
    read: ReadRows | None
    sample: pa.Table
    names_by_file: Mapping[str, Sequence[str]] = field(default_factory=dict)
    said: Sequence[str] = ()
    n_rows: int | None = None

    def with_said(self, sentence: str) -> GivenRows:
        """Return the rows with one more sentence of what was understood."""
        return replace(self, said=(*self.said, sentence))

    def shown(self, needed: Sequence[str]) -> list[str]:
        """Return the columns that are needed, then some more to show a refused row with, `SOURCE_FILE` last."""
        more = [name for name in self.names if name not in needed][:MAX_SHOWN]
        return [*needed, *more, MALFORMED, SOURCE_FILE]

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
        if self.read is None:
            return by_position(self.given.select(*map(quoted, columns))).mapInArrow(make, schema)
        read = self.read
        return self.given.mapInArrow(lambda batches: make(read(batches, columns)), schema)


def quoted(name: str) -> Column:
    """Return a column of the source by its name, whatever characters that has."""
    return F.col("`" + name.replace("`", "``") + "`")


def in_order(table: pa.Table, columns: Sequence[str], *, uri: str, malformed: Sequence[str] = ()) -> Batches:
    """Yield the wanted columns by their positions; those that a file does not have are NULL.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of one file, by the names of its columns.
    columns : sequence of str
    uri : str
        The file.
    malformed : sequence of str
        Rows that could not be read.
    """
    names = [f"column{i}" for i in range(len(columns))]
    for text in malformed:
        row = {MALFORMED: text, SOURCE_FILE: uri}
        kinds = [table.schema.field(name).type if name in table.column_names else pa.string() for name in columns]
        arrays = [pa.array([row.get(name)], type=kind) for name, kind in zip(columns, kinds, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, names=names)
    for batch in table.to_batches():
        n = batch.num_rows
        added = {MALFORMED: pa.nulls(n, pa.string()), SOURCE_FILE: pa.repeat(pa.scalar(uri, pa.string()), n)}
        arrays = [
            added[name] if name in added else batch.column(name) if name in table.column_names else
            pa.nulls(n, pa.string()) for name in columns
        ]  # fmt: skip
        yield pa.RecordBatch.from_arrays(arrays, names=names)
