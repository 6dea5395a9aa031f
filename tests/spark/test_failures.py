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
