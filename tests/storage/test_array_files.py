"""Arrays on disk are what was written, also where a file was written anew, and a broken one is told."""

from pathlib import Path

import numpy as np
import pytest

from musicrec.errors import StorageError
from musicrec.storage.array_files import ArrayFiles


def test_arrays_come_back_and_can_be_changed_in_memory_alone(tmp_path: Path) -> None:
    files = ArrayFiles(str(tmp_path / "arrays"))
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4).T
    files.write(7, matrix=matrix, none=np.empty((0, 5), dtype=np.int64), text=np.frombuffer(b"abc", dtype="u1"))
    for _ in range(2):
        found, none, text = files.read(7, "matrix", "none", "text")
        np.testing.assert_array_equal(found, matrix)
        assert (none.shape, none.dtype, bytes(text)) == ((0, 5), np.int64, b"abc")
        found[0, 0] = 99


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    files = ArrayFiles(str(tmp_path))
    for array in (np.arange(3), np.arange(5.0), np.arange(4, dtype=np.int8).reshape(2, 2)):
        files.write(0, array=array)
        (found,) = files.read(0, "array")
        assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_what_is_no_array_is_told_by_its_file(tmp_path: Path, content: bytes | None) -> None:
    files = ArrayFiles(str(tmp_path))
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
