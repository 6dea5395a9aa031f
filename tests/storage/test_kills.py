"""A publisher that is killed, wherever it is: what was live stays live, and the next night goes on."""

import signal
import subprocess
import sys

import pytest

from musicrec.config import OutputConfig
from musicrec.operations.versions import collect_garbage
from musicrec.storage import history, lease
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import HISTORY, Root
from tests.conftest import ROOT
from tests.roots import AT_ONCE, night, read_lists

# Dies right before it does what is named: the kind of request, and the end of the object's name.
PUBLISHER = """
import os, signal, sys
from musicrec.storage.hdfs_store import HdfsStore
from musicrec.storage.local_store import LocalStore
from musicrec.storage.object_store import ObjectStore
from musicrec.storage.runs import open_root
from tests.roots import night

uri, kind, ending = sys.argv[1:]
for store in (LocalStore, ObjectStore, HdfsStore):
    def ask(self, name, *given, _ask=getattr(store, kind), **named):
        if isinstance(name, str) and f"{self.uri}/{name}".endswith(ending):
            os.kill(os.getpid(), signal.SIGKILL)
        return _ask(self, name, *given, **named)
    setattr(store, kind, ask)
night(open_root(uri))
"""
# Where, and whether the killed run's snapshot becomes current all the same: its entry in the history stands.
POINTS = {
    "when it has taken its number": ("create", "state.json", False),
    "when its work has begun": ("put", "tracks/part-00000.parquet", False),
    "before its first table": ("put", "recommendations/part-00000.parquet", False),
    "between two files of a table": ("put", "recommendations/part-00002.parquet", False),
    "before its report": ("put", "report.html", False),
    "before its manifest": ("put", "manifest.json", False),
    "before the history": ("create", "history/00000003.json", False),
    "before the pointer": ("replace_if", "current.json", True),
    "before it says that it is done": ("put", "state.json", True),
    "before it deletes what is old": ("delete_all", "-001", True),
}


@pytest.mark.parametrize("point", POINTS)
def test_wherever_a_publisher_is_killed_the_next_goes_on(any_root: Root, point: str) -> None:
    root = any_root
    night(root)
    live = night(root)
    kind, ending, is_made = POINTS[point]
    killed = subprocess.run([sys.executable, "-c", PUBLISHER, root.uri, kind, ending], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    # What readers see is whole, and is the old one as long as the pointer was not moved.
    pointer = read_pointer(root)
    assert read_lists(root, pointer) == pointer["run_id"]
    assert (pointer["run_id"] == live) == (not is_made or "before the pointer" in point)
    lease.unlock(root)
    if is_made:
        assert history.settle(root) == 3
        assert read_pointer(root)["version"] == 3
    last = night(root)
    assert read_lists(root, read_pointer(root)) == last
    assert len(list(root.store.entries(HISTORY))) == 4 if is_made else 3
    collect_garbage(root, AT_ONCE, is_trial=False)
    named = {version.run_id for version in history.read_versions(root)}
    assert set(root.snapshots()) <= named
    assert set(root.works()) <= named
    assert {entry.name.split("/")[0] for entry in root.store.entries()} <= {
        "published", "work", "run.lock", "run-numbers.json",
    }  # fmt: skip
    assert collect_garbage(root, OutputConfig(keep_snapshots=1, keep_hours=0), is_trial=True) == []
