import json
import os
import re
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from musicrec.errors import ConfigError, LockError, StorageError
from musicrec.storage import artifacts, lease, plain, runs
from musicrec.storage.pointer import current_snapshot, read_pointer
from musicrec.storage.promises import check_writable
from musicrec.storage.runs import NUMBERS, POINTER, Root
from musicrec.storage.snapshots import open_snapshot
from tests.roots import DAY, night, pointer_of, publish_run, set_pointer, stage


def test_a_root_is_a_path_or_a_uri() -> None:
    for text, told in (("", "not set"), ("ftp://host/x", "no store of kind ftp"), ("s3://", "names no bucket")):
        with pytest.raises(ConfigError, match=told):
            runs.open_root(text)
    assert runs.open_root("file:///tmp/a%20b").uri == "/tmp/a b"
    assert runs.open_root("/tmp/my:lists").uri == "/tmp/my:lists"
    assert runs.open_root("my:lists").uri == str(Path("my:lists").absolute())
    assert runs.open_root("s3a://lists/a b%20c/").uri == "s3://lists/a b%20c"
    assert runs.open_root("s3://lists").uri == "s3://lists"


def test_only_one_run_holds_the_lock(root: Root) -> None:
    with (
        lease.locked(root),
        pytest.raises(LockError, match=r"another run holds the lock \(process") as refused,
        lease.locked(root),
    ):
        pass
    assert refused.value.exit_code == 5
    assert lease.holder(root) == ""
    with lease.locked(root):
        assert f"process {os.getpid()} on" in lease.holder(root)


def hold_and_die(root: Root) -> None:
    code = (
        "import os, signal; from musicrec.storage import lease, runs\n"
        f"with lease.locked(runs.open_root({root.uri!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9


def test_the_lock_of_a_directory_goes_with_its_process(tmp_path: Path) -> None:
    root = runs.open_root(str(tmp_path / "out"))
    hold_and_die(root)
    with lease.locked(root), pytest.raises(LockError, match="is held by process"):
        lease.unlock(root)
    assert lease.unlock(root) == ""


def test_a_lease_is_taken_over_when_nobody_renews_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = runs.open_root(bucket)
    hold_and_die(root)
    with pytest.raises(LockError, match=r"renewed \d s ago") as refused, lease.locked(root):
        pass
    assert "musicrec unlock" in refused.value.todo
    monkeypatch.setattr(lease, "EXPIRES_S", 0.0)
    with lease.locked(root):
        pass


def test_a_lease_can_be_freed_by_hand(bucket: str) -> None:
    root = runs.open_root(bucket)
    assert lease.unlock(root) == ""
    hold_and_die(root)
    assert "process" in lease.unlock(root)
    with lease.locked(root):
        pass


def test_the_same_application_takes_its_lease_over_at_once(bucket: str) -> None:
    """As a cluster manager starts a driver again; not where its process lives, such as two runs of one session."""
    root = runs.open_root(bucket)
    with lease.locked(root, application="application_1_0001") as first:
        for application in ("application_1_0001", "application_1_0002"):
            with pytest.raises(LockError), lease.locked(root, application=application):
                pass
        first.check()
    held = {"owner": "x", "host": "elsewhere", "process": 1, "application": "application_1_0001"}
    root.store.put(lease.LOCK, json.dumps(held).encode())
    with pytest.raises(LockError), lease.locked(root, application="application_1_0002"):
        pass
    with lease.locked(root, application="application_1_0001"):
        pass


def test_who_has_lost_the_lease_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = runs.open_root(bucket)
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    with lease.locked(root) as held:
        for _ in range(5):
            # Renewed again and again, it stays ours.
            time.sleep(0.2)
            held.check()
        root.store.put(lease.LOCK, b'{"owner": "another", "host": "elsewhere", "process": 1}')
        # Who asks is told at once, and who does not by the next renewal.
        with pytest.raises(LockError, match="has taken over the lease"):
            held.confirm()
        with pytest.raises(LockError, match="has taken over the lease"):
            held.check()
    # What is another's stays another's.
    assert b"another" in root.store.get(lease.LOCK)


def test_names_of_a_day_are_numbered(root: Root) -> None:
    assert [runs.start_run(root, run_date=DAY).run_id for _ in range(3)] == [
        f"2026-01-02-{i:03d}" for i in (1, 2, 3)
    ]


def test_two_who_start_at_once_get_two_names(root: Root) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(runs.start_run(root, run_date=DAY).run_id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8
    assert {runs.read_state(root, name)["state"] for name in found} == {"running"}


def test_a_number_is_never_given_again(root: Root) -> None:
    seen = []
    for _ in range(3):
        run = runs.start_run(root, run_date=DAY)
        seen.append(run.run_id)
        # As retention and people do.
        root.store.delete_all(f"work/{run.run_id}")
    assert seen == ["2026-01-02-001", "2026-01-02-002", "2026-01-02-003"]
    assert runs.start_run(root, run_date=date(2026, 1, 3)).run_id == "2026-01-03-001"
    assert json.loads(root.store.get(NUMBERS)) == {"2026-01-02": 3, "2026-01-03": 1}


@pytest.mark.parametrize("record", [None, "", "{", "[]", '{"2026-01-02": "9"}', '{"2026-01-02": -5}', "\x00"])
def test_without_a_record_what_stands_decides(root: Root, record: str | None) -> None:
    night(root)
    root.store.delete_all(f"work/{runs.start_run(root, run_date=DAY).run_id}")
    for name in ("2026-01-02-011", "2026-01-02-plans", "2026-01-03-1234"):
        root.store.put(f"work/{name}/something", b"")
    root.store.delete([NUMBERS])
    if record is not None:
        root.store.put(NUMBERS, record.encode())
    assert runs.start_run(root, run_date=DAY).run_id == "2026-01-02-012"
    assert runs.start_run(root, run_date=date(2026, 1, 3)).run_id == "2026-01-03-1235"
    assert json.loads(root.store.get(NUMBERS)) == {"2026-01-02": 12, "2026-01-03": 1235}


def test_a_number_that_cannot_be_noted_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = runs.open_root(str(tmp_path / "out"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match="the disk is full"):
            runs.start_run(root, run_date=DAY)
    assert not root.works()
    assert runs.start_run(root, run_date=DAY).run_id == "2026-01-02-001"


def test_a_file_system_without_second_names_keeps_the_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = runs.open_root(str(tmp_path / "out"))
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "Operation not supported")))
    assert root.store.create("a/b", b"1")
    assert not root.store.create("a/b", b"2")
    assert root.store.get("a/b") == b"1"
    assert [entry.name for entry in root.store.entries()] == ["a/b"]


def test_a_check_of_the_output_leaves_nothing(root: Root, tmp_path: Path) -> None:
    night(root)
    before = [entry.name for entry in root.store.entries()]
    check_writable(root)
    assert [entry.name for entry in root.store.entries()] == before
    check_writable(runs.open_root(str(tmp_path / "new" / "deep")))
    assert not (tmp_path / "new").exists()


def test_publish_points_to_a_complete_snapshot(root: Root) -> None:
    run_id = night(root)
    snapshot = open_snapshot(root)
    assert snapshot.run_id == run_id
    assert list(snapshot.faults()) == []
    assert set(snapshot.files) == {"report.html", *(f"recommendations/part-0000{i}.parquet" for i in range(3))}
    named = pointer_of(root)["files"]["recommendations"]
    assert [root.store.stat(f"published/{name}").n_bytes for name in named] == [
        snapshot.files[f"recommendations/part-0000{i}.parquet"][0] for i in range(3)
    ]
    assert {(each["first_id"], each["rows"]) for each in snapshot.manifest["files"] if "rows" in each} == {
        (run_id, 1)
    }


def test_a_failed_write_leaves_the_old_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = runs.open_root(str(tmp_path / "out"))
    first = night(root)
    run, tables = stage(root)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="the disk is full"):
        publish_run(run, tables, base=1)
    assert current_snapshot(root).endswith(first)


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
def test_a_pointer_that_cannot_be_trusted_is_refused(root: Root, changed: dict[str, object], says: str) -> None:
    night(root)
    set_pointer(root, **changed)
    with pytest.raises(StorageError, match=re.escape(says)) as refused:
        open_snapshot(root)
    assert refused.value.todo
    assert len(str(refused.value).splitlines()) == 3
    # The next run is not stopped by it, and makes all well.
    again = night(root)
    assert open_snapshot(root).run_id == again


@pytest.mark.parametrize("text", ["{", "", "[]", '"x"', "null", "{}", "\x00"])
def test_a_pointer_that_is_none_is_refused(root: Root, text: str) -> None:
    root.store.put(POINTER, text.encode())
    with pytest.raises(StorageError, match=r"names no run|cannot read the pointer"):
        read_pointer(root)
    again = night(root)
    assert open_snapshot(root).run_id == again


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    root = runs.open_root(str(tmp_path / "out"))
    run_id = night(root)
    snapshot = Path(current_snapshot(root))
    snapshot.rename(tmp_path / run_id)
    snapshot.symlink_to(tmp_path / run_id)
    with pytest.raises(StorageError, match="leads out"):
        current_snapshot(root)


def test_nothing_published_yet(root: Root) -> None:
    with pytest.raises(StorageError, match="nothing is published"):
        current_snapshot(root)


def test_what_json_does_not_have_is_null() -> None:
    assert plain.without_nan({"a": [float("nan"), float("inf"), 1.5]}) == {"a": [None, None, 1.5]}


def test_secrets_do_not_reach_the_manifest() -> None:
    config = {"a": ["s3a://key:secret@bucket/x", "https://h/x?sig=abc&v=1"], "b": "file:/plain"}
    cleaned = json.dumps(plain.without_secrets(config))
    assert "secret" not in cleaned
    assert "abc" not in cleaned
    assert "file:/plain" in cleaned


def test_the_encoder_is_checked_before_it_is_read(root: Root) -> None:
    digests = artifacts.save_encoder(root.store, weights=b"w", description=b"{}")
    assert artifacts.load_encoder(root.store, digests=digests) == (b"w", b"{}")
    root.store.put(artifacts.WEIGHTS, b"other")
    with pytest.raises(StorageError, match="not the one"):
        artifacts.load_encoder(root.store, digests=digests)
    root.store.delete([artifacts.WEIGHTS])
    with pytest.raises(StorageError, match="cannot read"):
        artifacts.load_encoder(root.store, digests=digests)
