"""Of which format files are, and their rows: read by our tasks, or by Spark.

Column names come from the files, types never do: CSV and JSON are read as text and parsed by the cleaning, which
knows what each value must be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE
from musicrec.catalog.found_files import as_local, find_files, list_by_spark
from musicrec.catalog.given_rows import GivenRows, quoted
from musicrec.catalog.parquet_rows import as_parquet_rows
from musicrec.catalog.text_files import SAMPLE_ROWS
from musicrec.catalog.text_rows import as_remote_rows, as_text_rows
from musicrec.config import InputConfig
from musicrec.errors import InputError
from musicrec.spark.failures import input_errors
from musicrec.storage import byte_files
from musicrec.storage.uris import exists, local_path

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
FORMATS = {"csv": "CSV", "jsonl": "JSON", "parquet": "Parquet"}
SPREADSHEETS = ("xlsx", "xls", "xlsm", "ods", "numbers")
PACKED_ENDING = r"\.(?:gz|bz2|zst|lz4|snappy)$"


def read_rows(session: SparkSession, uri: str, settings: InputConfig, *, are_songs: bool = True) -> GivenRows:
    """Return the rows of a file, directory or glob.

    Parameters
    ----------
    session : SparkSession
    uri : str
        A local path that exists, a pattern of such, or anything that Spark reads.
    settings : InputConfig
        `format`, and how CSV is written where the files do not tell.
    are_songs : bool
        They are what `format` and `csv_names` are said of. Of other files the names are not, and the format counts
        where no ending tells it.

    Returns
    -------
    GivenRows
        With the source's columns: text for CSV and JSON, the file's own types for Parquet.

    Raises
    ------
    InputError
        No such path, or a file (named) that is empty, broken or of another format.
    """
    with input_errors(uri):
        found = find_files(session, uri)
        files = list(found)
        if not are_songs:
            is_told = any(ENDINGS.get(_ending(file)) for file in files)
            settings = settings.model_copy(
                update={"csv_names": (), "format": "auto" if is_told else settings.format}
            )
        kind, files, left_out = choose_files(files, settings.format, uri=uri)
        opened = {file: found[file] for file in files}
        if any(file is None for file in opened.values()):
            if kind == "parquet":
                rows = _read_remote_parquet(session, uri, files)
            else:
                rows = _read_remote_text(session, uri, kind, files, has_others=bool(left_out), settings=settings)
        else:
            sizes = {uri: byte_files.size_of(file) for uri, file in opened.items() if file is not None}
            empty = [file for file, size in sizes.items() if not size]
            if empty and (kind == "parquet" or len(empty) == len(files)):
                _refuse_empty(empty)
            # Some empty parts are no trouble: writers of CSV and JSON leave them behind.
            left_out = [*left_out, *empty]
            paths = [file for uri, file in opened.items() if file is not None and sizes[uri]]
            root = as_local(session, uri) or uri
            if kind == "parquet":
                rows = as_parquet_rows(session, paths, root=root)
            else:
                rows = as_text_rows(session, paths, kind, root=root, settings=settings)
        if left_out:
            names = ", ".join(file.rsplit("/", 1)[-1] for file in left_out[:5])
            more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
            rows = rows.with_said(f"left out, as they hold no rows of {FORMATS[kind]}: {names}{more}")
        return rows


def choose_files(files: Sequence[str], file_format: str, *, uri: str) -> tuple[str, list[str], list[str]]:
    """Return the format of some files, those that are of it, and those that are of none.

    Parameters
    ----------
    files : sequence of str
    file_format : {"auto", "csv", "jsonl", "parquet"}
        "auto" goes by the endings.
    uri : str
        Where they are, for messages.

    Raises
    ------
    InputError
        They are of several formats, or of none that is known.
    """
    if file_format != "auto":
        return file_format, list(files), []
    endings = {file: _ending(file) for file in files}
    if sheets := [file for file, ending in endings.items() if ending in SPREADSHEETS]:
        raise InputError("a spreadsheet cannot be read", where=sheets[0], todo="save it as CSV")
    # A text beside data is about it.
    is_alone = all(ENDINGS.get(ending) is None or ending == "txt" for ending in endings.values())
    kinds = {
        file: ENDINGS.get(ending) if is_alone or ending != "txt" else None for file, ending in endings.items()
    }
    known = sorted({kind for kind in kinds.values() if kind})
    if len(known) == 1:
        chosen = [file for file in files if kinds[file]]
        return known[0], chosen, [file for file in files if not kinds[file]]
    examples = [next(file for file in files if kinds[file] == kind) for kind in known] or list(files)
    raise InputError(
        f"cannot tell the format by the endings: {', '.join(sorted({f'.{end}' for end in endings.values()}))}",
        where=", ".join(examples[:3]) or uri,
        todo="set input.format to csv, jsonl or parquet, or use a glob such as *.parquet",
    )


def file_title(uri: str) -> str:
    """Return the name of a file without its directories and its endings."""
    name = unquote(uri.rsplit("/", 1)[-1])
    name = re.sub(PACKED_ENDING, "", name, flags=re.I)
    return re.sub(rf"\.(?:{'|'.join(ENDINGS)})$", "", name, flags=re.I)


def read_counted_parquet(session: SparkSession, uri: str) -> tuple[DataFrame, int]:
    """Return the rows of Parquet files by Spark, and how many they are by their footers.

    Raises
    ------
    InputError
        As `read_rows`.
    """
    with input_errors(uri):
        rows = _read_parquet(session, uri, list(find_files(session, uri)))
        return rows, rows.count()


def _read_remote_text(
    session: SparkSession, uri: str, kind: str, files: Sequence[str], *, has_others: bool, settings: InputConfig
) -> GivenRows:
    """Return the rows of CSV or JSON that tasks cannot open themselves, maybe among files of no format."""
    contents = list_by_spark(session, uri).where(F.col("length") > 0)
    if has_others:
        contents = contents.where(F.col("path").isin(list(files)))
    if contents.isEmpty():
        _refuse_empty(files)
    return as_remote_rows(files, kind, contents=contents, settings=settings)


def _read_remote_parquet(session: SparkSession, uri: str, files: Sequence[str]) -> GivenRows:
    """Return the rows of Parquet that tasks cannot open themselves."""
    rows = _read_parquet(session, uri, files)
    names = [name for name in rows.columns if name not in (MALFORMED, SOURCE_FILE)]
    sample = rows.select(*map(quoted, [*names, MALFORMED, SOURCE_FILE])).limit(SAMPLE_ROWS).toArrow()
    return GivenRows(names, files, rows, None, sample)


def _read_parquet(session: SparkSession, uri: str, files: Sequence[str]) -> DataFrame:
    # Spark says the same of a file of no bytes as of one of another format. One of no rows is fine.
    if empty := _without_bytes(session, uri, files):
        _refuse_empty(empty)
    # Without the merge Spark takes one file's columns for all, and those that only others have are lost.
    rows = session.read.option("mergeSchema", "true").parquet(_as_pattern(session, uri))
    # Spark Connect looks at the files only when it is asked what is in them.
    _ = rows.schema
    return rows.withColumn(MALFORMED, F.lit(None).cast("string")).withColumn(
        SOURCE_FILE, F.col("_metadata.file_path")
    )


def _without_bytes(session: SparkSession, uri: str, files: Sequence[str]) -> list[str]:
    if as_local(session, uri) is not None:
        return [file for file in files if not byte_files.size_of(local_path(file) or file)]
    # Spark plans no task for a file without bytes, so it never shows up among the rows: only in the listing.
    filled = list_by_spark(session, uri).select(F.col("_metadata.file_path").alias("path"))
    has_bytes = {_one_slash(row["path"]) for row in filled.collect()}
    return [file for file in files if _one_slash(file) not in has_bytes]


def _one_slash(uri: str) -> str:
    """Return the URI of a file as Spark's rows have it: file:/a for what it lists as file:///a."""
    return re.sub(r"^file:/+", "file:/", uri)


def _as_pattern(session: SparkSession, uri: str) -> str:
    """Return a path as Spark reads it: one that exists is no pattern."""
    path = as_local(session, uri)
    if path is None or not exists(path):
        return uri
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def _ending(file: str) -> str:
    name = file.lower().rsplit("/", 1)[-1]
    return re.sub(PACKED_ENDING, "", name).rpartition(".")[2] if "." in name else ""


def _refuse_empty(files: Sequence[str]) -> NoReturn:
    raise InputError(
        f"{'the file is' if len(files) == 1 else f'{len(files)} files are'} empty (0 bytes)",
        where=", ".join(files[:3]),
        todo="replace or remove the file",
    )
