"""What was current, in which order, and what may be deleted: without Spark, by small snapshots."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from musicrec.config import OutputConfig
from musicrec.errors import LockError, StorageError
from musicrec.storage import artifacts, history, retention
from musicrec.storage.lease import locked
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import HISTORY, POINTER, STATE, Root, Run, open_root
from musicrec.storage.snapshots import open_snapshot
from musicrec.storage.stores import Store
from tests.roots import AT_ONCE, DAY, night, pointer_of, publish_run, read_lists, stage

N_RACERS = 16


def standing(root: Root) -> set[str]:
    return set(root.snapshots())


def entries(root: Root) -> list[dict]:
    return [json.loads(root.store.get(entry.name)) for entry in root.store.entries(HISTORY)]


def days() -> Iterator[date]:
    yield from (date(2062, 7, 1), date(2020, 1, 1), DAY, DAY + timedelta(days=1), date(1999, 12, 31))


@pytest.mark.parametrize("dates", [[DAY] * 14, [*days(), DAY, DAY, *days(), DAY, DAY]], ids=["one", "many"])
def test_who_has_read_the_pointer_can_read_on_over_the_next_publish(root: Root, dates: list[date]) -> None:
    seen, pointer = [night(root, dates[0])], read_pointer(root)
    for day in dates[1:]:
        seen.append(night(root, day))
        # What was live until this second, then what is live.
        assert read_lists(root, pointer) == seen[-2]
        pointer = read_pointer(root)
        assert read_lists(root, pointer) == seen[-1]
        assert standing(root) == set(seen[-2:])
    assert len(set(seen)) == len(dates) == 14


@pytest.mark.parametrize("dates", [[DAY] * 14, [*days(), DAY, DAY, *days(), DAY, DAY]], ids=["one", "many"])
def test_readers_in_a_loop_see_no_error(root: Root, dates: list[date]) -> None:
    failures: list[BaseException] = []
    read: list[str] = []
    is_over = threading.Event()
    night(root, dates[0], OutputConfig())

    def look() -> None:
        while not (is_over.is_set() or failures):
            try:
                pointer = read_pointer(root)
                read.append(read_lists(root, pointer))
                assert pointer["run_id"] == read[-1]
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


def test_duckdb_reads_a_directory_while_twenty_nights_are_published(tmp_path: Path) -> None:
    """By the pointer's own list of files, as a reader of a bucket does, which may not list."""
    root, found, is_over = open_root(str(tmp_path / "out")), set[tuple[str, int]](), threading.Event()
    names = [night(root, keep=OutputConfig())]
    failures: list[BaseException] = []

    def look() -> None:
        try:
            with duckdb.connect() as engine:
                while not is_over.is_set():
                    files = [
                        f"{root.uri}/published/{name}" for name in pointer_of(root)["files"]["recommendations"]
                    ]
                    rows = engine.execute("SELECT track_id FROM read_parquet(?)", [files]).fetchall()
                    found.update((row[0], len(rows)) for row in rows)
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    names += [night(root, keep=OutputConfig()) for _ in range(20)]
    is_over.set()
    reader.join()
    assert failures == []
    assert {n for _, n in found} == {3}
    assert {run_id for run_id, _ in found} <= set(names)
    assert len(found) > 3


def test_the_history_says_what_was_current(root: Root) -> None:
    names = [night(root, day) for day in (DAY, date(2062, 7, 1), DAY)]
    found = entries(root)
    assert [(each["version"], each["run_id"], each["previous"]) for each in found] == [
        (1, names[0], None), (2, names[1], 1), (3, names[2], 2)
    ]  # fmt: skip
    assert {each["action"] for each in found} == {"publish"}
    assert all("@" in each["by"] for each in found)
    assert pointer_of(root) == found[-1]
    assert [each.run_id for each in history.read_versions(root)] == [names[2], names[1], names[0]]


def test_of_all_who_publish_at_once_one_wins(any_root: Root) -> None:
    root = any_root
    base = history.settle(root)
    staged = [stage(root) for _ in range(N_RACERS)]
    outcomes: list[str | int] = []
    gate = threading.Barrier(N_RACERS)

    def race(run: Run, tables: list) -> None:
        gate.wait()
        try:
            publish_run(run, tables, base=base)
            outcomes.append(run.run_id)
        except LockError as error:
            outcomes.append(error.exit_code)

    threads = [threading.Thread(target=race, args=each) for each in staged]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(5) == N_RACERS - 1
    (winner,) = [each for each in outcomes if each != 5]
    assert [each["run_id"] for each in entries(root)] == [winner]
    assert read_lists(root, pointer_of(root)) == winner
    # The next night goes on from there, and leaves nothing of those who lost.
    last = night(root)
    assert [each["version"] for each in entries(root)] == [1, 2]
    assert standing(root) == {winner, last}


def test_an_answer_that_got_lost_is_no_defeat(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks again is refused what its first request has done."""
    create = type(root.store).create

    def create_and_lose_the_answer(self: Store, name: str, content: bytes) -> bool:
        return create(self, name, content) and "run.lock" not in name and HISTORY not in name

    monkeypatch.setattr(type(root.store), "create", create_and_lose_the_answer)
    first = night(root)
    assert [each["run_id"] for each in entries(root)] == [first]
    assert read_lists(root, read_pointer(root)) == first


def test_who_has_been_overtaken_is_told_by_whom(root: Root) -> None:
    base = history.settle(root)
    run, tables = stage(root)
    other = night(root)
    with pytest.raises(LockError, match=f"version 1, publish of {other} by .*@") as refused:
        publish_run(run, tables, base=base)
    assert refused.value.exit_code == 5
    assert pointer_of(root)["run_id"] == other


def test_what_ended_between_history_and_pointer_is_made_whole(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    first = night(root)
    with monkeypatch.context() as patch:
        patch.setattr(history, "move_pointer", lambda *_: (_ for _ in ()).throw(StorageError("away")))
        with pytest.raises(StorageError, match="away"):
            night(root)
    # Readers still see the old one.
    assert read_lists(root, read_pointer(root)) == first
    assert history.settle(root) == 2
    second = pointer_of(root)["run_id"]
    assert second > first
    assert read_lists(root, read_pointer(root)) == second
    third = night(root)
    assert [each["run_id"] for each in entries(root)] == [first, second, third]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}', '{"run_id": "x", "at": 7}', "\x00"])
def test_a_broken_entry_ends_no_night(root: Root, text: str) -> None:
    for _ in range(3):
        night(root)
    root.store.put(f"{HISTORY}/00000002.json", text.encode())
    root.store.put(f"{HISTORY}/notes.json", b"mine")
    last = night(root)
    assert (pointer_of(root)["run_id"], pointer_of(root)["version"]) == (last, 4)


def test_a_history_with_a_gap_goes_on_behind_its_end(root: Root) -> None:
    names = [night(root) for _ in range(4)]
    root.store.delete([f"{HISTORY}/00000002.json", f"{HISTORY}/00000003.json"])
    last = night(root)
    assert [each["version"] for each in entries(root)] == [1, 4, 5]
    assert standing(root) == {names[-1], last}


def test_a_run_for_an_earlier_day_does_not_become_current(root: Root) -> None:
    live = night(root, date(2026, 5, 6))
    keep = OutputConfig(keep_snapshots=3, keep_hours=0)
    old = night(root, DAY, keep, promote=False)
    assert pointer_of(root)["run_id"] == live
    assert [each["action"] for each in entries(root)] == ["publish", "backfill"]
    assert standing(root) == {live, old}
    # One of the same day or later does, and so does an earlier one that is asked to.
    same = night(root, date(2026, 5, 6), keep, promote=False)
    assert pointer_of(root)["run_id"] == same
    promoted = night(root, DAY, keep, promote=True)
    assert pointer_of(root)["run_id"] == promoted


def test_a_pointer_whose_snapshot_is_gone_ends_no_night(root: Root) -> None:
    night(root)
    gone = night(root)
    root.store.delete_all(f"published/snapshots/{gone}")
    with pytest.raises(StorageError, match=r"is gone|is missing"):
        open_snapshot(root)
    last = night(root)
    assert read_lists(root, read_pointer(root)) == last


def test_what_is_young_stays_and_else_so_many(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    names, now = [], datetime(2026, 3, 1, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now

    for module in (history, retention):
        monkeypatch.setattr(module, "datetime", Clock)
    keep = OutputConfig(keep_snapshots=3, keep_hours=48)
    for hours in (0, 30, 10, 10, 10, 10):
        now += timedelta(hours=hours)
        names.append(night(root, DAY, keep))
    # Published at 0, 30, 40, 50, 60 and 70: the first was current until 30, and may be read for 48 hours more.
    assert standing(root) == set(names)
    now += timedelta(hours=9)
    names.append(night(root, DAY, keep))
    assert standing(root) == set(names[1:])
    now += timedelta(hours=100)
    names.append(night(root, DAY, keep))
    assert standing(root) == set(names[-3:])
    # A clock that was ahead for one night: neither does its snapshot stay for ever, nor do others go for it.
    now += timedelta(days=9000)
    names.append(night(root, DAY, keep))
    now -= timedelta(days=9000)
    names += [night(root, DAY, keep) for _ in range(4)]
    assert standing(root) == set(names[6:])
    now += timedelta(hours=49)
    names.append(night(root, DAY, keep))
    assert standing(root) == set(names[-3:])


def test_an_orphan_counts_for_nothing_and_goes(root: Root) -> None:
    keep = OutputConfig(keep_snapshots=2, keep_hours=0)
    first, second = night(root, DAY, keep), night(root, DAY, keep)
    # Killed when the tables were in their place and the pointer not.
    orphan, _ = stage(root)
    with locked(root):
        gone = retention.drop_old(root, keep, is_over=False, is_trial=True)
        assert any(orphan.run_id in name for name in gone)
        assert standing(root) == {first, second, orphan.run_id}
        retention.drop_old(root, keep, is_over=False)
    assert standing(root) == {first, second}
    third = night(root, DAY, keep)
    assert third > orphan.run_id
    assert standing(root) == {second, third}
    assert set(root.works()) == {second, third}


@pytest.mark.parametrize("text", ["{", None])
def test_without_a_pointer_the_history_knows(root: Root, text: str | None) -> None:
    first, second = night(root), night(root)
    root.store.delete([POINTER])
    if text is not None:
        root.store.put(POINTER, text.encode())
    assert history.settle(root) == 2
    assert read_lists(root, read_pointer(root)) == second
    assert standing(root) == {first, second}


@pytest.mark.parametrize("text", ["{", None])
def test_where_nobody_knows_what_is_current_no_whole_snapshot_goes(root: Root, text: str | None) -> None:
    names = {night(root), night(root)}
    stage(root)
    root.store.delete([POINTER, *(entry.name for entry in root.store.entries(HISTORY))])
    if text is not None:
        root.store.put(POINTER, text.encode())
    with locked(root):
        retention.drop_old(root, AT_ONCE, is_over=False)
    assert standing(root) == names


def test_what_an_older_version_published_keeps_its_order(root: Root) -> None:
    names = []
    for day in (date(2062, 7, 1), DAY, DAY, date(2020, 1, 1)):
        names.append(night(root, day, OutputConfig()))
        # Manifests tell times in seconds.
        time.sleep(1.1)
    # As it was left: a pointer without a version and without files, and no history.
    root.store.delete(entry.name for entry in root.store.entries(HISTORY))
    known = ("run_id", "snapshot", "published_at", "manifest_sha256")
    pointer = {**{key: pointer_of(root)[key] for key in known}, "schema_version": 1}
    root.store.put(POINTER, json.dumps(pointer).encode())
    assert read_lists(root, read_pointer(root)) == names[-1]
    new = night(root, DAY, OutputConfig(keep_snapshots=3, keep_hours=0))
    assert standing(root) == {names[-2], names[-1], new}
    assert [(each["version"], each["run_id"]) for each in entries(root)] == [
        (1, names[0]), (2, names[1]), (3, names[2]), (4, names[3]), (5, new)
    ]  # fmt: skip


def test_what_the_first_history_noted_is_understood(root: Root) -> None:
    """Where the pointer came first and the note of it last, and the note said no more than that."""
    first, second = night(root), night(root)
    for entry in root.store.entries(HISTORY):
        found = json.loads(root.store.get(entry.name))
        kept = {key: found[key] for key in ("version", "action", "run_id", "at", "previous")}
        root.store.put(entry.name, json.dumps(kept).encode())
    # Ended before the note was written.
    root.store.delete([f"{HISTORY}/00000002.json"])
    third = night(root, keep=OutputConfig(keep_snapshots=3))
    assert [(each["version"], each["run_id"]) for each in entries(root)] == [(1, first), (2, second), (3, third)]
    assert standing(root) == {first, second, third}


def fail(root: Root, *, checkpoint: bytes = b"") -> Run:
    run, _ = stage(root)
    run.note("failed", message="why")
    model = run.work.below("model")
    artifacts.save_encoder(model, weights=b"w", description=b"{}")
    if checkpoint:
        artifacts.save_checkpoint(model, name="a" * 64, content=checkpoint)
    return run


def test_what_failed_goes_before_the_next_run_but_for_its_training(root: Root) -> None:
    night(root)
    first = fail(root, checkpoint=b"old")
    time.sleep(1.1)
    second, third = fail(root, checkpoint=b"new"), fail(root)
    for name in ("notes", "2026-01-02-plans"):
        root.store.put(f"work/{name}/x", b"")
    with locked(root):
        retention.drop_old(root, AT_ONCE, is_over=False)
    left = {entry.name for run in (first, second, third) for entry in root.store.entries(f"work/{run.run_id}")}
    assert left == {
        *(f"work/{run.run_id}/{STATE}" for run in (first, second, third)),
        f"work/{second.run_id}/model/{artifacts.checkpoint_name('a' * 64)}",
    }
    assert len(standing(root)) == 1
    # What is no run's is not ours.
    assert {"notes", "2026-01-02-plans"} <= set(root.store.children("work"))
    models = [root.work(run_id).below("model") for run_id in root.works()]
    assert artifacts.find_checkpoint(models, name="a" * 64) == b"new"
    last = night(root)
    assert set(root.works()) == standing(root)
    assert last in standing(root)


def test_neighbors_that_were_set_aside_do_not_go(tmp_path: Path) -> None:
    """Only a directory is renamed: in a bucket nothing is set aside."""
    root = open_root(str(tmp_path / "out"))
    run, _ = stage(root)
    root.store.delete_all(f"published/snapshots/{run.run_id}")
    root.store.put(f"work/{run.run_id}/replaced-neighbors/x", b"")
    assert retention.drop_failed(root) == []
    root.store.put("neighbors/x", b"")
    retention.drop_failed(root, is_over=True)
    assert not root.works()
