"""What was published is compared when it is read, and each fault is one sentence that names the file."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from musicrec import similar
from musicrec.cli import main
from musicrec.config import load_config
from musicrec.errors import InputError, StorageError
from musicrec.storage import snapshots
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS
from musicrec.storage.files import sha256_of
from musicrec.storage.lease import locked
from musicrec.storage.pointer import current_snapshot
from musicrec.storage.runs import Root, open_root, start_run
from tests.roots import DAY, publish_run, set_pointer, write_tables

N_PARTS, N_SONGS = 3, 20


@pytest.fixture
def root(tmp_path: Path) -> Root:
    opened = open_root(str(tmp_path / "out"))
    with locked(opened):
        run = start_run(opened, run_date=DAY)
        parts = [[f"song-{part}{i:02d}" for i in range(N_SONGS)] for part in range(N_PARTS)]
        tables = {
            RECOMMENDATIONS: [
                pa.table({"track_id": ids, "rank": [1] * N_SONGS, "recommended_track_id": ids[::-1],
                          "score": pa.array([0.5] * N_SONGS, pa.float32())})
                for ids in parts
            ],
            STATUS: [
                pa.table({"track_id": ids, "status": ["recommended"] * N_SONGS,
                          "reason": pa.nulls(N_SONGS, pa.string())})
                for ids in parts
            ],
        }  # fmt: skip
        publish_run(run, write_tables(run, tables), base=0)
    return opened


def file_of(root: Root, name: str) -> Path:
    return Path(current_snapshot(root), name)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1
    path.write_bytes(content)


LISTS, STATUSES = "recommendations/part-00001.parquet", "status/part-00001.parquet"
Fault = Callable[[Root], object]
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
    "no digest": (lambda root: set_pointer(root, manifest_sha256=None), "manifest.json", "not the one"),
    "a newer version": (
        lambda root: set_pointer(root, schema_version=99),
        "current.json",
        "written by a newer musicrec",
    ),
    "a run that leads out": (lambda root: set_pointer(root, run_id="../../x"), "current.json", "leads out"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_as_published_is_refused_by_name(
    root: Root, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row["recommended_track_id"] for row in similar(root.uri, "song-100")] == ["song-119"]
    break_it, name, says = FAULTS[fault]
    break_it(root)
    with pytest.raises(StorageError) as refused:
        similar(root.uri, "song-100")
    assert name in refused.value.where
    assert says in refused.value.what
    assert refused.value.todo
    assert main(["similar", "song-100", "--root", root.uri]) == 1
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert len(said.splitlines()) <= 5


@pytest.mark.parametrize("at", range(4, 1200, 37))
def test_wherever_a_bit_flips_no_wrong_list_is_given(root: Root, at: int) -> None:
    flip(file_of(root, LISTS), at)
    with pytest.raises(StorageError):
        similar(root.uri, "song-100")
    # Neither is a song said not to be there that is.
    flip(file_of(root, LISTS), at)
    flip(file_of(root, STATUSES), at)
    with pytest.raises(StorageError, match=r"status|part-1|cannot read"):
        similar(root.uri, "song-1055")


def test_a_song_that_is_not_there_is_told_from_whole_files(root: Root) -> None:
    with pytest.raises(InputError, match="no song 'nowhere'"):
        similar(root.uri, "nowhere")


def test_only_so_many_bytes_are_compared(root: Root) -> None:
    snapshot = snapshots.open_snapshot(root)
    lists = snapshot.names(RECOMMENDATIONS)
    size = snapshot.files[lists[0]][0]
    for name in lists:
        flip(file_of(root, name), 60)
    verifier = snapshots.Verifier(snapshot, bytes_left=size - 1)
    for name in lists:
        verifier.check(name)
    with pytest.raises(StorageError, match="has other content"):
        snapshots.Verifier(snapshot, bytes_left=size).check(lists[0])


def test_a_file_that_was_compared_is_not_compared_again(root: Root) -> None:
    snapshot = snapshots.open_snapshot(root)
    name = snapshot.names(STATUS)[0]
    verifier = snapshots.Verifier(snapshot)
    verifier.check(name)
    left = verifier.bytes_left
    verifier.check(name)
    assert left == verifier.bytes_left == snapshots.MAX_DIGEST_BYTES - snapshot.files[name][0]


def test_what_lies_beside_is_neither_read_nor_unseen(root: Root) -> None:
    snapshot = snapshots.open_snapshot(root)
    assert list(snapshot.faults()) == []
    stray = file_of(root, "recommendations/part-9.parquet")
    stray.write_bytes(b"not mine")
    assert similar(root.uri, "song-100")
    assert list(snapshot.faults()) == [("recommendations/part-9.parquet", "was not published with it")]


@pytest.mark.parametrize("path", ["../../../work/x", "/etc/passwd", "a/../../b"])
def test_a_manifest_that_leads_out_is_refused(root: Root, path: str) -> None:
    manifest = file_of(root, "manifest.json")
    manifest.write_text(json.dumps({"files": [{"path": path, "bytes": 1, "sha256": "0" * 64}]}))
    set_pointer(root, manifest_sha256=sha256_of(manifest))
    with pytest.raises(StorageError, match="lie elsewhere"):
        snapshots.open_snapshot(root)


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": [1]}', '{"files": [{"path": "x"}]}', "null"])
def test_a_manifest_without_files_is_refused(root: Root, text: str) -> None:
    manifest = file_of(root, "manifest.json")
    manifest.write_text(text)
    set_pointer(root, manifest_sha256=sha256_of(manifest))
    with pytest.raises(StorageError, match="names no files"):
        snapshots.open_snapshot(root)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_run_only_loses_its_estimates(root: Root, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    from musicrec.refresh import _published, _stages_of

    FAULTS[fault][0](root)
    of_what_it_reads = FAULTS[fault][1].endswith(".json")
    assert _stages_of(_published(root)) == {}
    assert len(caplog.records) == of_what_it_reads
    assert all("stages have no estimates" in record.getMessage() for record in caplog.records)
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_where_nothing_was_published_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from musicrec.refresh import _published, _stages_of

    assert _stages_of(_published(open_root(str(tmp_path)))) == {}
    assert caplog.records == []
    assert load_config().output.keep_hours == 48
