"""A file appears whole or not at all, and what stood there before stays until then."""

import os
from pathlib import Path

import pytest

from musicrec.errors import StorageError
from musicrec.storage.files import local_sizes, move, replacing, sync_files, write_text


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


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    with pytest.raises(StorageError, match="No space left on device"), replacing(target):
        raise OSError(28, "No space left on device")
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


def test_local_sizes_are_those_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "a b.csv").write_text("x\n1\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / ".hidden").write_text("no data")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "linked.csv").symlink_to(tmp_path / "a b.csv")
    sizes = local_sizes(str(tmp_path))
    assert sizes == {
        f"{tmp_path.as_uri()}/a%20b.csv": 4,
        f"{tmp_path.as_uri()}/empty.csv": 0,
        f"{tmp_path.as_uri()}/linked.csv": 4,
    }


@pytest.mark.parametrize("name", ["gone.csv", "*.csv", "50%25.csv"])
def test_what_spark_has_to_look_at_has_no_local_sizes(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert local_sizes(str(tmp_path / name)) is None


def test_a_directory_of_directories_is_for_spark_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "day=1").mkdir()
    assert local_sizes(str(tmp_path)) is None
