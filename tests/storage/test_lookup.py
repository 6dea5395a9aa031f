"""Rows by a text column, read without Spark."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import StorageError
from musicrec.storage.lookup import find_rows, parquet_files


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for part, names in enumerate((["a", "b", "b"], ["b", "ö", "z"])):
        rows = pa.table({"name": names, "number": [10 * part + i for i in range(3)]})
        pq.write_table(rows, tmp_path / f"part-{part}.parquet", row_group_size=2)
    return tmp_path


@pytest.mark.parametrize(
    ("values", "expected"), [(["b"], [1, 2, 10]), (["ö", "a"], [0, 11]), (["c"], []), ([], []), (["\udcff"], [])]
)
def test_the_rows_with_a_value_are_found(directory: Path, values: list[str], expected: list[int]) -> None:
    found = find_rows(parquet_files(directory), column="name", values=values, columns=["name", "number"])
    assert sorted(row["number"] for row in found) == expected


def test_no_directory_has_no_rows(tmp_path: Path) -> None:
    assert find_rows(parquet_files(tmp_path / "nothing"), column="name", values=["a"]) == []


def test_a_broken_file_is_named(directory: Path) -> None:
    (directory / "part-1.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(StorageError, match="cannot read the rows") as error:
        find_rows(parquet_files(directory), column="name", values=["a"])
    assert "part-1.parquet" in str(error.value)
