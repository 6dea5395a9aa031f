"""What Spark's errors mean, in one sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pyspark.errors import PySparkException

from musicrec.errors import DISK_FAULTS, InputError, MusicrecError, QualityError, StorageError, disk_error, shorten

FILE_IN_MESSAGE = re.compile(r"(?:file|hdfs|s3a?|gs|abfss?|dbfs):/[^\s'\",;\])]*[^\s'\",;\].)]")
SPARK_ERRORS: tuple[type[Exception], ...] = (PySparkException,)
# The client of Spark Connect comes without py4j.
with suppress(ImportError):
    from py4j.protocol import Py4JJavaError

    # A failed task reaches Python as the one or as the other, by the Java class of its cause.
    SPARK_ERRORS = (PySparkException, Py4JJavaError)
GONE_FILE = "FILE_NOT_EXIST"
BROKEN_FILE = ("FAILED_READ_FILE", "CANNOT_READ_FILE_FOOTER", "Could not read footer", "is not a Parquet file")

# The file that could not be written, as Spark's writer, Java and Python name it; a shuffle names none.
REFUSED_FILE = re.compile(
    rf"writing rows to (?:file:)?(/[^\s'\",;]*[^\s'\",;.])|(/[^'\",;\n]+) \((?:{'|'.join(DISK_FAULTS)})\)"
    rf"|(?:{'|'.join(DISK_FAULTS)}): '([^'\n]+)'"
)

# As Python's trace of a task ends with it.
OWN_ERROR = re.compile(r"musicrec\.errors\.(\w+): error: ([^\n]*)((?:\n(?:where|to do): [^\n]*)*)")

# What Java says where it cannot start a worker, and the last line of a worker's own trace.
NO_PYTHON = re.compile(r"Cannot run program \"([^\"]+)\"|while reading the port number from \S+ stdout")
NO_MODULE = re.compile(r"^\s*ModuleNotFoundError: No module named '([\w.]+)'", re.M)


@contextmanager
def input_errors(uri: str) -> Iterator[None]:
    """Turn what Spark says of a broken or missing input file into one sentence that names the file.

    Raises
    ------
    InputError
        Instead of the PySparkException.
    """
    try:
        yield
    except SPARK_ERRORS as error:
        refused = as_own_error(error) or as_input_error(error, uri=uri)
        if refused is None:
            raise
        raise refused from error


def as_input_error(error: Exception, *, uri: str) -> InputError | None:
    """Return the refusal that an error of Spark stands for, None where the input is not to blame."""
    text = str(error)
    condition = (error.getCondition() or "") if isinstance(error, PySparkException) else ""
    named = sorted(set(FILE_IN_MESSAGE.findall(text)))
    where = ", ".join(named[:3]) or uri
    if condition.startswith("PATH_NOT_FOUND"):
        return InputError(f"no such path: {uri}", todo="correct the path")
    if "No FileSystem for scheme" in text or "UnsupportedFileSystemException" in text:
        return InputError(
            "Spark knows no store of this kind",
            where=uri,
            todo="give Spark its connector, or a path that is mounted",
        )
    if condition.startswith("CANNOT_MERGE_SCHEMAS"):
        return InputError(
            "Parquet files with different types for one column", where=where, todo="rewrite them alike"
        )
    if GONE_FILE in text:
        return InputError(
            "a file is gone that was there when the run began",
            where=where,
            todo="leave the inputs as they are while a run reads them, and run again",
        )
    if condition.startswith("UNABLE_TO_INFER_SCHEMA") or any(sign in text for sign in BROKEN_FILE):
        return InputError(
            "a file cannot be read: it is broken or of another format",
            where=where,
            todo="replace or remove the file",
        )
    return None


def as_own_error(error: Exception) -> MusicrecError | None:
    """Return the error of ours that a task ended with, as it was told there; None where it was none."""
    found = list(OWN_ERROR.finditer(str(error)))
    if not found:
        return _as_worker_error(str(error))
    kinds = {kind.__name__: kind for kind in (InputError, QualityError, StorageError)}
    if found[-1].group(1) not in kinds:
        return None
    more = dict(line.split(": ", 1) for line in found[-1].group(3).split("\n") if line)
    kind, what = kinds[found[-1].group(1)], found[-1].group(2)
    return kind(what, where=more.get("where", ""), todo=more.get("to do", ""))


def _as_worker_error(text: str) -> StorageError | None:
    """Return what is wrong with the Python of a worker, None where it is fine."""
    gone, module = NO_PYTHON.search(text), NO_MODULE.search(text)
    if not (gone or module):
        return None
    what = f"has no module {module.group(1)!r}" if module else "does not start"
    return StorageError(
        f"the Python of a Spark worker {what}",
        where=(gone and gone.group(1)) or "",
        todo="set PYSPARK_PYTHON to a Python with musicrec's packages, on every machine",
    )


def as_disk_error(error: Exception, *, scratch: str) -> StorageError | None:
    """Return the sentence for a disk that refused a task or the JVM, None where none did.

    Parameters
    ----------
    error : Exception
        Of Spark.
    scratch : str
        Where Spark keeps its shuffles: the place, where the error names none.
    """
    named = REFUSED_FILE.search(str(error))
    where = next(filter(None, named.groups())) if named else f"{scratch} (Spark's scratch, spark.local.dir)"
    return disk_error(str(error), where=where)


def describe_error(error: Exception) -> str:
    """Return one bounded line for an error of Spark, without its JVM frames."""
    causes = re.findall(r"(?:^|Caused by: )([\w.$]+(?:Exception|Error): [^\n]+)", str(error), flags=re.M)
    first = causes[-1] if causes else str(error).split("\nJVM stacktrace", 1)[0].split("\n\tat ", 1)[0]
    return shorten(first)
