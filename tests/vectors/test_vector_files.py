"""Local files that tasks read themselves: which they are, and that nothing else is taken for them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.catalog.row_groups import find_row_groups
from musicrec.vectors import vector_files
from musicrec.vectors.vector_files import VectorFiles, as_vector_files

IDS = pa.array(["a", None, "é", "b"])
VECTORS = pa.array([[0.5, 1.0], [0.0, 2.0], None, [3.0, -1.0]], type=pa.list_(pa.float64()))


def write(path: Path, ids: pa.Array = IDS, vectors: pa.Array = VECTORS, **names: pa.Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(names or {"id": ids, "vector": vectors}), path, row_group_size=3)
    return path


def find(path: Path) -> VectorFiles | None:
    paths = [str(each) for each in sorted(path.iterdir())] if path.is_dir() else [str(path)]
    groups = find_row_groups(paths, columns=["id", "vector"])
    return as_vector_files(groups) if groups else None


def test_rows_come_in_pieces_with_numbers_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_files, "PIECE_ROWS", 2)
    write(tmp_path / "d" / "one.parquet")
    write(tmp_path / "d" / "two.anything")
    found = find(tmp_path / "d")
    assert found is not None
    assert (found.groups.n_rows, len(found.groups.groups), found.id_kind) == (8, 4, "string")
    pieces = dict(piece for number in range(4) for piece in found.read(number))
    assert len(pieces) == 6
    table = pa.concat_tables(pieces.values())
    keys = table["track_key"].to_pylist()
    assert keys[:4] == keys[4:]
    assert [key is None for key in keys[:4]] == [False, True, False, False]
    assert len(set(keys[:4])) == 4
    assert table["embedding"].to_pylist()[:4] == VECTORS.to_pylist()
    assert table["embedding"].type == pa.list_(pa.float32())
    assert table["facts"].to_pylist() == [[key] for key in keys]


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.int64()])
def test_whole_numbers_are_their_own_keys(tmp_path: Path, kind: pa.DataType) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 2)
    found = find(write(tmp_path / "v.parquet", pa.array([3, -1, 7], type=kind), vectors))
    assert found is not None
    ((_, table),) = found.read(0)
    assert table["track_key"].to_pylist() == [3, -1, 7]
    assert table["embedding"].to_pylist() == [[0, 1], [2, 3], [4, 5]]


def test_what_spark_has_to_look_at(tmp_path: Path) -> None:
    good = write(tmp_path / "good" / "one.parquet")
    whole = pa.array([1, 2, 3, 4])
    write(tmp_path / "mixed" / "one.parquet")
    write(tmp_path / "mixed" / "two.parquet", whole)
    write(tmp_path / "text" / "one.parquet")
    (tmp_path / "text" / "two.parquet").write_text("no parquet")
    (tmp_path / "none").mkdir()
    odd = {
        "halves": write(tmp_path / "halves.parquet", vectors=VECTORS.cast(pa.list_(pa.float16()))),
        "dates": write(tmp_path / "dates.parquet", pa.array([1, 2, 3, 4], type=pa.date32())),
        "other names": write(tmp_path / "names.parquet", key=IDS, vector=VECTORS),
    }
    assert find(good) is not None
    for path in (*odd.values(), *(tmp_path / name for name in ("mixed", "text", "none", "nowhere"))):
        assert find(path) is None, path


def test_long_vectors_come_in_smaller_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_files, "MAX_BYTES", 8 * 50 * 10)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(50 * 95, dtype=np.float32)), 50)
    pq.write_table(pa.table({"id": range(95), "vector": vectors}), tmp_path / "v.parquet")
    found = find(tmp_path / "v.parquet")
    assert found is not None
    sizes = [len(table) for _, table in found.read(0)]
    assert sum(sizes) == 95
    assert max(sizes) == 10
