"""The `musicrec` command and the README's queries, on one small published catalog."""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec import doctor
from musicrec.cli import main
from musicrec.doctor import examine
from musicrec.errors import InputError
from musicrec.query import find_similar
from musicrec.storage import lookup
from musicrec.storage.pointer import current_snapshot
from musicrec.storage.runs import open_root
from tests.conftest import ROOT, make_config, make_songs, refresh


@pytest.fixture(scope="module")
def root(spark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("published")
    songs = make_songs(40, title=["[bold]Title\n<b>"] * 40)
    songs["title"] += songs.index.astype(str)
    songs.loc[39, "tempo"] = -1
    songs.to_csv(directory / "songs.csv", index=False)
    favorites = pd.DataFrame(
        {"user_id": ["ada", "ada", "bob"], "track_id": ["song-0001", "song-0002", "song-0003"]}
    )
    favorites.to_csv(directory / "favorites.csv", index=False)
    config = make_config(
        directory / "songs.csv", directory / "output", f"input.favorites={directory / 'favorites.csv'}"
    )
    refresh(spark, config, run_date=date(2026, 1, 1))
    return directory / "output"


def test_similar_prints_the_published_list(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", "song-0001", "--root", str(root), "-k", "3"]) == 0
    shown = capsys.readouterr().out
    expected = [row["recommended_track_id"] for row in find_similar("song-0001", open_root(str(root)), k=3)]
    assert re.findall(r"song-\d{4}", shown) == expected
    assert "[bold]Title" in shown
    assert "Artist" in shown


def test_similar_understands_a_uri_and_starts_no_jvm(root: Path) -> None:
    command = [sys.executable, "-m", "musicrec.cli", "similar", "spotify:track:song-0001", "--root", str(root)]
    environment = {"PATH": "", "JAVA_HOME": "/nowhere", "HOME": os.environ.get("HOME", "/")}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert finished.returncode == 0, finished.stderr
    assert len(re.findall(r"song-\d{4}", finished.stdout)) == 10


MEASURED = """
import resource, sys
from musicrec import doctor
from musicrec.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
# Linux counts in what the process before it used that became this one; its own table does not. (macOS: bytes.)
peak_mb = used.ru_maxrss / 1024**2
if sys.platform == "linux":
    with open("/proc/self/status") as table:
        peak_mb = next(int(line.split()[1]) for line in table if line.startswith("VmHWM")) / 1024
heavy = [name for name in ("pyspark", "torch", "numba", "pandas") if name in sys.modules]
print(code, used.ru_utime + used.ru_stime, peak_mb, heavy, sep="|")
"""


def test_similar_answers_at_once_from_little_memory(root: Path) -> None:
    command = [sys.executable, "-c", MEASURED, "similar", "song-0001", "--root", str(root)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    code, seconds, peak_mb, heavy = shown.splitlines()[-1].split("|")
    assert (code, heavy) == ("0", "[]")
    # Of the processor: the clock also measures what else the machine does.
    assert float(seconds) < 1.0
    assert float(peak_mb) < 150


def test_a_row_group_that_cannot_hold_the_song_is_not_read(tmp_path: Path) -> None:
    ids = [f"é{i:03d}" for i in range(100)]
    pq.write_table(pa.table({"track_id": ids, "n": list(range(100))}), tmp_path / "a.parquet", row_group_size=10)

    def opened(name: str) -> BinaryIO:
        return (tmp_path / name).open("rb")

    for wanted in (["é000"], ["é009", "é010", "é099"], ["é0095"], ["", "ÿ", "nowhere"]):
        rows = lookup.find_rows(["a.parquet"], opened, column="track_id", values=wanted)
        assert [row["track_id"] for row in rows] == [i for i in ids if i in wanted]
        assert all(ids[row["n"]] == row["track_id"] for row in rows)
    only = lookup.find_rows(["a.parquet"], opened, column="track_id", values=["é042"], columns=["track_id"])
    assert only == [{"track_id": "é042"}]
    assert lookup.find_rows([], opened, column="track_id", values=["a"]) == []
    assert lookup.find_rows(["a.parquet"], opened, column="track_id", values=[]) == []


def test_similar_says_why_there_is_nothing(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no song 'nowhere'"):
        find_similar("nowhere", open_root(str(root)), k=1)
    assert main(["similar", "song-0039", "--root", str(root)]) == 3
    assert "tempo_out_of_range" in capsys.readouterr().err
    assert main(["similar", "song-0001", "--root", str(tmp_path)]) == 1
    assert "nothing is published" in capsys.readouterr().err


def test_doctor_finds_this_machine_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for name in (
        "Java", "Python of the driver", "Python of the workers", "function on a worker: imports musicrec, pyspark",
        "pyspark", "torch", "free memory", "free space for shuffles", "cache of compiled loops",
        "output.root: can be written", "free space: ", "published files: none yet",
    ):  # fmt: skip
        assert name in shown


@pytest.fixture
def without_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """To import torch takes seconds."""
    monkeypatch.setattr(doctor, "_task", lambda _: doctor.Finding("function on a worker", "not tried"))


@pytest.mark.usefixtures("without_task")
def test_doctor_reads_each_published_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    assert main(["doctor", "--root", str(copy)]) == 0
    snapshot = Path(current_snapshot(open_root(str(copy))))
    assert f"as published ({snapshot.name})" in capsys.readouterr().out
    (broken,) = (snapshot / "user_recommendations").glob("*.parquet")
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    (snapshot / "report.html").unlink()
    assert main(["doctor", "--root", str(copy)]) == 2
    said = capsys.readouterr().out
    assert f"user_recommendations/{broken.name} has other content" in said
    assert "report.html is missing" in said
    assert str(snapshot) in said
    (snapshot / "manifest.json").unlink()
    assert main(["doctor", "--root", str(copy)]) == 2
    assert "manifest.json is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("does", "found"),
    [
        ("echo no such module >&2; exit 1", "fails: no such module"),
        ("kill -9 $$", "fails: exit code -9"),
        ("echo hello", "gives no answer"),
        ("true", "gives no answer"),
        ("""echo '{"musicrec": "0", "pyspark": "3.5.0"}'""", "pyspark 3.5.0, the driver has"),
    ],
)
def test_doctor_sees_a_worker_that_has_other_packages(tmp_path: Path, does: str, found: str) -> None:
    (tmp_path / "python").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "python").chmod(0o755)
    finding = doctor._task(str(tmp_path / "python"))
    assert found in finding.found
    assert "packages" in finding.fix


def test_doctor_says_what_is_too_little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda: 2**29)
    monkeypatch.setattr(doctor, "free_disk", lambda _: 2**28)
    monkeypatch.setattr(doctor, "kernels_directory", lambda: None)
    found = [doctor._memory(), doctor._space("free space", str(tmp_path)), doctor._kernels()]
    assert [each.found for each in found] == ["0.5 GiB", f"0.2 GiB ({tmp_path})", "no place can be written"]
    assert all(each.fix for each in found)


def test_doctor_has_a_fix_for_each_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PYSPARK_PYTHON", "/nowhere/python")
    bad = {finding.name: finding.fix for finding in examine(str(tmp_path / "file")) if finding.fix}
    assert set(bad) == {"Java", "Python of the workers", "output.root"}


@pytest.mark.parametrize(
    ("says", "found"), [("exit 3", "does not start"), ("echo hello", "is no Python"), ("echo '[2, 7, []]'", "2.7")]
)
def test_doctor_sees_a_python_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, found: str
) -> None:
    (tmp_path / "python").write_text(f"#!/bin/sh\n{says}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("PYSPARK_PYTHON", str(tmp_path / "python"))
    (finding,) = [each for each in examine(None) if each.name == "Python of the workers"]
    assert found in finding.found
    assert "PYSPARK_PYTHON" in finding.fix


@pytest.mark.usefixtures("without_task")
@pytest.mark.parametrize(
    ("says", "found"), [('version "11.0.2"', "11"), ('version "17.0.1"', ""), ("no word of it", "does not start")]
)
def test_doctor_reads_the_version_of_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, found: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text(f"#!/bin/sh\necho 'openjdk {says} 2026' >&2\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    (finding,) = [each for each in examine(None) if each.name == "Java"]
    assert found in finding.found
    assert bool(finding.fix) == bool(found)


@pytest.mark.parametrize("command", [["refresh", "--set"], ["neighbors", "--vectors", "v.parquet", "--output"]])
def test_an_output_that_cannot_be_written_is_told_before_spark_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("musicrec.launch.open_session", lambda *_, **__: pytest.fail("Spark was started"))
    target = str(tmp_path / "file" / "output")
    assert main([*command, f"output.root={target}" if command[0] == "refresh" else target]) == 1
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["refesh"], "invalid choice: 'refesh'"),
        (["refresh", "--overwrite"], "unrecognized arguments: --overwrite"),
        (["refresh", "--accept", " "], "must say why"),
        (["similar"], "the following arguments are required"),
        ([], "required: COMMAND"),
    ],
)
def test_words_that_no_command_knows_are_told(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) <= 5
