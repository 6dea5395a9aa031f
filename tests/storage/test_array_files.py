"""Arrays on disk are what was written, also where a file was written anew, and a broken one is told."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musicrec.errors import StorageError
from musicrec.neighbors.item_files import ItemFiles
from musicrec.neighbors.search.index import CellIndex, CellReader
from musicrec.neighbors.search.items import Items
from musicrec.storage import node_copies
from musicrec.storage.array_files import ArrayFiles, RemoteRows
from musicrec.storage.runs import Root
from musicrec.storage.stores import open_store
from tests.roots import as_store


def test_arrays_come_back_and_can_be_changed_in_memory_alone(root: Root) -> None:
    files = ArrayFiles(root.store.below("arrays"))
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4).T
    files.write(7, matrix=matrix, none=np.empty((0, 5), dtype=np.int64), text=np.frombuffer(b"abc", dtype="u1"))
    for _ in range(2):
        found, none, text = files.read(7, "matrix", "none", "text")
        np.testing.assert_array_equal(found, matrix)
        assert (none.shape, none.dtype, bytes(text)) == ((0, 5), np.int64, b"abc")
        found[0, 0] = 99


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    files = ArrayFiles(as_store(tmp_path))
    for array in (np.arange(3), np.arange(5.0), np.arange(4, dtype=np.int8).reshape(2, 2)):
        files.write(0, array=array)
        (found,) = files.read(0, "array")
        assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_what_is_no_array_is_told_by_its_file(tmp_path: Path, content: bytes | None) -> None:
    files = ArrayFiles(as_store(tmp_path))
    files.write(0, array=np.arange(1000))
    path = tmp_path / "00000.array.npy"
    files.read(0, "array")
    # One that was cut short, too, of which the head is whole.
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(StorageError, match="cannot read an array") as refused:
        files.read(0, "array")
    assert refused.value.where == str(path)
    path.unlink()
    with pytest.raises(StorageError, match="cannot read an array"):
        files.read(0, "array")


def test_a_node_keeps_one_copy_of_an_object(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(bucket)
    files, read = ArrayFiles(store), []
    files.write(0, array=np.arange(9))
    files.write(1, array=np.arange(5))
    get = type(store).get
    monkeypatch.setattr(type(store), "get", lambda self, name: read.append(name) or get(self, name))
    for number, n in ((0, 9), (1, 5), (0, 9), (0, 9)):
        assert files.read(number, "array")[0].tolist() == list(range(n))
    assert read == ["00000.array.npy", "00001.array.npy"]
    # Where it is gone, it is made again; what was mapped stays readable.
    (mapped,) = files.read(0, "array")
    node_copies.drop_copies(store)
    assert mapped.tolist() == list(range(9))
    assert files.read(0, "array")[0].tolist() == list(range(9))
    assert read[2:] == ["00000.array.npy"]
    node_copies.drop_copies(store)


def test_buckets_of_one_name_on_two_servers_share_no_copy(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = open_store(bucket)
    ArrayFiles(one).write(0, array=np.arange(9))
    other = open_store(bucket, hadoop={"spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9"}, patience_s=1)
    assert one.uri == other.uri
    try:
        assert node_copies.local_file(one, "00000.array.npy")
        with pytest.raises(StorageError):
            node_copies.local_file(other, "00000.array.npy")
    finally:
        node_copies.drop_copies(one)


def test_a_full_disk_makes_no_copy_and_reads_all_the_same(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(bucket)
    files = ArrayFiles(store)
    files.write(0, array=np.arange(9))
    monkeypatch.setattr(node_copies, "free_disk", lambda _: 2**20)
    assert node_copies.local_file(store, "00000.array.npy") is None
    assert files.read(0, "array")[0].tolist() == list(range(9))
    # Of a large one the rows that are asked for come alone, and all of it only where it is used as a whole.
    large = np.arange(1_200_000, dtype=np.int32).reshape(-1, 4)
    files.write(1, large=large)
    read, get = list[tuple[int, int]](), type(store).get_ranges
    monkeypatch.setattr(
        type(store), "get_ranges", lambda self, name, ranges: read.extend(ranges) or get(self, name, ranges)
    )
    (found,) = files.read(1, "large")
    assert (len(found), found.shape, found.dtype) == (300_000, (300_000, 4), np.int32)
    for rows in (slice(5, 9), slice(299_990, None), slice(7, 7), slice(0, 3)):
        np.testing.assert_array_equal(found[rows], large[rows])
    assert sum(last - first for first, last in read) < 2000
    np.testing.assert_array_equal(found[np.array([3, 299_999])], large[[3, 299_999]])
    assert int(np.searchsorted(np.asarray(found)[:, 0], 400)) == 100


def test_cells_are_read_without_room_for_copies(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, files = np.random.default_rng(0), ItemFiles(open_store(bucket))
    index = CellIndex(np.array([0, 900, 1000, 20_000, 40_000]), np.array([0, 2, 4]))
    whole = Items(
        np.arange(40_000), np.arange(40_000)[:, None], rng.standard_normal((40_000, 64)).astype(np.float16)
    )
    for part, rows in enumerate((slice(0, 1000), slice(1000, 40_000))):
        files.write(part, whole.take(rows))
    monkeypatch.setattr(node_copies, "free_disk", lambda _: 2**20)
    assert isinstance(files.read(1).vectors, RemoteRows)
    reader = CellReader(files.read, index)
    found = [items for items, _ in reader.chunks(np.array([0, 2]))]
    expected = np.concatenate([whole.vectors[:900], whole.vectors[1000:20_000]])
    np.testing.assert_array_equal(np.concatenate([items.vectors for items in found]), expected)
    np.testing.assert_array_equal(reader.rows(990, 1010).keys, np.arange(990, 1010))
    # Of many rows of a part the store is asked once, not row by row.
    requests, get = list[str](), type(files.store).get_ranges
    monkeypatch.setattr(
        type(files.store),
        "get_ranges",
        lambda self, name, ranges: requests.append(name) or get(self, name, ranges),
    )
    rows = np.array([3, 4, 990, 1000, 1500, 39_999])
    reader = CellReader(files.read, index)
    np.testing.assert_array_equal(reader.at(rows).vectors, whole.vectors[rows])
    assert requests.count("00001.vectors.npy") <= 2  # Its head, and the rows.


def test_what_is_not_there_is_told_by_its_place(bucket: str) -> None:
    with pytest.raises(StorageError, match="cannot read an array: no such object") as refused:
        ArrayFiles(open_store(bucket)).read(3, "array")
    assert refused.value.where == f"{bucket}/00003.array.npy"


def test_a_directory_that_somebody_else_may_write_is_not_used(tmp_path: Path) -> None:
    code = "from musicrec.storage import node_copies; import os\nprint(node_copies._directory())"
    kept = tmp_path / f"musicrec-copies-{os.getuid()}"
    kept.mkdir(mode=0o700)
    places = []
    for mode in (0o700, 0o777):
        kept.chmod(mode)
        environment = {**os.environ, "SPARK_LOCAL_DIRS": f"{tmp_path}/blockmgr-1"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        places.append(done.stdout.strip())
    assert places[0] == str(kept)
    assert places[1] != str(kept)
