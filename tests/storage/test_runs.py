import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from musicrec.errors import ConfigError, LockError, StorageError
from musicrec.storage import artifacts, files, plain, publish, runs

DAY = date(2026, 1, 2)


def published(root: runs.Root, text: str = "x") -> runs.Run:
    run = runs.start_run(root, run_date=DAY)
    (run.work / "snapshot").mkdir()
    (run.work / "snapshot" / "data.txt").write_text(text)
    publish.publish(run, manifest={"run_id": run.run_id}, report="<html></html>")
    return run


@pytest.fixture
def root(tmp_path: Path) -> runs.Root:
    opened = runs.open_root(str(tmp_path / "out"))
    with runs.locked(opened):
        pass
    return opened


def test_root_must_be_a_mounted_directory() -> None:
    for text in ("", "s3a://bucket/x", "hdfs://host/x"):
        with pytest.raises(ConfigError):
            runs.open_root(text)
    assert runs.open_root("file:///tmp/a%20b").path == Path("/tmp/a b")
    assert runs.open_root("/tmp/my:lists").path == Path("/tmp/my:lists")
    assert runs.open_root("my:lists").path == Path("my:lists").absolute()


def test_only_one_run_holds_the_lock(root: runs.Root) -> None:
    with runs.locked(root), pytest.raises(LockError, match="another run holds the lock"), runs.locked(root):
        pass
    with runs.locked(root):
        pass


def test_the_lock_goes_with_its_process(root: runs.Root) -> None:
    code = (
        "import os, signal; from musicrec.storage import runs\n"
        f"with runs.locked(runs.open_root({str(root.path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with runs.locked(root):
        pass


def test_names_of_a_day_are_numbered(root: runs.Root) -> None:
    assert [runs.start_run(root, run_date=DAY).run_id for _ in range(3)] == [
        f"2026-01-02-{i:03d}" for i in (1, 2, 3)
    ]


def test_publish_points_to_a_complete_snapshot(root: runs.Root) -> None:
    run = published(root)
    snapshot = runs.current_snapshot(root)
    assert snapshot.name == run.run_id
    manifest = json.loads((snapshot / "manifest.json").read_text())
    for file in manifest["files"]:
        assert files.sha256_of(snapshot / file["path"]) == file["sha256"]
    assert {file["path"] for file in manifest["files"]} == {"data.txt", "report.html"}
    assert runs.read_pointer(root)["manifest_sha256"] == files.sha256_of(snapshot / "manifest.json")
    assert not list(root.published.glob(".*"))


def test_a_failed_write_leaves_the_old_snapshot(root: runs.Root, monkeypatch: pytest.MonkeyPatch) -> None:
    first = published(root)
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left"):
        published(root)
    assert runs.current_snapshot(root).name == first.run_id


def test_retention_keeps_the_newest_with_their_work(root: runs.Root) -> None:
    names = [published(root).run_id for _ in range(4)]
    failed = runs.start_run(root, run_date=DAY)
    newest = published(root)
    # What is no run's is not ours.
    (root.work / "notes").mkdir()
    (root.work / "2026-01-02-plans").mkdir()
    runs.drop_old(root, keep_snapshots=2, newest=newest.run_id)
    kept = {names[3], newest.run_id}
    assert {path.name for path in root.snapshots.iterdir()} == kept
    for name in ("notes", "2026-01-02-plans"):
        (root.work / name).rmdir()
    assert {path.name for path in root.work.iterdir()} == kept
    assert not failed.work.exists()


def test_a_backdated_run_is_kept(root: runs.Root) -> None:
    published(root)
    old = runs.start_run(root, run_date=date(2020, 1, 1))
    (old.work / "snapshot").mkdir()
    publish.publish(old, manifest={}, report="")
    runs.drop_old(root, keep_snapshots=1, newest=old.run_id)
    assert [path.name for path in root.snapshots.iterdir()] == [old.run_id]


def test_a_pointer_that_leads_out_is_refused(root: runs.Root) -> None:
    root.pointer.write_text(json.dumps({"run_id": "x", "snapshot": "../../etc"}))
    with pytest.raises(StorageError, match="leads out"):
        runs.current_snapshot(root)
    root.pointer.write_text("{")
    with pytest.raises(StorageError, match="cannot read the pointer"):
        runs.current_snapshot(root)


@pytest.mark.parametrize("text", ["[]", '"x"', "null", "{}", '{"run_id": 1, "snapshot": "snapshots/x"}'])
def test_a_pointer_that_names_nothing_is_refused(root: runs.Root, text: str) -> None:
    root.pointer.write_text(text)
    with pytest.raises(StorageError, match="names no run"):
        runs.current_snapshot(root)
    # What only guesses how long a stage takes does not stop a run.
    assert runs.previous_manifest(root) is None


def test_a_snapshot_that_is_gone_is_told(root: runs.Root) -> None:
    root.pointer.write_text(json.dumps({"run_id": "x", "snapshot": "snapshots/x"}))
    with pytest.raises(StorageError, match="is gone"):
        runs.current_snapshot(root)


def test_nothing_published_yet(root: runs.Root) -> None:
    with pytest.raises(StorageError, match="nothing is published"):
        runs.current_snapshot(root)


def test_what_json_does_not_have_is_null() -> None:
    assert plain.without_nan({"a": [float("nan"), float("inf"), 1.5]}) == {"a": [None, None, 1.5]}


def test_secrets_do_not_reach_the_manifest() -> None:
    config = {"a": ["s3a://key:secret@bucket/x", "https://h/x?sig=abc&v=1"], "b": "file:/plain"}
    cleaned = json.dumps(plain.without_secrets(config))
    assert "secret" not in cleaned
    assert "abc" not in cleaned
    assert "file:/plain" in cleaned


def test_the_encoder_is_checked_before_it_is_read(tmp_path: Path) -> None:
    digests = artifacts.save_encoder(tmp_path, weights=b"w", description=b"{}")
    assert artifacts.load_encoder(tmp_path, digests=digests) == (b"w", b"{}")
    (tmp_path / artifacts.WEIGHTS).write_bytes(b"other")
    with pytest.raises(StorageError, match="not the one"):
        artifacts.load_encoder(tmp_path, digests=digests)
    (tmp_path / artifacts.WEIGHTS).unlink()
    with pytest.raises(StorageError, match="cannot read"):
        artifacts.load_encoder(tmp_path, digests=digests)
