"""What operators do between two nights, in a directory and in a bucket: all by the command line."""

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from musicrec.cli import main
from musicrec.config import OutputConfig
from musicrec.errors import StorageError
from musicrec.operations import diff, sql, status
from musicrec.operations.shown_times import span_of, told_age
from musicrec.operations.versions import collect_garbage, rollback
from musicrec.storage import history, lease
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS
from musicrec.storage.lease import locked
from musicrec.storage.local_store import LocalStore
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import HISTORY, Root, open_root, start_run
from musicrec.storage.snapshots import Snapshot, open_snapshot
from musicrec.storage.stores import Store, open_store
from tests.roots import AT_ONCE, DAY, night, pointer_of, publish_run, read_lists, stage, write_tables

ALL = OutputConfig(keep_snapshots=9)


@pytest.fixture(params=["directory", "s3", pytest.param("hdfs", marks=pytest.mark.stores)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    if request.param == "hdfs":
        return open_root(f"{request.getfixturevalue('hdfs')}/operations/{uuid.uuid4().hex}")
    return open_root(str(tmp_path / "o'ut") if request.param == "directory" else request.getfixturevalue("bucket"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_night_is_taken_back_and_forth(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = (night(root, keep=ALL) for _ in range(3))
    before = {entry.name for entry in root.store.entries("published/snapshots")}
    code, out, _ = run(capsys, "rollback", "--root", root.uri)
    assert (code, out) == (0, f"{second} is live, as version 4\n")
    assert read_lists(root, read_pointer(root)) == second
    # A second time goes on backwards, not forth.
    assert run(capsys, "rollback", "--root", root.uri)[:2] == (0, f"{first} is live, as version 5\n")
    code, _, err = run(capsys, "rollback", "--root", root.uri)
    assert code == 1
    assert "no earlier snapshot" in err
    assert run(capsys, "rollback", "--root", root.uri, "--to", third)[0] == 0
    pointer = pointer_of(root)
    assert (pointer["run_id"], pointer["action"], pointer["previous"], pointer["pinned"]) == (
        third, "rollback", 5, third
    )  # fmt: skip
    assert {entry.name for entry in root.store.entries("published/snapshots")} == before
    code, out, _ = run(capsys, "history", "--root", root.uri)
    rows = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["6", "rollback", third], ["5", "rollback", first], ["4", "rollback", second],
        ["3", "publish", third], ["2", "publish", second], ["1", "publish", first],
    ]  # fmt: skip
    assert rows[0][-1] == "live, pinned"
    assert {row[-1] for row in rows[1:]} == {"kept"}


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [("2026-01-02-009", 1, "not there"), ("../x", 2, "no name of a run"), ("yesterday", 2, "no name of a run")],
)
def test_what_is_no_snapshot_does_not_become_live(
    root: Root, capsys: pytest.CaptureFixture[str], to: str, code: int, said: str
) -> None:
    live = night(root)
    found = run(capsys, "rollback", "--root", root.uri, "--to", to)
    assert (found[0], said in found[2]) == (code, True)
    assert pointer_of(root)["run_id"] == live
    assert len(list(root.store.entries(HISTORY))) == 1


def test_a_broken_snapshot_does_not_become_live(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = night(root, keep=ALL), night(root, keep=ALL)
    manifest = f"published/snapshots/{first}/manifest.json"
    root.store.put(manifest, root.store.get(manifest).replace(b'"rows": 1', b'"rows": 2'))
    code, _, err = run(capsys, "rollback", "--root", root.uri)
    assert code == 1
    assert "manifest.json is not the one" in err
    assert pointer_of(root)["run_id"] == second


def test_a_rollback_pins_and_the_next_rollback_frees(root: Root) -> None:
    keep = OutputConfig(keep_snapshots=1, keep_hours=0)
    first, _ = night(root, keep=ALL), night(root, keep=ALL)
    assert main(["rollback", "--root", root.uri]) == 0
    names = [night(root, keep=keep) for _ in range(4)]
    assert set(root.snapshots()) == {first, *names[-2:]}
    assert pointer_of(root)["pinned"] == first
    assert main(["rollback", "--root", root.uri]) == 0
    night(root, keep=keep)
    assert first not in root.snapshots()


def test_a_run_under_way_does_not_publish_over_a_rollback(root: Root) -> None:
    first, _ = night(root, keep=ALL), night(root, keep=ALL)
    base = history.settle(root)
    begun, tables = stage(root)
    assert main(["rollback", "--root", root.uri]) == 0
    with pytest.raises(lease.LockError, match=f"rollback of {first} by"):
        publish_run(begun, tables, base=base)
    assert pointer_of(root)["run_id"] == first


CALLS = ("get", "put", "create", "replace_if", "get_tagged", "stat", "delete", "delete_all", "entries", "children")


def interrupted(work: Callable[[], object], other: Callable[[], object], *, at: int) -> bool:
    """Do the work, and the other between two of its calls of the store; return whether there were so many."""
    calls, depth = iter(range(at + 1)), [0]
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            original = getattr(LocalStore, name)

            def call(*given: Any, _original: Any = original, **named: Any) -> Any:
                # The other's own calls find none left; and one call that makes others is one.
                if depth[0] == 0 and next(calls, None) == at:
                    other()
                depth[0] += 1
                try:
                    return _original(*given, **named)
                finally:
                    depth[0] -= 1

            patch.setattr(LocalStore, name, call)
        work()
    return next(calls, None) is None


@pytest.mark.parametrize("is_rollback_cut", [True, False])
def test_what_is_made_live_while_it_is_deleted_is_whole_or_not_live(tmp_path: Path, is_rollback_cut: bool) -> None:
    is_any_left, at, outcomes = True, 0, set()
    while is_any_left:
        root = open_root(str(tmp_path / str(at)))
        first, _, third = (night(root, keep=ALL) for _ in range(3))
        is_live: list[bool] = []

        def take_back(root: Root = root, first: str = first, is_live: list[bool] = is_live) -> None:
            try:
                rollback(root, to=first)
                is_live.append(True)
            except StorageError:
                is_live.append(False)

        def collect(root: Root = root) -> None:
            collect_garbage(root, AT_ONCE, is_trial=False)

        works = (take_back, collect) if is_rollback_cut else (collect, take_back)
        is_any_left = interrupted(*works, at=at)
        if is_any_left:
            (outcome,) = is_live
            assert read_pointer(root)["run_id"] == (first if outcome else third), at
            assert list(open_snapshot(root).faults()) == [], at
            # What nobody wants goes with the next night, and the history goes on.
            last = night(root)
            assert read_lists(root, read_pointer(root)) == last
            outcomes.add(outcome)
        at += 1
    assert outcomes == {True, False}
    assert at > 10


def test_what_was_published_before_files_were_named_is_taken_back(root: Root) -> None:
    """As an earlier version has left it: entries of five keys, a manifest without first and last ids."""
    first, _ = night(root, keep=ALL), night(root, keep=ALL)
    for entry in root.store.entries(HISTORY):
        found = json.loads(root.store.get(entry.name))
        kept = {key: found[key] for key in ("version", "action", "run_id", "at", "previous")}
        root.store.put(entry.name, json.dumps(kept).encode())
    assert main(["rollback", "--root", root.uri]) == 0
    assert read_lists(root, read_pointer(root)) == first
    assert len(pointer_of(root)["files"]["recommendations"]) == 3


def test_the_status_says_what_is_not_well(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "status", "--root", root.uri)
    assert code == 1
    assert "nothing is published here yet" in out
    live = night(root)
    code, out, _ = run(capsys, "status", "--root", root.uri, "--max-age", "26h")
    assert code == 0, out
    assert f"live       {live}, version 1, published" in out
    assert f"last run   {live}: published" in out
    assert "under way  nothing" in out
    with locked(root):
        under_way = start_run(root, run_date=DAY)
        under_way.note("running", stage="join")
        code, out, _ = run(capsys, "status", "--root", root.uri)
        assert code == 0, out
        assert "under way  process" in out
    code, out, _ = run(capsys, "status", "--root", root.uri)
    assert code == 1
    assert "it was killed" in out
    under_way.note("refused", code=4, message="the lists are too few", stages=[{"stage": "check", "failed": True}])
    code, out, _ = run(capsys, "status", "--root", root.uri)
    assert code == 1
    assert f"last run   {under_way.run_id}: refused in check at" in out
    assert "with exit code 4 (the lists are too few)" in out


def test_an_old_night_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = open_root(str(tmp_path / "out"))
    night(root)
    pointer = pointer_of(root)
    pointer["published_at"] = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    root.store.put("published/current.json", json.dumps(pointer).encode())
    for asked, code in (("26h", 1), ("2d", 0), ("1800m", 1), ("1801m", 0)):
        assert run(capsys, "status", "--root", root.uri, "--max-age", asked)[0] == code
    code, _, err = run(capsys, "status", "--root", root.uri, "--max-age", "soon")
    assert code == 2
    assert "write 90m, 26h or 2d" in err


def test_garbage_is_told_and_then_deleted(root: Root, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = [night(root, keep=ALL) for _ in range(4)]
    orphan, _ = stage(root)
    (tmp_path / "keep.toml").write_text("[output]\nkeep_snapshots = 2\nkeep_hours = 0\n")
    given = ("--root", root.uri, "--config", str(tmp_path / "keep.toml"))
    _, out, _ = run(capsys, "gc", "--dry-run", *given)
    told = {line.removeprefix("would delete ") for line in out.splitlines()[:-1]}
    assert told == {
        *(f"published/snapshots/{name}" for name in (*names[:2], orphan.run_id)),
        *(f"work/{name}" for name in (*names[:2], orphan.run_id)),
    }
    assert len(root.snapshots()) == 5
    # By default all stay that somebody may be reading.
    assert run(capsys, "gc", "--root", root.uri)[0] == 0
    assert root.snapshots() == names
    with locked(root):
        assert run(capsys, "gc", *given)[0] == 5
    assert run(capsys, "gc", *given)[0] == 0
    assert root.snapshots() == root.works() == names[2:]


def test_what_is_live_is_no_garbage_whatever_became_of_its_entry(root: Root) -> None:
    live = [night(root, keep=ALL) for _ in range(4)][-1]
    root.store.put(f"{HISTORY}/00000004.json", b"{")
    collect_garbage(root, AT_ONCE, is_trial=False)
    assert live in root.snapshots()
    assert read_lists(root, read_pointer(root)) == live


def test_a_store_that_gives_no_answer_deletes_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    names, get = [night(root, keep=ALL) for _ in range(4)], type(root.store).get

    def fail(self: Store, name: str) -> bytes:
        if name.endswith("00000004.json"):
            raise StorageError("the store gives no answer")
        return get(self, name)

    monkeypatch.setattr(type(root.store), "get", fail)
    with pytest.raises(StorageError, match="gives no answer"):
        collect_garbage(root, AT_ONCE, is_trial=False)
    assert root.snapshots() == names


def test_a_lease_is_freed_on_a_store_alone(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "unlock", "--root", root.uri)[:2] == (0, "nobody holds the lock\n")
    with locked(root):
        code, out, err = run(capsys, "unlock", "--root", root.uri)
    is_directory = root.store.path() is not None
    assert code == (5 if is_directory else 0)
    assert ("end that process" in err) if is_directory else ("freed the lease of process" in out)


Lists = dict[str, list[tuple[str, float]]]


def publish_lists(root: Root, lists: Lists, *, n_files: int, quarantined: str = "") -> str:
    """Publish lists of songs, cut into files as ranges of ids are."""
    begun, songs = start_run(root, run_date=DAY), sorted(lists)
    parts = [songs[i * len(songs) // n_files : (i + 1) * len(songs) // n_files] for i in range(n_files)]
    recommendations, status = [], []
    for part in parts:
        rows = [(song, rank, *place) for song in part for rank, place in enumerate(lists[song], start=1)]
        columns = [pa.array(column) for column in zip(*rows, strict=True)] if rows else [pa.array([])] * 4
        kinds = (pa.string(), pa.int32(), pa.string(), pa.float32())
        names = ("track_id", "rank", "recommended_track_id", "score")
        given = {name: column.cast(kind) for name, column, kind in zip(names, columns, kinds, strict=True)}
        recommendations.append(pa.table(given))
        states = ["quarantined" if song == quarantined else "recommended" for song in part]
        status.append(pa.table({"track_id": part, "status": states}))
    tables = write_tables(begun, {RECOMMENDATIONS: recommendations, STATUS: status})
    publish_run(begun, tables, base=history.settle(root))
    return begun.run_id


def test_what_has_changed_is_counted(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    before: Lists = {
        "a": [("b", 0.9), ("c", 0.8)], "b": [("a", 0.9), ("c", 0.7)], "c": [("a", 0.8), ("b", 0.7)],
        "gone": [("a", 0.5)], "z": [("a", 0.4), ("b", 0.3)],
    }  # fmt: skip
    after: Lists = {
        "a": [("b", 0.9), ("c", 0.8)], "b": [("c", 0.9), ("a", 0.7)], "c": [("a", 0.8), ("new", 0.7)],
        "new": [("c", 0.7)], "z": [("a", 0.4)],
    }  # fmt: skip
    one, other = publish_lists(root, before, n_files=2, quarantined="z"), publish_lists(root, after, n_files=3)
    found = diff.compare(root, one, other)
    assert (found.n_before, found.n_after, found.n_new, found.n_gone) == (4, 5, 2, 1)
    assert (found.new, found.gone) == (["new", "z"], ["gone"])
    # Of a, b, c and z one list is the same, in order; of 7 places 6 have a song that was there before.
    assert (found.n_lists, found.n_same_lists, found.n_places, found.n_kept) == (4, 1, 7, 6)
    assert found.churn == pytest.approx(1 / 7)
    assert found.score_before / found.n_places_before == pytest.approx(5.5 / 8)
    code, out, _ = run(capsys, "diff", one, other, "--root", root.uri)
    assert code == 0
    assert out.splitlines() == [
        f"songs     4 in {one}, 5 in {other}", "new       2: new, z", "gone      1: gone",
        "lists     4 in both, 25.0% of them the same", "churn     14.3% of their places have another song",
        "score     0.6875 on average, then 0.7429",
    ]  # fmt: skip
    same = diff.compare(root, one, one)
    assert (same.n_new, same.n_gone, same.n_same_lists, same.churn) == (0, 0, 5, 0.0)
    code, _, err = run(capsys, "diff", one, "2026-01-02-077", "--root", root.uri)
    assert code == 2
    assert "no published run '2026-01-02-077'" in err


def test_statements_are_those_of_the_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = open_root(str(tmp_path / "o'ut"))
    run_id = publish_lists(root, {"a": [("b", 0.5)], "b": [("a", 0.5)]}, n_files=2)
    _, out, _ = run(capsys, "sql", "--root", root.uri, "--dialect", "duckdb")
    with duckdb.connect() as engine:
        engine.execute(out)
        rows = engine.sql("SELECT track_id, rank, recommended_track_id FROM recommendations").fetchall()
        assert sorted(rows) == [("a", 1, "b"), ("b", 1, "a")]
        assert engine.sql("SELECT count(*) FROM status").fetchall() == [(2,)]
    _, out, _ = run(capsys, "sql", "--root", root.uri, "--dialect", "trino")
    assert '"score" real' in out
    assert f"o''ut/published/snapshots/{run_id}/recommendations/', format = 'PARQUET')" in out
    _, out, _ = run(capsys, "sql", "--root", root.uri, "--dialect", "athena")
    assert "`rank` int," in out
    assert f"o\\'ut/published/snapshots/{run_id}/status/'" in out


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://b/out", "s3a://b/out"),
        ("gs://b/out", "gs://b/out"),
        ("abfss://c@one.dfs.core.windows.net/out", "abfss://c@one.dfs.core.windows.net/out"),
    ],
)
def test_places_are_told_to_spark_as_its_connectors_call_them(uri: str, place: str) -> None:
    snapshot = Snapshot(open_store(uri), "2026-01-02-001", {}, {})
    assert f"(path '{place}/status/')" in sql._spark("status", snapshot, [])


def test_an_account_of_azures_is_told_to_each_engine_as_it_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    host = "one.dfs.core.windows.net"
    snapshot = Snapshot(open_store(f"abfss://c@{host}/o ut"), "2026-01-02-001", {}, {})
    assert f"'abfss://{host}/c/o ut/status/x.parquet'" in sql._duckdb("status", snapshot, ["status/x.parquet"])
    monkeypatch.setattr(sql, "_columns", lambda *_, **__: "")
    assert f"'abfss://c@{host}/o ut/status/'" in sql._trino("status", snapshot, ["status/x.parquet"])
    # Whoever names no account has it told by the engine's own settings.
    plain = Snapshot(open_store("az://c/out"), "2026-01-02-001", {}, {})
    assert "'az://c/out/status/x.parquet'" in sql._duckdb("status", plain, ["status/x.parquet"])


@pytest.mark.parametrize("second", [("process 1", "running"), ("", "published")], ids=["begins", "and ends"])
def test_a_run_that_begins_while_the_status_looks_was_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: tuple[str, str]
) -> None:
    root = open_root(str(tmp_path / "out"))
    night(root)
    started = start_run(root, run_date=DAY)
    started.note("published")
    # Who holds the lock at each look, and what the run says of itself from then on.
    looks = iter([("", "running"), second])

    def look(_: Root) -> str:
        held, state = next(looks)
        started.note(state)
        return held

    monkeypatch.setattr(status, "holder", look)
    assert status.report_status(root)[1] == []


def test_who_may_only_read_is_told_who_holds_the_lease(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = open_root(bucket)
    night(root)
    with locked(root):

        def refuse(self: Store, name: str, *parts: bytes) -> None:
            raise StorageError("access denied", where=name)

        monkeypatch.setattr(type(root.store), "put", refuse)
        assert lease.holder(root).startswith("process")


def test_statements_for_spark_run_there(spark, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = open_root(str(tmp_path / "o'ut"))
    publish_lists(root, {"a": [("b", 0.5)], "b": [("a", 0.5)]}, n_files=2)
    _, out, _ = run(capsys, "sql", "--root", root.uri, "--dialect", "spark")
    for statement in out.split("\n\n")[1:]:
        spark.sql(statement.strip().removesuffix(";"))
    try:
        assert spark.sql("SELECT count(*) AS n FROM recommendations").collect()[0]["n"] == 2
    finally:
        for name in ("recommendations", "status"):
            spark.catalog.dropTempView(name)


def test_a_backfill_is_made_live_by_hand(root: Root) -> None:
    live = night(root, date(2026, 5, 6), ALL)
    old = night(root, DAY, ALL, promote=False)
    assert pointer_of(root)["run_id"] == live
    assert main(["rollback", "--root", root.uri, "--to", old]) == 0
    assert pointer_of(root)["run_id"] == old


def test_spans_are_read_and_told() -> None:
    assert [span_of(text) for text in ("90m", "26h", "2d", "1.5h")] == [5400, 93600, 172800, 5400]
    assert [told_age(seconds) for seconds in (5, 300, 7300, 260_000)] == ["5 s", "5 min", "2 h", "3 days"]
