"""The jobs as processes: both launchers, exit codes, a kill half-way, and a cluster of real executors."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyspark
import pytest

from musicrec.pipeline.evaluation import evaluate
from musicrec.pipeline.refresh import refresh
from musicrec.storage import runs
from tests.conftest import ROOT, TIDYTUESDAY, make_config, make_songs

PYTHON_JOB = [sys.executable, str(ROOT / "jobs/refresh.py")]
SUBMIT = str(Path(pyspark.__file__).parent / "bin/spark-submit")
QUICK = ["model.n_epochs=2", "model.hidden_layers=[16]", "model.embedding_dim=8", "spark.driver_memory=1g"]

TODAY = date(2026, 5, 6)

pytestmark = pytest.mark.slow


def run_job(command: list[str], *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = [part for item in (*QUICK, *overrides) for part in ("--set", item)]
    # As a user's shell has it: nothing of this test's own session.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYSPARK_GATEWAY", "SPARK_"))}
    return subprocess.run(
        [*command, *settings],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        timeout=400,
        check=False,
    )


def recommendations(root: Path) -> pd.DataFrame:
    files = sorted((runs.current_snapshot(runs.open_root(str(root))) / "recommendations").glob("*.parquet"))
    return ds.dataset(files).to_table().to_pandas().sort_values(["track_id", "rank"]).reset_index(drop=True)


def own_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith(("error:", "where:", "to do:", "Traceback"))]


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    make_songs(300).to_csv(tmp_path / "songs.csv", index=False)
    return tmp_path / "songs.csv"


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (["neighbors.k=0"], 2, "neighbors.k"),
        (["neighbors.kk=1"], 2, "did you mean 'neighbors.k'"),
        (["input.tracks=/nowhere/songs.csv", "output.root=/tmp/x"], 3, "no such path: /nowhere/songs.csv"),
    ],
)
def test_exit_codes(tmp_path: Path, overrides: list[str], code: int, message: str) -> None:
    root = [] if any("output.root" in o for o in overrides) else [f"output.root={tmp_path}"]
    finished = run_job([*PYTHON_JOB, "--dry-run"], *overrides, *root)
    assert finished.returncode == code, finished.stderr
    lines = own_lines(finished.stderr)
    assert message in lines[0]
    assert len(lines) <= 5
    assert "\tat " not in finished.stderr


def test_wrong_usage_is_2() -> None:
    assert run_job([*PYTHON_JOB, "--nonsense"]).returncode == 2
    assert run_job([*PYTHON_JOB, "--run-date", "tomorrow"]).returncode == 2


def test_unwritable_output_and_lock(songs: Path, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    finished = run_job(PYTHON_JOB, f"input.tracks={songs}", f"output.root={tmp_path / 'occupied'}")
    assert finished.returncode == 1
    assert "cannot write" in own_lines(finished.stderr)[0]
    with runs.locked(runs.open_root(str(tmp_path / "out"))):
        finished = run_job(PYTHON_JOB, f"input.tracks={songs}", f"output.root={tmp_path / 'out'}")
    assert finished.returncode == 5
    assert "another run holds the lock" in own_lines(finished.stderr)[0]


def test_a_killed_run_leaves_the_old_snapshot_and_the_next_succeeds(spark, songs: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    paths = (f"input.tracks={songs}", f"output.root={root}")
    before = refresh(spark, make_config(songs, root), run_date=TODAY)
    settings = [part for item in (*QUICK, *paths) for part in ("--set", item)]
    job = subprocess.Popen(
        [*PYTHON_JOB, "--run-date", str(TODAY), *settings],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(root.glob("work/*-002/features")) and time.monotonic() < deadline:
        assert job.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    assert list(root.glob("work/*-002/features")), "the run was killed too early"
    assert runs.current_snapshot(runs.open_root(str(root))) == before
    assert refresh(spark, make_config(songs, root), run_date=TODAY).name.endswith("-003")
    assert not list(root.glob("work/*-002"))


@pytest.mark.realdata
def test_both_launchers_and_2_or_7_partitions_give_the_same_bytes(tmp_path: Path) -> None:
    results = []
    for name, command, partitions in (
        ("python", PYTHON_JOB, 2),
        ("submit", [SUBMIT, str(ROOT / "jobs/refresh.py")], 7),
    ):
        paths = (f"input.tracks={TIDYTUESDAY}", f"input.playlists={TIDYTUESDAY}", f"output.root={tmp_path / name}")
        overrides = (*paths, f"spark.shuffle_partitions={partitions}", "neighbors.exact_below=0")
        finished = run_job(command, *overrides, PYSPARK_PYTHON=sys.executable)
        assert finished.returncode == 0, finished.stderr[-3000:]
        results.append(recommendations(tmp_path / name))
        found = json.loads(
            (runs.current_snapshot(runs.open_root(str(tmp_path / name))) / "manifest.json").read_text()
        )
        assert found["neighbors"]["hash_family"] == "voronoi"
        assert found["neighbors"]["recall_at_k"] >= 0.98
    assert results[0]["track_id"].nunique() == 28_356
    pd.testing.assert_frame_equal(*results, check_exact=True)


WHERE = """
import musicrec
from pyspark.sql import SparkSession
session = SparkSession.builder.getOrCreate()
def where(batches):
    import pyarrow
    import musicrec.algorithms.kernel as kernel
    for batch in batches:
        yield pyarrow.RecordBatch.from_pydict({"path": [kernel.__file__] * batch.num_rows})
for row in session.range(8, numPartitions=4).mapInArrow(where, "path string").distinct().collect():
    print("WORKER", row["path"])
print("DRIVER", musicrec.__file__)
"""


def test_real_executors_from_the_packaged_zip(spark, songs: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["bash", str(ROOT / "scripts/package.sh")], check=True, env={**os.environ, "PYTHON": sys.executable}
    )
    cluster = [SUBMIT, "--master", "local-cluster[2,1,1024]", "--conf", "spark.executor.memory=1g"]
    cluster += ["--py-files", str(ROOT / "dist/musicrec.zip")]
    (tmp_path / "where.py").write_text(WHERE)
    proof = subprocess.run(
        [*cluster, str(tmp_path / "where.py")], capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable}, cwd=tmp_path,
    )  # fmt: skip
    found = [line for line in proof.stdout.splitlines() if line.startswith(("WORKER", "DRIVER"))]
    assert len(found) >= 2, proof.stderr[-2000:]
    assert all("musicrec.zip" in line for line in found)
    paths = (f"input.tracks={songs}", f"output.root={tmp_path / 'cluster'}")
    finished = run_job([*cluster, str(ROOT / "jobs/refresh.py")], *paths, PYSPARK_PYTHON=sys.executable)
    assert finished.returncode == 0, finished.stderr[-3000:]
    refresh(spark, make_config(songs, tmp_path / "local"), run_date=TODAY)
    pd.testing.assert_frame_equal(
        recommendations(tmp_path / "cluster"), recommendations(tmp_path / "local"), check_exact=True
    )


@pytest.mark.realdata
def test_evaluation_beats_the_baseline(spark, tmp_path: Path) -> None:
    """One split, few epochs: far from the full figure, but no longer chance."""
    settings = ("evaluate.n_splits=1", "model.n_epochs=8", "model.embedding_dim=64", "model.hidden_layers=[128]")
    config = make_config(TIDYTUESDAY, tmp_path, f"input.playlists={TIDYTUESDAY}", *settings)
    lines = {line["vectors"]: line for line in evaluate(spark, config)["lines"]}
    assert lines["random"]["ratio_to_baseline"] < 0.3
    assert lines["z-scored features"]["ratio_to_baseline"] == 1.0
    encoder = lines["encoder (playlists)"]
    assert encoder["ratio_to_baseline"] > 1.15
    assert (
        encoder["precision_at_10"]["lower"]
        < encoder["precision_at_10"]["mean"]
        < encoder["precision_at_10"]["upper"]
    )
