"""A place to publish to, of each kind: a directory, and a bucket of a real server."""

from pathlib import Path

import pytest

from musicrec.storage.runs import Root, open_root


@pytest.fixture(params=["directory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    """An empty output root."""
    if request.param == "directory":
        return open_root(str(tmp_path / "out"))
    return open_root(request.getfixturevalue("bucket"))
