"""Compiled loops of a zip file are kept by their source, wherever the zip lies."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMPILE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from musicrec.catalog import key_search
assert ".zip" in key_search.__file__
found = key_search.find_keys(np.array([1, 5, 9]), np.array([5, 6, 9]))
hits = getattr(key_search.find_keys, "stats").cache_hits
print(found.tolist(), sum(hits.values()))
"""


def zipped(path: Path, change: str = "") -> Path:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for source in (ROOT / "musicrec").rglob("*.py"):
            text = source.read_text() + (change if source.name == "arrays.py" else "")
            archive.writestr(str(source.relative_to(ROOT)), text)
    return path


def compile_from(path: Path, home: Path) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(path)], capture_output=True, text=True, check=True,
        cwd=path.parent, env={**known, "HOME": str(home)},
    )  # fmt: skip
    return done.stdout.strip()


def test_a_zip_is_compiled_once_wherever_it_lies(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    first = zipped(tmp_path / "one" / "musicrec.zip")
    assert compile_from(first, home) == "[1, -1, 2] 0"
    second = tmp_path / "two" / "userFiles-7" / "musicrec.zip"
    second.parent.mkdir(parents=True)
    second.write_bytes(first.read_bytes())
    assert compile_from(second, home) == "[1, -1, 2] 1"
    # A loop may hold constants of any file.
    changed = zipped(tmp_path / "three" / "musicrec.zip", change="\n# Another version.\n")
    assert compile_from(changed, home) == "[1, -1, 2] 0"


@pytest.mark.parametrize("name", ["missing/home", "file"])
def test_without_a_place_it_is_compiled_all_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "missing").write_text("")
    path = zipped(tmp_path / "one" / "musicrec.zip")
    assert compile_from(path, tmp_path / name) == "[1, -1, 2] 0"
