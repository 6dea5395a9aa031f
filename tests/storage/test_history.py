"""What was current, in which order, and what may be deleted: without Spark, by small snapshots."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.config import OutputConfig
from musicrec.errors import StorageError
from musicrec.storage import artifacts, history, publish, retention, runs
from musicrec.storage.files import drop

DAY = date(2026, 1, 2)
AT_ONCE = OutputConfig(keep_snapshots=1, keep_hours=0)


@pytest.fixture
def root(tmp_path: Path) -> runs.Root:
    opened = runs.open_root(str(tmp_path / "out"))
    with runs.locked(opened):
        pass
    return opened


def stage(root: runs.Root, day: date = DAY) -> runs.Run:
    """Do the work of a run, up to what is published."""
    run = runs.start_run(root, run_date=day)
    lists = run.work / "snapshot" / "recommendations"
    lists.mkdir(parents=True)
    for part in range(3):
        pq.write_table(pa.table({"track_id": [run.run_id], "rank": [part]}), lists / f"part-{part}.parquet")
    (run.work / "tracks").mkdir()
    return run


def night(root: runs.Root, day: date = DAY, keep: OutputConfig = AT_ONCE) -> str:
    """Publish as a refresh does, and return the name of the run."""
    with runs.locked(root):
        retention.drop_old(root, keep, is_over=False)
        run = stage(root, day)
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        publish.publish(run, manifest={"run_id": run.run_id, "finished_at": finished}, report="")
        retention.drop_old(root, keep, is_over=True)
    return run.run_id


def standing(root: runs.Root) -> set[str]:
    return {path.name for path in root.snapshots.iterdir()}


def read_lists(root: runs.Root, snapshot: str) -> str:
    """Read as README's query does, and return the run that the rows are of."""
    files = sorted((root.published / snapshot / "recommendations").glob("*.parquet"))
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert [row["rank"] for row in rows] == [0, 1, 2]
    (run_id,) = {row["track_id"] for row in rows}
    return run_id


def days() -> Iterator[date]:
    yield from (date(2062, 7, 1), date(2020, 1, 1), DAY, DAY + timedelta(days=1), date(1999, 12, 31))


@pytest.mark.parametrize("dates", [[DAY] * 14, [*days(), DAY, DAY, *days(), DAY, DAY]], ids=["one", "many"])
def test_who_has_read_the_pointer_can_read_on_over_the_next_publish(root: runs.Root, dates: list[date]) -> None:
    seen, pointer = [night(root, dates[0])], runs.read_pointer(root)
    for day in dates[1:]:
        seen.append(night(root, day))
        # What was live until this second, then what is live.
        assert read_lists(root, pointer["snapshot"]) == seen[-2]
        pointer = runs.read_pointer(root)
        assert read_lists(root, pointer["snapshot"]) == seen[-1]
        assert standing(root) == set(seen[-2:])
    assert len(set(seen)) == len(dates) == 14


@pytest.mark.parametrize("dates", [[DAY] * 14, [*days(), DAY, DAY, *days(), DAY, DAY]], ids=["one", "many"])
def test_readers_in_a_loop_see_no_error(root: runs.Root, dates: list[date]) -> None:
    failures: list[BaseException] = []
    read: list[str] = []
    is_over = threading.Event()
    night(root, dates[0], OutputConfig())

    def look() -> None:
        while not (is_over.is_set() or failures):
            try:
                snapshot = json.loads(root.pointer.read_text())["snapshot"]
                read.append(read_lists(root, snapshot))
                assert snapshot == f"snapshots/{read[-1]}"
            except BaseException as error:
                failures.append(error)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for day in dates[1:]:
        night(root, day, OutputConfig())
    is_over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert len(set(read)) > 1


def test_the_history_says_what_was_current(root: runs.Root) -> None:
    names = [night(root, day) for day in (DAY, date(2062, 7, 1), DAY)]
    entries = [json.loads(path.read_text()) for path in sorted(root.history.iterdir())]
    assert [(each["version"], each["run_id"], each["previous"]) for each in entries] == [
        (1, names[0], None), (2, names[1], 1), (3, names[2], 2)
    ]  # fmt: skip
    assert {each["action"] for each in entries} == {"publish"}
    assert runs.read_pointer(root)["version"] == 3
    assert entries[-1]["at"] == runs.read_pointer(root)["published_at"]
    assert [each.run_id for each in history.read_versions(root)] == [names[2], names[2], names[1], names[0]]


def test_a_version_that_was_not_noted_is_noted_by_the_next_run(
    root: runs.Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = night(root)
    with monkeypatch.context() as patch:
        note = history.note_current
        # What ends a run between the pointer and the note.
        patch.setattr(history, "note_current", lambda root: note(root) if len(standing(root)) < 2 else None)
        second = night(root)
    assert [path.name for path in root.history.iterdir()] == ["00000001.json"]
    assert standing(root) == {first, second}
    third = night(root)
    assert standing(root) == {second, third}
    numbers = {json.loads(path.read_text())["run_id"]: int(path.stem) for path in root.history.iterdir()}
    assert numbers == {first: 1, second: 2, third: 3}


def test_a_note_that_fails_does_not_fail_what_is_published(root: runs.Root) -> None:
    root.history.write_text("in the way")
    first = night(root)
    assert runs.current_snapshot(root).name == first
    # From then on a run says so, before it changes anything.
    with pytest.raises(StorageError, match="cannot write"):
        night(root)
    assert runs.current_snapshot(root).name == first
    root.history.unlink()
    second = night(root)
    assert runs.current_snapshot(root).name == second
    assert standing(root) == {first, second}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}', '{"run_id": "x", "at": 7}', "\x00"])
def test_a_broken_note_ends_no_night(root: runs.Root, text: str) -> None:
    for _ in range(3):
        night(root)
    (root.history / "00000002.json").write_text(text)
    (root.history / "notes.json").write_text("mine")
    last = night(root)
    assert runs.current_snapshot(root).name == last
    assert runs.read_pointer(root)["version"] == 4


def test_what_is_young_stays_and_else_so_many(root: runs.Root, monkeypatch: pytest.MonkeyPatch) -> None:
    names, now = [], datetime(2026, 3, 1, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now

    for module in (publish, retention):
        monkeypatch.setattr(module, "datetime", Clock)
    keep = OutputConfig(keep_snapshots=3, keep_hours=48)
    for hours in (0, 30, 10, 10, 10, 10):
        now += timedelta(hours=hours)
        names.append(night(root, DAY, keep))
    # Published at 0, 30, 40, 50, 60 and 70: at 70 all but the first are younger than 48 hours.
    assert standing(root) == set(names[1:])
    now += timedelta(hours=100)
    names.append(night(root, DAY, keep))
    assert standing(root) == set(names[-3:])
    # A clock that was ahead for one night: neither does its snapshot stay for ever, nor do others go for it.
    now += timedelta(days=9000)
    names.append(night(root, DAY, keep))
    now -= timedelta(days=9000)
    names += [night(root, DAY, keep) for _ in range(4)]
    assert standing(root) == {names[6], *names[-4:]}


def test_an_orphan_counts_for_nothing_and_goes(root: runs.Root) -> None:
    keep = OutputConfig(keep_snapshots=2, keep_hours=0)
    first, second = night(root, DAY, keep), night(root, DAY, keep)
    orphan = stage(root)
    # Killed when the snapshot was in its place and the pointer not.
    (orphan.work / "snapshot").rename(root.snapshots / orphan.run_id)
    with runs.locked(root):
        retention.drop_old(root, keep, is_over=False)
    assert standing(root) == {first, second}
    assert not orphan.work.exists()
    third = night(root, DAY, keep)
    assert third > orphan.run_id
    assert standing(root) == {second, third}


@pytest.mark.parametrize("text", ["{", None])
def test_where_nobody_knows_what_is_current_no_snapshot_goes(root: runs.Root, text: str | None) -> None:
    names = {night(root), night(root)}
    root.pointer.unlink()
    if text is not None:
        root.pointer.write_text(text)
    with runs.locked(root):
        retention.drop_old(root, AT_ONCE, is_over=False)
    assert standing(root) == names
    last = night(root)
    assert standing(root) == {max(names), last}


def test_what_an_older_version_published_keeps_its_order(root: runs.Root) -> None:
    names = []
    for hour, day in enumerate((date(2062, 7, 1), DAY, DAY, date(2020, 1, 1))):
        run = stage(root, day)
        manifest = {"finished_at": f"2026-01-05T0{hour}:00:00+00:00"}
        publish.publish(run, manifest=manifest, report="")
        names.append(run.run_id)
    # As it was left: a pointer without a version, and no history.
    drop(root.history)
    pointer = json.loads(root.pointer.read_text())
    del pointer["version"]
    root.pointer.write_text(json.dumps(pointer))
    new = night(root, DAY, OutputConfig(keep_snapshots=3, keep_hours=0))
    assert standing(root) == {names[-2], names[-1], new}
    entries = [json.loads(path.read_text()) for path in sorted(root.history.iterdir())]
    # The night's first look has deleted what was too old.
    assert [each["run_id"] for each in entries] == [names[1], names[2], names[3], new]
    assert [each["version"] for each in entries] == [1, 2, 3, 4]


def fail(root: runs.Root, *, checkpoint: bytes = b"") -> runs.Run:
    run = stage(root)
    (run.work / runs.FAILURE).write_text("{}")
    artifacts.save_encoder(str(run.work / "model"), weights=b"w", description=b"{}")
    if checkpoint:
        artifacts.save_checkpoint(str(run.work / "model"), name="a" * 64, content=checkpoint)
    return run


def test_what_failed_goes_before_the_next_run_but_for_its_training(root: runs.Root) -> None:
    night(root)
    first, second, third = fail(root, checkpoint=b"old"), fail(root, checkpoint=b"new"), fail(root)
    killed = stage(root)
    for name in ("notes", "2026-01-02-plans"):
        (root.work / name).mkdir()
    with runs.locked(root):
        retention.drop_old(root, AT_ONCE, is_over=False)
    left = {path for run in (first, second, third) for path in run.work.rglob("*") if path.is_file()}
    assert left == {
        *(run.work / runs.FAILURE for run in (first, second, third)),
        artifacts.checkpoint_path(str(second.work / "model"), "a" * 64),
    }
    assert not killed.work.exists()
    # What is no run's is not ours.
    assert {"notes", "2026-01-02-plans"} <= {path.name for path in root.work.iterdir()}
    work = [str(path / "model") for path in root.work.iterdir()]
    assert artifacts.find_checkpoint(work, name="a" * 64) == b"new"
    last = night(root)
    for name in ("notes", "2026-01-02-plans"):
        (root.work / name).rmdir()
    assert {path.name for path in root.work.iterdir()} == standing(root)
    assert last in standing(root)


def test_neighbors_that_were_set_aside_do_not_go(root: runs.Root) -> None:
    run = stage(root)
    (run.work / "replaced-neighbors").mkdir()
    assert retention.drop_failed(root) == []
    (root.path / "neighbors").mkdir()
    retention.drop_failed(root)
    assert not run.work.exists()
