"""A file appears whole or not at all, and what stood there before stays until then."""

import errno
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from musicrec.errors import StorageError
from musicrec.storage.files import move, replacing, sync_files, write_text, writing


def test_a_file_takes_the_place_of_another_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    write_text(target, "old")
    with replacing(target, durable=True) as staged:
        Path(staged).write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_what_fails_midway_leaves_the_old_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "old")

    def write_half() -> None:
        with replacing(target) as staged:
            Path(staged).write_text("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        # As pyarrow says it, and as numpy, which forgets the reason.
        (
            OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left"),
            "the disk is full",
        ),
        (OSError("1814784 requested and 759744 written"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk quota is used up"),
        (OSError(errno.EROFS, "Read-only file system"), "the file system is read-only"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission denied"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path, error: OSError, said: str) -> None:
    target = tmp_path / "file.txt"
    with pytest.raises(StorageError) as refused, replacing(target):
        raise error
    assert (refused.value.what, refused.value.where) == (f"cannot write: {said}", str(target))
    assert refused.value.todo
    assert len(str(refused.value).splitlines()) == 3
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_whoever_writes(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    many = np.zeros(1_000_000)

    def write_array() -> None:
        with open(tmp_path / "full", "wb") as file:
            np.save(file, many)

    writers = (
        lambda: (tmp_path / "full").write_bytes(b"x"),
        write_array,
        lambda: pa.OSFile(str(tmp_path / "full"), "wb").write(many.tobytes()),
    )
    for write in writers:
        with pytest.raises(StorageError, match="cannot write: the disk is full"), writing(tmp_path / "full"):
            write()


def test_what_stands_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "taken" / "file.txt", "text")


def test_a_directory_does_not_move_over_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_text(tmp_path / name / "file.txt", name)
    with pytest.raises(StorageError, match="cannot write"):
        move(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two" / "file.txt").read_text() == "two"
    move(tmp_path / "one", tmp_path / "three")
    assert (tmp_path / "three" / "file.txt").read_text() == "one"


def test_what_must_outlive_a_power_failure_waits_for_file_and_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    write_text(tmp_path / "a" / "file.txt", "text")
    assert synced == []
    write_text(tmp_path / "a" / "file.txt", "text", durable=True)
    file, directory = synced
    assert file.startswith(str(tmp_path / "a" / ".file.txt."))
    assert directory == str(tmp_path / "a")
    synced.clear()
    move(tmp_path / "a", tmp_path / "b")
    sync_files(tmp_path / "b")
    assert synced == [str(tmp_path), str(tmp_path / "b"), str(tmp_path / "b" / "file.txt")]
