"""Parquet files that tasks read themselves, a row group at a time: no row then passes through the JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.storage import byte_files
from musicrec.storage.byte_files import InputFile
from musicrec.storage.ranged import READ_BYTES, open_ranged

# Footers that the driver reads; of more files Spark's tasks read them.
MAX_FILES = 1000


@dataclass(frozen=True)
class RowGroups:
    """The row groups of files that are alike.

    Attributes
    ----------
    groups : tuple of (str or StoredFile, int)
        File, and number of the row group in it.
    schema : pyarrow.Schema
        Of the wanted columns, as the files have them.
    n_rows : int
    """

    groups: tuple[tuple[InputFile, int], ...]
    schema: pa.Schema
    n_rows: int

    @contextmanager
    def opened(self, number: int) -> Iterator[tuple[pq.ParquetFile, int]]:
        """Give the file of a row group, and the number of the group in it.

        Raises
        ------
        InputError
            It is gone, broken, or may not be read.
        """
        path, group = self.groups[number]
        # Without a buffer's size all of a column's bytes in a group are held at once.
        with byte_files.reading(path), open_parquet(path, buffer_size=READ_BYTES) as file:
            yield file, group


def open_parquet(path: InputFile, *, buffer_size: int = 0) -> pq.ParquetFile:
    """Return a file as pyarrow reads it, which closes with it.

    Parameters
    ----------
    path : str or StoredFile
    buffer_size : int
        Bytes that are read at once; 0: a column of a row group.
    """
    source = path if isinstance(path, str) else open_ranged(path.store, path.name, n_bytes=path.n_bytes)
    return pq.ParquetFile(source, buffer_size=buffer_size)


def find_row_groups(paths: Sequence[InputFile], *, columns: Sequence[str] | None = None) -> RowGroups | None:
    """Return the row groups of files that are alike; None where Spark has to look at them.

    Parameters
    ----------
    paths : sequence of str or StoredFile
    columns : sequence of str, optional
        That are wanted, each of one name; by default all.
    """
    if not 0 < len(paths) <= MAX_FILES:
        return None
    groups, schemas, n_rows = list[tuple[InputFile, int]](), list[pa.Schema](), 0
    try:
        for path in paths:
            with open_parquet(path) as file:
                found = file.schema_arrow.remove_metadata()
                schemas.append(found if columns is None else pa.schema([found.field(name) for name in columns]))
                groups += [(path, group) for group in range(file.num_row_groups)]
                n_rows += file.metadata.num_rows
    except (OSError, pa.ArrowException, KeyError):
        return None
    if any(_kinds(schema) != _kinds(schemas[0]) for schema in schemas):
        return None
    return RowGroups(tuple(groups), schemas[0], n_rows)


def _kinds(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    # Whether NULL is allowed, and what a writer noted of a column, makes no difference.
    return [(field.name, field.type) for field in schema]
