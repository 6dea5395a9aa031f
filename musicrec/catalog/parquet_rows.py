"""Local Parquet files of any types as rows that tasks read, a row group each: no row passes through the JVM.

Columns that differ from file to file are one column of text: pandas writes whole numbers as floats where one of
them is missing, and NULL as a type of its own where all are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE
from musicrec.catalog.given_rows import GivenRows, in_order
from musicrec.catalog.row_groups import RowGroups, open_parquet
from musicrec.catalog.text_files import SAMPLE_ROWS
from musicrec.catalog.text_rows import MAX_SAMPLED, unite_names
from musicrec.catalog.texts import as_texts
from musicrec.errors import InputError
from musicrec.spark.partitions import default_partitions
from musicrec.spark.tasks import Batches, each_number
from musicrec.storage import byte_files
from musicrec.storage.byte_files import InputFile

READ_ROWS = 32_768
# Of a task, where there are more rows than tasks to keep all cores busy.
TASK_ROWS = 2**20
# Files that the driver looks into at once.
N_THREADS = 8


@dataclass(frozen=True)
class _File:
    """A file, its flat columns, the names of these that all files share, and what the way to it says."""

    path: InputFile
    schema: pa.Schema
    own_names: Mapping[str, str]
    constants: Mapping[str, str]


def as_parquet_rows(session: SparkSession, paths: Sequence[InputFile], *, root: str) -> GivenRows:
    """Return the rows of Parquet files that tasks open themselves.

    Parameters
    ----------
    session : SparkSession
    paths : sequence of str or StoredFile
    root : str
        The path that the user gave: directories below it such as day=1 are columns.

    Raises
    ------
    InputError
        A file is broken, or has two columns of one name.
    """
    groups, schemas, n_rows = list[tuple[InputFile, int]](), list[pa.Schema](), 0
    for path in paths:
        with _footer(path) as file:
            schemas.append(_flat_schema(file.schema_arrow, path))
            groups += [(path, group) for group in range(file.num_row_groups)]
            n_rows += file.metadata.num_rows
    shared, own_names = unite_names([schema.names for schema in schemas])
    constants = [byte_files.named_values(path, root) for path in paths]
    added = list(dict.fromkeys(name for some in constants for name in some if name not in shared))
    kinds = _kinds(schemas, own_names) | dict.fromkeys(added, pa.string())
    files = {path: _File(path, *some) for path, *some in zip(paths, schemas, own_names, constants, strict=True)}
    opened = RowGroups(tuple(groups), pa.schema([]), n_rows)

    def read(batches: Batches, columns: Sequence[str]) -> Batches:
        for number in each_number(batches):
            yield from _read_group(opened, number, files, columns, kinds, READ_ROWS)

    n = len(groups)
    n_tasks = max(1, min(n, max(default_partitions(session), n_rows // TASK_ROWS)))
    names = [*shared, *added]
    by_file = {byte_files.uri_of(path): [*own, *added] for path, own in zip(paths, own_names, strict=True)}
    uris = list(by_file)
    sample = _sample(opened, files, names, kinds)
    return GivenRows(names, uris, session.range(0, n, 1, n_tasks), read, sample, by_file, (), n_rows)


def _footer(path: InputFile) -> pq.ParquetFile:
    with byte_files.reading(path):
        if not byte_files.size_of(path):
            raise InputError("the file is empty (0 bytes)", where=str(path), todo="replace or remove the file")
        try:
            return open_parquet(path)
        except pa.ArrowInvalid as error:
            raise InputError(
                f"the file is no Parquet, or is cut off: {str(error).split(chr(10))[0]}",
                where=str(path), todo="replace or remove the file",
            ) from None  # fmt: skip


def _flat_schema(schema: pa.Schema, path: InputFile) -> pa.Schema:
    """Return the columns of a file, those within a structure by the names on the way to them."""
    repeated = sorted(name for name in set(schema.names) if schema.names.count(name) > 1)
    if repeated:
        raise InputError(
            f"two columns have one name: {repeated[0]!r}", where=str(path), todo="rename or drop one of them"
        )
    flat = schema.remove_metadata().empty_table()
    while any(pa.types.is_struct(field.type) for field in flat.schema):
        flat = flat.flatten()
    return flat.schema


def _kinds(schemas: Sequence[pa.Schema], own_names: Sequence[Mapping[str, str]]) -> dict[str, pa.DataType]:
    """Return the type of each shared column: its own where all files have the same, else text."""
    found: dict[str, set[pa.DataType]] = {}
    for schema, own in zip(schemas, own_names, strict=True):
        for name, column in own.items():
            kind = _plain_kind(schema.field(column).type)
            kinds = found.setdefault(name, set())
            if not pa.types.is_null(kind):
                kinds.add(kind)
    return {name: kinds.pop() if len(kinds) == 1 else pa.string() for name, kinds in found.items()}


def _plain_kind(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column is handed over with: one of few."""
    if pa.types.is_dictionary(kind):
        return _plain_kind(kind.value_type)
    if pa.types.is_boolean(kind) or pa.types.is_date32(kind) or pa.types.is_null(kind):
        return kind
    if pa.types.is_integer(kind):
        return pa.string() if pa.types.is_uint64(kind) else pa.int64()
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return pa.float32()
    if pa.types.is_duration(kind):
        return pa.int64()
    return pa.float64() if pa.types.is_float64(kind) or pa.types.is_decimal(kind) else pa.string()


def _as_kind(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column as the plain type that all files have it in."""
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if plain.type == kind:
        return plain
    if pa.types.is_null(plain.type):
        return pa.nulls(len(plain), kind)
    if pa.types.is_duration(plain.type):
        # What lasts is told in milliseconds.
        plain = pc.cast(pc.cast(plain, pa.duration("ms"), safe=False), pa.int64())
    if pa.types.is_string(kind):
        return as_texts(plain)
    return pc.cast(plain, kind, safe=False)


def _read_group(
    groups: RowGroups,
    number: int,
    files: Mapping[InputFile, _File],
    columns: Sequence[str],
    kinds: Mapping[str, pa.DataType],
    n_rows: int,
) -> Batches:
    file = files[groups.groups[number][0]]
    wanted = {name: file.own_names[name] for name in columns if name in file.own_names}
    roots = sorted({name.split(".")[0] for name in wanted.values()})
    # pyarrow takes a dot for the way to a part of a column; a name that holds one itself is found among all.
    with groups.opened(number) as (opened, group):
        some = roots if _has_no_dots(opened.schema_arrow.names) else None
        for batch in opened.iter_batches(n_rows, row_groups=[group], columns=some, use_threads=False):
            table = pa.Table.from_batches([batch])
            while any(pa.types.is_struct(field.type) for field in table.schema):
                table = table.flatten()
            arrays = {name: _as_kind(_whole(table[column]), kinds[name]) for name, column in wanted.items()}
            for name, value in file.constants.items():
                arrays[name] = pa.repeat(pa.scalar(value, pa.string()), len(table))
            rows = pa.table(arrays) if arrays else table.select([])
            yield from _with_kinds(rows, columns, kinds, uri=byte_files.uri_of(file.path), n=len(table))


def _with_kinds(
    rows: pa.Table, columns: Sequence[str], kinds: Mapping[str, pa.DataType], *, uri: str, n: int
) -> Iterator[pa.RecordBatch]:
    """Yield the wanted columns; what this file does not have is NULL, of the type that others have it in."""
    for name in columns:
        if name in kinds and name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(n, kinds[name]))
    yield from in_order(rows, columns, uri=uri)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _has_no_dots(names: Sequence[str]) -> bool:
    return not any("." in name for name in names)


def _sample(
    groups: RowGroups, files: Mapping[InputFile, _File], names: Sequence[str], kinds: Mapping[str, pa.DataType]
) -> pa.Table:
    """Return the first rows of some files."""
    firsts = [number for number, (_, group) in enumerate(groups.groups) if group == 0][:MAX_SAMPLED]
    sampled = [*names, MALFORMED, SOURCE_FILE]
    found = [pa.schema([(name, kinds.get(name, pa.string())) for name in sampled]).empty_table()]

    def first_rows(number: int) -> pa.RecordBatch | None:
        return next(iter(_read_group(groups, number, files, sampled, kinds, SAMPLE_ROWS)), None)

    with ThreadPoolExecutor(N_THREADS) as pool:
        batches = [batch for batch in pool.map(first_rows, firsts) if batch is not None]
    found += [pa.Table.from_batches([batch]).rename_columns(sampled) for batch in batches]
    return pa.concat_tables(found)
