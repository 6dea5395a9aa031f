import errno
import importlib.util
import sys
from types import ModuleType

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from musicrec.errors import StorageError
from musicrec.spark import failures


def loaded_again() -> ModuleType:
    """A second copy: the one that everything uses stays as it is."""
    spec = importlib.util.spec_from_file_location("failures_again", failures.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_client_of_spark_connect_has_no_py4j(monkeypatch: pytest.MonkeyPatch) -> None:
    both = loaded_again()
    assert set(both.SPARK_ERRORS) == {PySparkException, Py4JJavaError}
    monkeypatch.setitem(sys.modules, "py4j.protocol", None)
    without = loaded_again()
    assert set(without.SPARK_ERRORS) == {PySparkException}


def test_an_error_of_ours_in_a_task_keeps_its_kind(spark) -> None:
    def fail(batches):
        yield from batches
        raise StorageError("cannot write: No space left on device", where="/full/part-0", todo="make room")

    with pytest.raises(failures.SPARK_ERRORS) as told:
        spark.range(1).mapInArrow(fail, "id long").count()
    own = failures.as_own_error(told.value)
    assert isinstance(own, StorageError)
    assert (own.what, own.where, own.todo) == (
        "cannot write: No space left on device",
        "/full/part-0",
        "make room",
    )
    assert failures.as_own_error(ValueError("musicrec.errors.NoSuch: error: x")) is None


@pytest.mark.parametrize(
    ("text", "says", "where"),
    [
        ('java.io.IOException: Cannot run program "/no/python": error=2', "does not start", "/no/python"),
        ("SparkException: EOFException occurred while reading the port number from pyspark.daemon's stdout.",
         "does not start", ""),
        ("  import torch\nModuleNotFoundError: No module named 'torch'\n", "has no module 'torch'", ""),
    ],
)  # fmt: skip
def test_a_worker_that_cannot_work_is_told(text: str, says: str, where: str) -> None:
    own = failures.as_own_error(ValueError(text))
    assert isinstance(own, StorageError)
    assert says in own.what
    assert own.where == where


def test_a_file_is_named_without_the_end_of_its_sentence() -> None:
    refused = failures.as_input_error(ValueError("CANNOT_READ_FILE_FOOTER file:/a/b.parquet. Could not"), uri="/a")
    assert refused is not None
    assert refused.where == "file:/a/b.parquet"


def told_by(spark, write) -> Exception:
    def fail(batches):
        yield from batches
        write()

    with pytest.raises(failures.SPARK_ERRORS) as told:
        spark.range(1).mapInArrow(fail, "id long").count()
    return told.value


def test_a_full_disk_under_a_task_is_one_sentence(spark) -> None:
    def write() -> None:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    found = failures.as_disk_error(told_by(spark, write), scratch="/scratch")
    assert isinstance(found, StorageError)
    assert found.what == "cannot write: the disk is full"
    assert found.where.startswith("/scratch ")

    def open_missing() -> None:
        raise OSError(errno.EROFS, "Read-only file system", "/read only/part-0")

    found = failures.as_disk_error(told_by(spark, open_missing), scratch="/scratch")
    assert found
    assert (found.what, found.where) == ("cannot read or write: the file system is read-only", "/read only/part-0")
    assert failures.as_disk_error(told_by(spark, lambda: 1 / 0), scratch="/scratch") is None


# As Spark 4 told them: a shuffle, its spill, its writer, and a directory that it could not make.
SAID = (
    ("java.io.IOException: No space left on device\n\tat java.base/sun.nio.ch", "the disk is full", ""),
    (
        "java.io.FileNotFoundException: /tmp/blockmgr-1/0c/temp_shuffle_2 (No space left on device)\n\tat",
        "the disk is full", "/tmp/blockmgr-1/0c/temp_shuffle_2",
    ),
    (
        "org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows to "
        "file:/data/out/work/2026-01-02-001/tracks. SQLSTATE: 58030\n\tat x\nCaused by: java.io.IOException: "
        "Disk quota exceeded\n\tat",
        "the disk quota is used up", "/data/out/work/2026-01-02-001/tracks",
    ),
    (
        "java.io.FileNotFoundException: /mnt/a b/x.parquet (Read-only file system)",
        "the file system is read-only", "/mnt/a b/x.parquet",
    ),
    (
        "java.io.FileNotFoundException: /scratch/blockmgr-1/11/x.data (Permission denied)",
        "permission denied", "/scratch/blockmgr-1/11/x.data",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("text", "fault", "where"), SAID)
def test_what_java_says_of_a_disk_names_the_place(text: str, fault: str, where: str) -> None:
    found = failures.as_disk_error(RuntimeError(text), scratch="/scratch")
    assert found
    assert found.what in (f"cannot write: {fault}", f"cannot read or write: {fault}")
    assert found.where == (where or "/scratch (Spark's scratch, spark.local.dir)")
    assert found.todo
