import importlib.util
import sys
from types import ModuleType

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

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
