"""Rows of a published dataset by a text column, without Spark.

A fresh process answers in less than a second, so what is slow to import stays out: `pyarrow.dataset`, and pandas,
for which `pyarrow.array` looks.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import StorageError
from musicrec.storage.ranged import open_ranged
from musicrec.storage.snapshots import Snapshot

# What pyarrow raises of a file that it cannot make sense of: any part of its head may be wrong.
UNREADABLE = (OSError, ValueError, LookupError, NotImplementedError, pa.ArrowException)
# Rows that are held at once, and bytes that are read at once.
BATCH_ROWS, BUFFER_BYTES = 65_536, 1 << 20


def columns_of(snapshot: Snapshot, name: str) -> pa.Schema:
    """Return the names and types of the columns of a snapshot's file.

    Raises
    ------
    StorageError
        It cannot be read.
    """
    try:
        with open_ranged(snapshot.store, name, n_bytes=snapshot.files[name][0]) as file:
            found: pa.Schema = pq.read_schema(file)
    except UNREADABLE as error:
        raise StorageError(f"cannot read the columns: {error}", where=snapshot.where(name)) from None
    return found


def find_rows(
    names: Sequence[str],
    opened: Callable[[str], BinaryIO],
    *,
    column: str,
    values: Collection[str],
    columns: Sequence[str] | None = None,
    where: str = "",
) -> list[dict[str, Any]]:
    """Return the rows of Parquet files in which a column holds one of some values.

    Parameters
    ----------
    names : sequence of str
        Of the files.
    opened : callable
        Returns one of them as a file, and raises where it should not be read.
    column : str
        Of text.
    values : collection of str
    columns : sequence of str, optional
        What to return, all by default.
    where : str
        The place of the files, for the error's sentence.

    Raises
    ------
    StorageError
        A file cannot be read: names it.
    """
    wanted = _as_texts(sorted(set(values)))
    rows: list[dict[str, Any]] = []
    for name in names if len(wanted) else []:
        try:
            with opened(name) as source, pq.ParquetFile(source, buffer_size=BUFFER_BYTES) as file:
                groups = [i for i in range(file.num_row_groups) if _may_hold(file, i, column, values)]
                # Without groups it would read all of them.
                batches = file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns) if groups else ()
                for batch in batches:
                    found = batch.filter(pc.is_in(batch.column(column), value_set=wanted))
                    rows += found.to_pylist() if found.num_rows else []
        except UNREADABLE as error:
            raise StorageError(
                f"cannot read the rows: {error}",
                where="/".join(filter(None, (where, name))),
                todo="run `musicrec refresh`; `musicrec doctor --root ROOT` checks all files of the snapshot",
            ) from None
    return rows


def _may_hold(file: pq.ParquetFile, group: int, column: str, values: Collection[str]) -> bool:
    """Return whether a value lies between the least and the greatest of a row group, as far as the file tells."""
    chunk = file.metadata.row_group(group).column(file.schema_arrow.get_field_index(column))
    statistics = chunk.statistics
    if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, str):
        return True
    # Parquet sorts text by its bytes in UTF-8, which is also the order of Python's text.
    return any(statistics.min <= value <= statistics.max for value in values)


def _as_texts(values: Sequence[str]) -> pa.StringArray:
    # What a shell passes on may be no text; then no song has it.
    encoded = [value.encode(errors="surrogateescape") for value in values]
    offsets = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))
