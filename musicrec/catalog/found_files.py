"""Which files a path means, and who opens them: our tasks, or Spark where only that can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from pyspark.sql import DataFrame, SparkSession

from musicrec.catalog.row_groups import RowGroups, find_row_groups
from musicrec.errors import InputError
from musicrec.spark.failures import SPARK_ERRORS, input_errors
from musicrec.spark.session import hadoop_settings, has_own_files, lists_files_here, says_unknown_scheme
from musicrec.storage import byte_files, environment
from musicrec.storage.byte_files import InputFile
from musicrec.storage.uris import KINDS, file_uri, local_path


def find_local_groups(
    session: SparkSession, files: Mapping[str, InputFile | None], *, columns: Sequence[str] | None = None
) -> RowGroups | None:
    """Return the row groups that tasks can read themselves, as `find_row_groups`; None where Spark has to read.

    Parameters
    ----------
    session : SparkSession
    files : mapping
        As `find_files` returns them.
    columns : sequence of str, optional
        That are wanted.
    """
    here = [file for file in files.values() if file is not None] if lists_files_here(session) else []
    # To Spark a directory such as day=1 is a column.
    if len(here) < len(files) or any("=" in str(file).rpartition("/")[0] for file in here):
        return None
    return find_row_groups(here, columns=columns)


def find_files(session: SparkSession, uri: str) -> dict[str, InputFile | None]:
    """Return the files of a path in order: each URI with what tasks open, None where only Spark can.

    Raises
    ------
    InputError
        There are none, or the path cannot be read.
    """
    files: dict[str, InputFile | None] = {}
    path = as_local(session, uri)
    if path is not None:
        paths = byte_files.list_paths(path)
        if paths is None:
            raise InputError(f"no such path: {uri}", todo="correct the path")
        files.update({file_uri(file): file for file in paths if byte_files.is_data(_name_of(file))})
    else:
        _check_scheme(uri)
        with input_errors(uri):
            listed = _listed(session, uri)
        if listed is None:
            stored = byte_files.list_stored(uri, hadoop=hadoop_settings(session))
            files.update({str(file): file for file in stored})
        else:
            # Spark lists summaries such as _metadata, too, and reads past them.
            files.update(dict.fromkeys(sorted({file for file in listed if byte_files.is_data(_name_of(file))})))
    if not files:
        raise InputError(f"no files under {uri}", todo="correct the path")
    return files


def _listed(session: SparkSession, uri: str) -> list[str] | None:
    """Return the files that Spark lists; None where it has no client for a store that we have one for."""
    try:
        return list_by_spark(session, uri).inputFiles()
    except SPARK_ERRORS as error:
        is_ours = urlsplit(uri).scheme in KINDS and lists_files_here(session)
        if is_ours and says_unknown_scheme(error):
            return None
        raise


def _name_of(file: str) -> str:
    return file.rpartition("/")[2]


def as_local(session: SparkSession, uri: str) -> str | None:
    """Return a path whose files this process and its tasks can open, None where only Spark can."""
    if not lists_files_here(session):
        return None
    # Without a scheme it is a path of whatever file system a cluster has by default.
    is_clear = uri.startswith("file:") or not (environment.has_cluster_files() or has_own_files(session))
    return local_path(uri) if is_clear else None


def _check_scheme(uri: str) -> None:
    if uri.startswith(("http://", "https://")):
        raise InputError("songs are not read from the web", where=uri, todo="download the file and give its path")


def list_by_spark(session: SparkSession, uri: str) -> DataFrame:
    """Return `path, length, content` of the files that Spark finds; it looks into none until it is asked."""
    # Of all formats this one alone looks into no file.
    return session.read.format("binaryFile").load(uri)
