"""What was published is compared when it is read, and each fault is one sentence that names the file."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec import similar
from musicrec.cli import main
from musicrec.config import load_config
from musicrec.errors import InputError, StorageError
from musicrec.storage import publish, runs, snapshots
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS

N_PARTS, N_SONGS = 3, 20


@pytest.fixture
def root(tmp_path: Path) -> runs.Root:
    opened = runs.open_root(str(tmp_path / "out"))
    with runs.locked(opened):
        run = runs.start_run(opened, run_date=date(2026, 1, 2))
        for part in range(N_PARTS):
            ids = [f"song-{part}{i:02d}" for i in range(N_SONGS)]
            tables = {
                RECOMMENDATIONS: {"track_id": ids, "rank": [1] * N_SONGS, "recommended_track_id": ids[::-1],
                                  "score": pa.array([0.5] * N_SONGS, pa.float32())},
                STATUS: {"track_id": ids, "status": ["recommended"] * N_SONGS,
                         "reason": pa.nulls(N_SONGS, pa.string())},
            }  # fmt: skip
            for dataset, columns in tables.items():
                Path(run.path(dataset)).mkdir(parents=True, exist_ok=True)
                pq.write_table(pa.table(columns), Path(run.path(dataset), f"part-{part}.parquet"))
        publish.publish(run, manifest={"run_id": run.run_id, "stages": []}, report="<html></html>")
    return opened


def file_of(root: runs.Root, name: str) -> Path:
    return runs.current_snapshot(root) / name


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1
    path.write_bytes(content)


def point_to_99(root: runs.Root) -> None:
    pointer = {**json.loads(root.pointer.read_text()), "schema_version": 99}
    root.pointer.write_text(json.dumps(pointer))


def point_out(root: runs.Root) -> None:
    pointer = {**json.loads(root.pointer.read_text()), "run_id": "../../x"}
    root.pointer.write_text(json.dumps(pointer))


def forget_a_digest(root: runs.Root) -> None:
    pointer = json.loads(root.pointer.read_text())
    del pointer["manifest_sha256"]
    root.pointer.write_text(json.dumps(pointer))


LISTS, STATUSES = "recommendations/part-1.parquet", "status/part-1.parquet"
Fault = Callable[[runs.Root], object]
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "a flipped bit": (lambda root: flip(file_of(root, LISTS), 60), LISTS, "has other content"),
    "a flipped bit in the footer": (lambda root: flip(file_of(root, LISTS), -60), LISTS, "has other content"),
    "a file cut short": (lambda root: file_of(root, LISTS).write_bytes(b"PAR1"), LISTS, "has 4 bytes"),
    "a file emptied": (lambda root: file_of(root, LISTS).write_bytes(b""), LISTS, "has 0 bytes"),
    "a file gone": (lambda root: file_of(root, LISTS).unlink(), LISTS, "is missing"),
    "another's file gone": (lambda root: file_of(root, STATUSES).unlink(), STATUSES, "is missing"),
    "the report gone": (lambda root: file_of(root, "report.html").unlink(), "report.html", "is missing"),
    "the manifest gone": (lambda root: file_of(root, "manifest.json").unlink(), "manifest.json", "is missing"),
    "the manifest changed": (lambda root: flip(file_of(root, "manifest.json"), 5), "manifest.json", "not the one"),
    "no digest": (forget_a_digest, "manifest.json", "not the one"),
    "a newer version": (point_to_99, "current.json", "written by a newer musicrec"),
    "a run that leads out": (point_out, "current.json", "leads out"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_as_published_is_refused_by_name(
    root: runs.Root, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row["recommended_track_id"] for row in similar(str(root.path), "song-100")] == ["song-119"]
    break_it, name, says = FAULTS[fault]
    break_it(root)
    with pytest.raises(StorageError) as refused:
        similar(str(root.path), "song-100")
    assert name in refused.value.where
    assert says in refused.value.what
    assert refused.value.todo
    assert main(["similar", "song-100", "--root", str(root.path)]) == 1
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert len(said.splitlines()) <= 5


@pytest.mark.parametrize("at", range(4, 1200, 37))
def test_wherever_a_bit_flips_no_wrong_list_is_given(root: runs.Root, at: int) -> None:
    flip(file_of(root, LISTS), at)
    with pytest.raises(StorageError):
        similar(str(root.path), "song-100")
    # Neither is a song said not to be there that is.
    flip(file_of(root, LISTS), at)
    flip(file_of(root, STATUSES), at)
    with pytest.raises(StorageError, match=r"status|part-1|cannot read"):
        similar(str(root.path), "nowhere")


def test_a_song_that_is_not_there_is_told_from_whole_files(root: runs.Root) -> None:
    with pytest.raises(InputError, match="no song 'nowhere'"):
        similar(str(root.path), "nowhere")


def test_only_so_many_bytes_are_compared(root: runs.Root) -> None:
    snapshot = snapshots.open_snapshot(root)
    lists = snapshot.paths(RECOMMENDATIONS)
    sizes = [path.stat().st_size for path in lists]
    for path in lists:
        flip(path, 60)
    verifier = snapshots.Verifier(snapshot, bytes_left=sizes[0] - 1)
    for path in lists:
        verifier.check(path)
    with pytest.raises(StorageError, match="has other content"):
        snapshots.Verifier(snapshot, bytes_left=sizes[0]).check(lists[0])


def test_a_file_that_was_compared_is_not_compared_again(root: runs.Root) -> None:
    snapshot = snapshots.open_snapshot(root)
    path = snapshot.paths(STATUS)[0]
    verifier = snapshots.Verifier(snapshot)
    verifier.check(path)
    left = verifier.bytes_left
    verifier.check(path)
    assert left == verifier.bytes_left == snapshots.MAX_DIGEST_BYTES - path.stat().st_size


def test_what_lies_beside_is_neither_read_nor_unseen(root: runs.Root) -> None:
    snapshot = snapshots.open_snapshot(root)
    assert list(snapshot.faults()) == []
    stray = file_of(root, "recommendations/part-9.parquet")
    stray.write_bytes(b"not mine")
    assert similar(str(root.path), "song-100")
    assert list(snapshot.faults()) == [(stray, "was not published with it")]


@pytest.mark.parametrize("path", ["../../../work/x", "/etc/passwd", "a/../../b"])
def test_a_manifest_that_leads_out_is_refused(root: runs.Root, path: str) -> None:
    manifest = file_of(root, "manifest.json")
    manifest.write_text(json.dumps({"files": [{"path": path, "bytes": 1, "sha256": "0" * 64}]}))
    pointer = json.loads(root.pointer.read_text())
    root.pointer.write_text(json.dumps({**pointer, "manifest_sha256": snapshots.sha256_of(manifest)}))
    with pytest.raises(StorageError, match="lie elsewhere"):
        snapshots.open_snapshot(root)


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": [1]}', '{"files": [{"path": "x"}]}', "null"])
def test_a_manifest_without_files_is_refused(root: runs.Root, text: str) -> None:
    manifest = file_of(root, "manifest.json")
    manifest.write_text(text)
    pointer = json.loads(root.pointer.read_text())
    root.pointer.write_text(json.dumps({**pointer, "manifest_sha256": snapshots.sha256_of(manifest)}))
    with pytest.raises(StorageError, match="names no files"):
        snapshots.open_snapshot(root)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_run_only_loses_its_estimates(
    root: runs.Root, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    from musicrec.refresh import _published, _stages_of

    FAULTS[fault][0](root)
    of_what_it_reads = FAULTS[fault][1].endswith(".json")
    assert _stages_of(_published(root)) == {}
    assert len(caplog.records) == of_what_it_reads
    assert all("stages have no estimates" in record.getMessage() for record in caplog.records)
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_where_nothing_was_published_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from musicrec.refresh import _published, _stages_of

    assert _stages_of(_published(runs.open_root(str(tmp_path)))) == {}
    assert caplog.records == []
    assert load_config().output.keep_hours == 48
