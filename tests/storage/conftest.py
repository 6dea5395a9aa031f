"""A place to publish to, of each kind: a directory, and a bucket of a real server."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from musicrec.storage.runs import Root, open_root
from tests import servers


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def bucket(s3: servers.Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty place in a bucket, which this process may use."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    name = re.sub(r"[^\w-]", " ", request.node.name).strip()
    return f"s3://{servers.BUCKET}/{name} {uuid.uuid4().hex[:8]}"


@pytest.fixture(params=["directory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    """An empty output root."""
    if request.param == "directory":
        return open_root(str(tmp_path / "out"))
    return open_root(request.getfixturevalue("bucket"))
