"""Rows by a text column, read without Spark."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import StorageError
from musicrec.storage.lookup import find_rows
from musicrec.storage.ranged import open_ranged
from musicrec.storage.runs import Root
from musicrec.storage.stores import Store


@pytest.fixture
def store(root: Root, tmp_path: Path) -> Store:
    for part, names in enumerate((["a", "b", "b"], ["b", "ö", "z"])):
        rows = pa.table({"name": names, "number": [10 * part + i for i in range(3)]})
        pq.write_table(rows, tmp_path / "part", row_group_size=2)
        root.store.put(f"part-{part}.parquet", (tmp_path / "part").read_bytes())
    return root.store


def find(store: Store, values: list[str]) -> list[int]:
    sizes = {entry.name: entry.n_bytes for entry in store.entries()}

    def opened(name: str) -> BinaryIO:
        return open_ranged(store, name, n_bytes=sizes[name])

    columns = ["name", "number"]
    found = find_rows(list(sizes), opened, column="name", values=values, columns=columns, where=store.uri)
    return sorted(row["number"] for row in found)


@pytest.mark.parametrize(
    ("values", "expected"), [(["b"], [1, 2, 10]), (["ö", "a"], [0, 11]), (["c"], []), ([], []), (["\udcff"], [])]
)
def test_the_rows_with_a_value_are_found(store: Store, values: list[str], expected: list[int]) -> None:
    assert find(store, values) == expected


def test_of_a_large_object_only_what_is_looked_at_is_read(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, sink = np.random.default_rng(0), pa.BufferOutputStream()
    names = [f"{i:06d}" for i in range(200_000)]
    pq.write_table(pa.table({"name": names, "x": rng.random(200_000)}), sink, row_group_size=20_000)
    content = bytes(memoryview(sink.getvalue()))
    root.store.put("large", content)
    n_read, get = [], type(root.store).get_ranges

    def counted(self: Store, name: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        n_read.extend(last - first for first, last in ranges)
        return get(self, name, ranges)

    monkeypatch.setattr(type(root.store), "get_ranges", counted)

    def opened(name: str) -> BinaryIO:
        return open_ranged(root.store, name, n_bytes=len(content))

    (row,) = find_rows(["large"], opened, column="name", values=["123456"])
    assert row["name"] == "123456"
    assert sum(n_read) < len(content) / 2


def test_no_directory_has_no_rows(root: Root) -> None:
    assert find(root.store, ["a"]) == []


def test_a_broken_file_is_named(store: Store) -> None:
    store.put("part-1.parquet", b"PAR1 cut")
    with pytest.raises(StorageError, match="cannot read the rows") as error:
        find(store, ["a"])
    assert f"{store.uri}/part-1.parquet" in str(error.value)
