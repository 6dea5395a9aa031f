"""A training that was cut is found by its name, wherever the run that failed had left it."""

import time
from pathlib import Path

from musicrec.storage.artifacts import (
    checkpoint_name,
    drop_checkpoints,
    find_checkpoint,
    save_checkpoint,
    set_aside_checkpoint,
)
from musicrec.storage.runs import Root
from tests.roots import as_store


def test_the_newest_of_its_name_is_found(root: Root) -> None:
    first, second, nowhere = (root.work(name).below("model") for name in ("run-1", "run-2", "run-3"))
    assert find_checkpoint([first, second, nowhere], name="a" * 64) is None
    save_checkpoint(first, name="a" * 64, content=b"old")
    # Stores tell times in seconds.
    time.sleep(1.1)
    save_checkpoint(second, name="a" * 64, content=b"new")
    save_checkpoint(second, name="b" * 64, content=b"another training")
    assert find_checkpoint([first, second, nowhere], name="a" * 64) == b"new"


def test_a_later_one_takes_the_place_of_an_earlier_one(root: Root) -> None:
    for content in (b"one", b"two"):
        save_checkpoint(root.store, name="c" * 64, content=content)
    assert find_checkpoint([root.store], name="c" * 64) == b"two"
    assert [entry.name for entry in root.store.entries()] == [checkpoint_name("c" * 64)]
    drop_checkpoints(root.store)
    assert find_checkpoint([root.store], name="c" * 64) is None


def test_what_is_set_aside_is_not_found_again(root: Root) -> None:
    save_checkpoint(root.store, name="d" * 64, content=b"broken")
    aside = set_aside_checkpoint([root.store], name="d" * 64)
    assert root.store.get(aside.removeprefix(f"{root.uri}/")) == b"broken"
    assert find_checkpoint([root.store], name="d" * 64) is None
    assert set_aside_checkpoint([root.store], name="d" * 64) == ""


def test_one_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / checkpoint_name("e" * 64)).mkdir()
    assert find_checkpoint([as_store(tmp_path)], name="e" * 64) is None
