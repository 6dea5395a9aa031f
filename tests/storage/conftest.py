"""A place to publish to, of each kind: a directory, a bucket, a container and HDFS of real servers."""

import uuid
from pathlib import Path

import pytest

from musicrec.storage.runs import Root, open_root

AZURE, HDFS = (pytest.param(name, marks=pytest.mark.stores) for name in ("azure", "hdfs"))


@pytest.fixture(params=["directory", "s3", AZURE])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    """An empty output root."""
    return _root_of(request, tmp_path)


@pytest.fixture(params=["directory", "s3", AZURE, HDFS])
def any_root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    """An empty output root, also in HDFS, which takes half a second to write a file."""
    return _root_of(request, tmp_path)


def _root_of(request: pytest.FixtureRequest, directory: Path) -> Root:
    if request.param == "directory":
        return open_root(str(directory / "out"))
    if request.param == "hdfs":
        return open_root(f"{request.getfixturevalue('hdfs')}/sp ace/{uuid.uuid4().hex}")
    return open_root(request.getfixturevalue("bucket" if request.param == "s3" else "container"))
