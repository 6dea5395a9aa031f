import json
import os
import re
import subprocess
import sys
import tempfile
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


def test_a_number_is_never_given_again(root: runs.Root) -> None:
    seen = []
    for _ in range(3):
        run = runs.start_run(root, run_date=DAY)
        seen.append(run.run_id)
        # As retention and people do.
        files.drop(run.work)
    assert seen == ["2026-01-02-001", "2026-01-02-002", "2026-01-02-003"]
    assert runs.start_run(root, run_date=date(2026, 1, 3)).run_id == "2026-01-03-001"
    assert json.loads(root.numbers.read_text()) == {"2026-01-02": 3, "2026-01-03": 1}


@pytest.mark.parametrize("record", [None, "", "{", "[]", '{"2026-01-02": "9"}', '{"2026-01-02": -5}', "\x00"])
def test_without_a_record_what_stands_decides(root: runs.Root, record: str | None) -> None:
    published(root)
    files.drop(runs.start_run(root, run_date=DAY).work)
    (root.work / "2026-01-02-011").mkdir()
    (root.work / "2026-01-02-plans").mkdir()
    (root.work / "2026-01-03-1234").mkdir()
    root.numbers.unlink()
    if record is not None:
        root.numbers.write_text(record)
    assert runs.start_run(root, run_date=DAY).run_id == "2026-01-02-012"
    assert runs.start_run(root, run_date=date(2026, 1, 3)).run_id == "2026-01-03-1235"
    assert json.loads(root.numbers.read_text()) == {"2026-01-02": 12, "2026-01-03": 1235}


def test_a_number_that_cannot_be_noted_is_not_taken(root: runs.Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match="the disk is full"):
            runs.start_run(root, run_date=DAY)
    assert not list(root.work.iterdir())
    assert runs.start_run(root, run_date=DAY).run_id == "2026-01-02-001"


def other_disk() -> Path:
    found = Path("/dev/shm")
    if not found.is_dir() or found.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("there is one file system only")
    return found


@pytest.mark.parametrize("name", ["published", "work", "published/snapshots"])
def test_two_file_systems_are_told_before_the_work(tmp_path: Path, name: str) -> None:
    root = runs.open_root(str(tmp_path / "out"))
    with tempfile.TemporaryDirectory(dir=other_disk()) as elsewhere:
        (tmp_path / "out" / name).parent.mkdir(parents=True)
        (tmp_path / "out" / name).symlink_to(elsewhere)
        with pytest.raises(StorageError, match="on two file systems") as refused:
            runs.check_writable(root)
        assert elsewhere in refused.value.where
        assert str(tmp_path / "out") in refused.value.where
        assert not list(Path(elsewhere).iterdir())


def test_a_check_of_the_output_leaves_nothing(root: runs.Root, tmp_path: Path) -> None:
    before = sorted(root.path.rglob("*"))
    runs.check_writable(root)
    assert sorted(root.path.rglob("*")) == before
    runs.check_writable(runs.open_root(str(tmp_path / "new" / "deep")))
    assert not (tmp_path / "new").exists()


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
    with pytest.raises(StorageError, match="the disk is full"):
        published(root)
    assert runs.current_snapshot(root).name == first.run_id


def point(root: runs.Root, **changed: object) -> None:
    """Publish, then change what the pointer says; None takes a key out."""
    published(root)
    pointer = {**json.loads(root.pointer.read_text()), **changed}
    root.pointer.write_text(json.dumps({key: value for key, value in pointer.items() if value is not None}))


OUT = "../../x"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"run_id": OUT}, "leads out"),
        ({"snapshot": OUT}, "leads out"),
        ({"snapshot": f"snapshots/{OUT}", "run_id": OUT}, "leads out"),
        ({"snapshot": "snapshots"}, "leads out"),
        ({"run_id": "2026-01-02-002"}, "leads out"),
        ({"run_id": "2026-01-02-٠٠١", "snapshot": "snapshots/2026-01-02-٠٠١"}, "leads out"),
        ({"run_id": "2026-01-02-001\n", "snapshot": "snapshots/2026-01-02-001\n"}, "leads out"),
        ({"schema_version": 99}, "written by a newer musicrec: schema_version 99"),
        ({"schema_version": 99, "run_id": None, "snapshot": 3}, "written by a newer musicrec"),
        ({"schema_version": 0}, "no schema_version that there is: 0"),
        ({"schema_version": "1"}, "no schema_version that there is: '1'"),
        ({"schema_version": True}, "no schema_version that there is: True"),
        ({"schema_version": None}, "no schema_version that there is: None"),
        ({"run_id": 1}, "names no run"),
        ({"snapshot": None}, "names no run"),
        ({"run_id": "2026-01-02-007", "snapshot": "snapshots/2026-01-02-007"}, "is gone"),
    ],
)
def test_a_pointer_that_cannot_be_trusted_is_refused(
    root: runs.Root, changed: dict[str, object], says: str
) -> None:
    point(root, **changed)
    with pytest.raises(StorageError, match=re.escape(says)) as refused:
        runs.current_snapshot(root)
    assert refused.value.todo
    assert len(str(refused.value).splitlines()) == 3
    # The next run is not stopped by it, and makes all well.
    again = published(root)
    assert runs.current_snapshot(root).name == again.run_id


@pytest.mark.parametrize("text", ["{", "", "[]", '"x"', "null", "{}", "\x00"])
def test_a_pointer_that_is_none_is_refused(root: runs.Root, text: str) -> None:
    root.pointer.write_text(text)
    with pytest.raises(StorageError, match=r"names no run|cannot read the pointer"):
        runs.current_snapshot(root)
    again = published(root)
    assert runs.current_snapshot(root).name == again.run_id


def test_a_link_that_leads_out_is_refused(root: runs.Root, tmp_path: Path) -> None:
    run = published(root)
    snapshot = runs.current_snapshot(root)
    snapshot.rename(tmp_path / run.run_id)
    snapshot.symlink_to(tmp_path / run.run_id)
    with pytest.raises(StorageError, match="leads out"):
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
