"""Read the user's files with declared types; read and write our own Parquet datasets.

Column names come from the file's header, keys or footer, types never do: CSV and JSON are read as text and
parsed by the cleaning, which knows what each value must be (`inferSchema` would guess from what it happens
to see, and read the file twice).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE, check_no_repeats
from musicrec.catalog.given_rows import GivenRows, as_local_rows, can_read_here, one_slash
from musicrec.catalog.row_groups import RowGroups, find_row_groups
from musicrec.errors import InputError
from musicrec.spark.failures import input_errors
from musicrec.spark.session import lists_files_here
from musicrec.storage.files import local_paths, local_sizes

ENDINGS = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "json": "jsonl",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
}


def read_rows(session: SparkSession, uri: str, *, file_format: str, multiline: bool) -> GivenRows:
    """Return the rows of a file, directory or glob.

    Parameters
    ----------
    uri : str
        Anything that Spark reads.
    file_format : {"auto", "csv", "jsonl", "parquet"}
        "auto" goes by the endings of the files.
    multiline : bool
        CSV fields may hold line breaks.

    Returns
    -------
    GivenRows
        With the source's columns: text for CSV and JSON, the file's own types for Parquet.

    Raises
    ------
    InputError
        No such path, an empty or broken file (named), different headers.
    """
    with input_errors(uri):
        sizes = _list_sizes(session, uri)
        files = list(sizes)
        kind = _detect_format(files, uri=uri) if file_format == "auto" else file_format
        if kind == "parquet":
            groups = find_local_groups(session, files)
            if groups and can_read_here(groups):
                return as_local_rows(session, files, groups)
            rows = _read_parquet(session, uri, sizes)
        elif not any(sizes.values()):
            # Some empty parts are no trouble: writers of CSV and JSON leave them behind.
            _refuse_empty(files)
        elif kind == "csv":
            rows = _read_csv(session, uri, files, multiline=multiline)
        else:
            rows = _read_jsonl(session, uri)
        names = [name for name in rows.columns if name not in (MALFORMED, SOURCE_FILE)]
        return GivenRows(names, files, rows)


def find_local_groups(
    session: SparkSession, files: Sequence[str], *, columns: Sequence[str] | None = None
) -> RowGroups | None:
    """Return the row groups that tasks can read themselves, as `find_row_groups`; None where Spark has to read.

    Parameters
    ----------
    session : SparkSession
    files : sequence of str
        URIs.
    columns : sequence of str, optional
        That are wanted.
    """
    paths = local_paths(files) if lists_files_here(session) else None
    # To Spark a directory such as day=1 is a column.
    if not paths or any("=" in path.rpartition("/")[0] for path in paths):
        return None
    return find_row_groups(paths, columns=columns)


def find_files(session: SparkSession, uri: str) -> list[str]:
    """Return the URIs of the files of a path, in order, as Spark finds them.

    Raises
    ------
    InputError
        There are none, or the path cannot be read.
    """
    with input_errors(uri):
        # Spark lists summaries such as _metadata, too, and reads past them.
        files = sorted({file for file in _list(session, uri).inputFiles() if _is_data(file.rpartition("/")[2])})
    if not files:
        raise InputError(f"no files under {uri}", todo="correct the path")
    return files


def read_counted_parquet(session: SparkSession, uri: str) -> tuple[DataFrame, int]:
    """Return the rows of Parquet files as `read_rows`, and how many they are by their footers.

    Raises
    ------
    InputError
        As `read_rows`.
    """
    with input_errors(uri):
        rows = _read_parquet(session, uri, _list_sizes(session, uri))
        return rows, rows.count()


def _read_parquet(session: SparkSession, uri: str, sizes: Mapping[str, int]) -> DataFrame:
    # Spark says the same of a file of no bytes as of one of another format. One of no rows is fine.
    if empty := [file for file, n_bytes in sizes.items() if not n_bytes]:
        _refuse_empty(empty)
    # Without the merge Spark takes one file's columns for all, and those that only others have are lost.
    rows = session.read.option("mergeSchema", "true").parquet(uri)
    # Spark Connect looks at the files only when it is asked what is in them.
    _ = rows.schema
    return _with_source_file(rows.withColumn(MALFORMED, F.lit(None).cast("string")))


def _list_sizes(session: SparkSession, uri: str) -> dict[str, int]:
    """Return the bytes of each file of a path."""
    files = find_files(session, uri)
    # To ask a file system for a file's size is quicker than a job.
    sizes = local_sizes(files) if lists_files_here(session) else None
    if sizes is not None:
        return sizes
    # Spark plans no task for a file without bytes, so it never shows up among the rows: only in the listing.
    filled = _list(session, uri).select(
        F.col("_metadata.file_path").alias("path"), F.col("_metadata.file_size").alias("n")
    )
    n_bytes = {one_slash(row["path"]): row["n"] for row in filled.collect()}
    return {file: n_bytes.get(one_slash(file), 0) for file in files}


def _is_data(name: str) -> bool:
    return not name.startswith(".") and (not name.startswith("_") or "=" in name)


def _list(session: SparkSession, uri: str) -> DataFrame:
    # Of all formats this one alone looks into no file.
    return session.read.format("binaryFile").load(uri)


def _detect_format(files: Sequence[str], *, uri: str) -> str:
    kinds: set[str] = set()
    for file in files:
        name = file.lower().rsplit("/", 1)[-1]
        ending = re.sub(r"\.(gz|bz2|zst|lz4|snappy)$", "", name).rpartition(".")[2]
        kinds.add(ENDINGS.get(ending, f".{ending}"))
    if len(kinds) == 1 and (kind := kinds.pop()) in ENDINGS.values():
        return kind
    raise InputError(
        f"cannot tell the format by the endings: {', '.join(sorted(kinds))}",
        where=uri,
        todo="set input.format to csv, jsonl or parquet, or use a glob such as *.parquet",
    )


def _refuse_empty(files: Sequence[str]) -> NoReturn:
    raise InputError(
        f"{'the file is' if len(files) == 1 else f'{len(files)} files are'} empty (0 bytes)",
        where=", ".join(files[:3]),
        todo="replace or remove the file",
    )


def _read_csv(session: SparkSession, uri: str, files: Sequence[str], *, multiline: bool) -> DataFrame:
    tab = all(".tsv" in file.lower().rsplit("/", 1)[-1] for file in files)
    options = {
        "header": "true",
        "multiLine": str(multiline).lower(),
        "sep": "\t" if tab else ",",
        # RFC 4180 doubles a quote inside quotes; Spark's default is a backslash.
        "escape": '"',
        # Compares each file's header instead of mixing up columns in another order.
        "enforceSchema": "false",
        "columnNameOfCorruptRecord": MALFORMED,
    }
    names = [name.removeprefix("\ufeff") for name in session.read.options(**options).csv(uri).columns]
    check_no_repeats(names, where=uri)
    rows = session.read.options(**options).schema(_text_schema(names)).csv(uri)
    return _with_source_file(rows)


def _read_jsonl(session: SparkSession, uri: str) -> DataFrame:
    lines = session.read.text(uri)
    keys = lines.select(F.explode(F.json_object_keys("value")).alias("key")).distinct()
    names = sorted(row["key"] for row in keys.collect())
    if not names:
        raise InputError("no line holds a JSON object", where=uri, todo="write one song per line as a JSON object")
    with_case = session.read.option("columnNameOfCorruptRecord", MALFORMED)
    return _with_source_file(with_case.schema(_text_schema(names)).json(uri))


def _text_schema(names: Sequence[str]) -> StructType:
    return StructType([StructField(name, StringType()) for name in (*names, MALFORMED)])


def _with_source_file(rows: DataFrame) -> DataFrame:
    return rows.withColumn(SOURCE_FILE, F.col("_metadata.file_path"))
