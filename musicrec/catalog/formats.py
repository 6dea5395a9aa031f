"""Which files a path means, of which format they are, and who reads them: our tasks, or Spark.

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
from musicrec.catalog.given_rows import GivenRows, quoted
from musicrec.catalog.parquet_rows import as_parquet_rows
from musicrec.catalog.row_groups import RowGroups, find_row_groups
from musicrec.catalog.text_files import SAMPLE_ROWS
from musicrec.catalog.text_rows import as_remote_rows, as_text_rows
from musicrec.config import InputConfig
from musicrec.errors import InputError
from musicrec.spark.failures import input_errors
from musicrec.spark.session import has_own_files, lists_files_here
from musicrec.storage import byte_files, environment

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
        files = find_files(session, uri)
        if not are_songs:
            is_told = any(ENDINGS.get(_ending(file)) for file in files)
            settings = settings.model_copy(
                update={"csv_names": (), "format": "auto" if is_told else settings.format}
            )
        kind, files, left_out = choose_files(files, settings.format, uri=uri)
        path = _local(session, uri)
        if path is None:
            if kind == "parquet":
                rows = _read_remote_parquet(session, uri, files)
            else:
                rows = _read_remote_text(session, uri, kind, files, has_others=bool(left_out), settings=settings)
        else:
            sizes = {file: byte_files.size_of(_path_of(file)) for file in files}
            empty = [file for file, size in sizes.items() if not size]
            if empty and (kind == "parquet" or len(empty) == len(files)):
                _refuse_empty(empty)
            # Some empty parts are no trouble: writers of CSV and JSON leave them behind.
            left_out = [*left_out, *empty]
            paths = [_path_of(file) for file in files if sizes[file]]
            if kind == "parquet":
                rows = as_parquet_rows(session, paths, root=path)
            else:
                rows = as_text_rows(session, paths, kind, root=path, settings=settings)
        if left_out:
            names = ", ".join(file.rsplit("/", 1)[-1] for file in left_out[:5])
            more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
            rows = rows.with_said(f"left out, as they hold no rows of {FORMATS[kind]}: {names}{more}")
        return rows


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
    paths = [byte_files.local_path(file) for file in files] if lists_files_here(session) else [None]
    here = [path for path in paths if path is not None]
    # To Spark a directory such as day=1 is a column.
    if len(here) < len(paths) or any("=" in path.rpartition("/")[0] for path in here):
        return None
    return find_row_groups(here, columns=columns)


def find_files(session: SparkSession, uri: str) -> list[str]:
    """Return the URIs of the files of a path, in order.

    Raises
    ------
    InputError
        There are none, or the path cannot be read.
    """
    path = _local(session, uri)
    if path is not None:
        paths = byte_files.list_paths(path)
        if paths is None:
            raise InputError(f"no such path: {uri}", todo="correct the path")
        files = [byte_files.file_uri(file) for file in paths if byte_files.is_data(file.rpartition("/")[2])]
    else:
        _check_scheme(uri)
        with input_errors(uri):
            # Spark lists summaries such as _metadata, too, and reads past them.
            listed = _list(session, uri).inputFiles()
            files = sorted({file for file in listed if byte_files.is_data(file.rpartition("/")[2])})
    if not files:
        raise InputError(f"no files under {uri}", todo="correct the path")
    return files


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
        rows = _read_parquet(session, uri, find_files(session, uri))
        return rows, rows.count()


def _read_remote_text(
    session: SparkSession, uri: str, kind: str, files: Sequence[str], *, has_others: bool, settings: InputConfig
) -> GivenRows:
    """Return the rows of CSV or JSON that tasks cannot open themselves, maybe among files of no format."""
    contents = _list(session, uri).where(F.col("length") > 0)
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
    if _local(session, uri) is not None:
        return [file for file in files if not byte_files.size_of(_path_of(file))]
    # Spark plans no task for a file without bytes, so it never shows up among the rows: only in the listing.
    filled = _list(session, uri).select(F.col("_metadata.file_path").alias("path"))
    has_bytes = {_one_slash(row["path"]) for row in filled.collect()}
    return [file for file in files if _one_slash(file) not in has_bytes]


def _one_slash(uri: str) -> str:
    """Return the URI of a file as Spark's rows have it: file:/a for what it lists as file:///a."""
    return re.sub(r"^file:/+", "file:/", uri)


def _local(session: SparkSession, uri: str) -> str | None:
    """Return a path whose files this process and its tasks can open, None where only Spark can."""
    if not lists_files_here(session):
        return None
    # Without a scheme it is a path of whatever file system a cluster has by default.
    is_clear = uri.startswith("file:") or not (environment.has_cluster_files() or has_own_files(session))
    return byte_files.local_path(uri) if is_clear else None


def _path_of(uri: str) -> str:
    return byte_files.local_path(uri) or uri


def _as_pattern(session: SparkSession, uri: str) -> str:
    """Return a path as Spark reads it: one that exists is no pattern."""
    path = _local(session, uri)
    if path is None or not byte_files.exists(path):
        return uri
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def _check_scheme(uri: str) -> None:
    if uri.startswith(("http://", "https://")):
        raise InputError("songs are not read from the web", where=uri, todo="download the file and give its path")


def _list(session: SparkSession, uri: str) -> DataFrame:
    # Of all formats this one alone looks into no file.
    return session.read.format("binaryFile").load(uri)


def _ending(file: str) -> str:
    name = file.lower().rsplit("/", 1)[-1]
    return re.sub(PACKED_ENDING, "", name).rpartition(".")[2] if "." in name else ""


def _refuse_empty(files: Sequence[str]) -> NoReturn:
    raise InputError(
        f"{'the file is' if len(files) == 1 else f'{len(files)} files are'} empty (0 bytes)",
        where=", ".join(files[:3]),
        todo="replace or remove the file",
    )
