"""A training that was cut is found by its name, wherever the run that failed had left it."""

import os
from pathlib import Path

from musicrec.storage.artifacts import (
    checkpoint_path,
    drop_checkpoints,
    find_checkpoint,
    save_checkpoint,
    set_aside_checkpoint,
)


def test_the_newest_of_its_name_is_found(tmp_path: Path) -> None:
    first, second = tmp_path / "run-1" / "model", tmp_path / "run-2" / "model"
    nowhere = tmp_path / "run-3" / "model"
    assert find_checkpoint([first, second, nowhere], name="a" * 64) is None
    save_checkpoint(first, name="a" * 64, content=b"old")
    save_checkpoint(second, name="a" * 64, content=b"new")
    save_checkpoint(second, name="b" * 64, content=b"another training")
    os.utime(checkpoint_path(first, "a" * 64), (1, 1))
    assert find_checkpoint([first, second, nowhere], name="a" * 64) == b"new"


def test_a_later_one_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        save_checkpoint(tmp_path, name="c" * 64, content=content)
    assert find_checkpoint([tmp_path], name="c" * 64) == b"two"
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint_path(tmp_path, "c" * 64).name]
    drop_checkpoints(tmp_path)
    assert find_checkpoint([tmp_path], name="c" * 64) is None


def test_what_is_set_aside_is_not_found_again(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, name="d" * 64, content=b"broken")
    aside = set_aside_checkpoint([str(tmp_path)], name="d" * 64)
    assert Path(aside).read_bytes() == b"broken"
    assert find_checkpoint([tmp_path], name="d" * 64) is None
    assert set_aside_checkpoint([str(tmp_path)], name="d" * 64) == ""


def test_one_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    checkpoint_path(tmp_path, "e" * 64).mkdir()
    assert find_checkpoint([tmp_path], name="e" * 64) is None
