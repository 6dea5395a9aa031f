"""The jobs as processes: both launchers, exit codes, a kill half-way, and a cluster of real executors."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyspark
import pytest

from musicrec.config import load_config
from musicrec.pipeline.evaluation import as_text, evaluate
from musicrec.pipeline.refresh import refresh
from musicrec.pipeline.vectors import VectorsInput, join_vectors
from musicrec.storage import runs
from tests.conftest import ROOT, TIDYTUESDAY, make_config, make_songs

PYTHON_JOB = [sys.executable, str(ROOT / "jobs/refresh.py")]
SUBMIT = str(Path(pyspark.__file__).parent / "bin/spark-submit")
QUICK = ["model.n_epochs=2", "model.hidden_layers=[16]", "model.embedding_dim=8", "spark.driver_memory=1g"]

TODAY = date(2026, 5, 6)

pytestmark = pytest.mark.slow


def run_job(command: list[str], *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = [part for item in (*QUICK, *overrides) for part in ("--set", item)]
    return subprocess.run(
        [*command, *settings],
        capture_output=True,
        text=True,
        env={**own_environment(), **environment},
        timeout=400,
        check=False,
    )


def start_job(command: list[str], *overrides: str, log: Path) -> "subprocess.Popen[bytes]":
    settings = [part for item in (*QUICK, *overrides) for part in ("--set", item)]
    environment = {**own_environment(), "PYSPARK_PYTHON": sys.executable}
    # Into a file: nobody reads a pipe while the job is watched.
    with log.open("w") as stderr:
        return subprocess.Popen(
            [*command, *settings],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            env=environment,
        )


def own_environment() -> dict[str, str]:
    # As a user's shell has it: nothing of this test's own session.
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYSPARK_GATEWAY", "SPARK_"))}


def wait_for(job: "subprocess.Popen[bytes]", root: Path, pattern: str) -> None:
    """Return as soon as a file of the running job is there."""
    deadline = time.monotonic() + 200
    while not list(root.glob(pattern)):
        assert job.poll() is None, "the job ended too early"
        assert time.monotonic() < deadline, f"no {pattern}"
        time.sleep(0.05)


def executors(job: "subprocess.Popen[bytes]") -> set[psutil.Process]:
    found = set()
    for child in psutil.Process(job.pid).children(recursive=True):
        # One that has just ended has no command line any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "CoarseGrainedExecutorBackend" in " ".join(child.cmdline()):
                found.add(child)
    return found


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
    job = start_job([*PYTHON_JOB, "--run-date", str(TODAY)], *paths, log=tmp_path / "log")
    wait_for(job, root, "work/*-002/features")
    os.killpg(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
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


def test_real_executors_from_the_packaged_zip_and_one_is_killed(spark, songs: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["bash", str(ROOT / "scripts/package.sh")], check=True, env={**os.environ, "PYTHON": sys.executable}
    )
    cluster = [SUBMIT, "--master", "local-cluster[2,1,1024]", "--conf", "spark.executor.memory=1g"]
    cluster += ["--py-files", str(ROOT / "dist/musicrec.zip")]
    (tmp_path / "where.py").write_text(WHERE)
    proof = subprocess.run(
        [*cluster, str(tmp_path / "where.py")], capture_output=True, text=True, timeout=200, check=False,
        env={**own_environment(), "PYSPARK_PYTHON": sys.executable}, cwd=tmp_path,
    )  # fmt: skip
    found = [line for line in proof.stdout.splitlines() if line.startswith(("WORKER", "DRIVER"))]
    assert len(found) >= 2, proof.stderr[-2000:]
    assert all("musicrec.zip" in line for line in found)
    paths = (f"input.tracks={songs}", f"output.root={tmp_path / 'cluster'}")
    job = start_job([*cluster, str(ROOT / "jobs/refresh.py")], *paths, log=tmp_path / "log")
    wait_for(job, tmp_path / "cluster", "work/*/features/part-*")
    before = executors(job)
    assert len(before) == 2
    victim = min(before, key=lambda process: process.pid)
    victim.kill()
    victim.wait(timeout=30)
    while not executors(job) - before:
        assert job.poll() is None, "no executor took the place of the killed one"
        time.sleep(0.1)
    assert job.wait(timeout=400) == 0, (tmp_path / "log").read_text()[-3000:]
    refresh(spark, make_config(songs, tmp_path / "local"), run_date=TODAY)
    pd.testing.assert_frame_equal(
        recommendations(tmp_path / "cluster"), recommendations(tmp_path / "local"), check_exact=True
    )


def reasons(event_log: Path) -> set[str]:
    """Why tasks ended, as Spark's own log of the job tells."""
    found = set()
    for path in event_log.iterdir():
        for line in path.read_text().splitlines():
            if line.startswith("{") and '"SparkListenerTaskEnd"' in line:
                found.add(json.loads(line)["Task End Reason"]["Reason"])
    return found


def neighbors_of(output: Path) -> pd.DataFrame:
    rows = ds.dataset(output / "neighbors").to_table().to_pandas()
    return rows.sort_values(["id", "rank"]).reset_index(drop=True)


def test_shuffle_files_lost_with_an_executor_are_made_again(spark, tmp_path: Path) -> None:
    """Killed while others read from it: their fetches fail, and the lists are still the same."""
    source, rng = tmp_path / "in", np.random.default_rng(0)
    source.mkdir()
    for part in range(4):
        ids = pa.array(np.arange(5000) + 5000 * part)
        vectors = pa.array(list(rng.standard_normal((5000, 16)).astype(np.float32)))
        pq.write_table(pa.table({"id": ids, "vector": vectors}), source / f"{part}.parquet")
    log, output = tmp_path / "events", tmp_path / "cluster"
    log.mkdir()
    options = {
        "spark.executor.memory": "1g",
        "spark.sql.shuffle.partitions": "32",
        "spark.shuffle.io.maxRetries": "1",
        "spark.shuffle.io.retryWait": "1s",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.dir": log.as_uri(),
    }
    command = [SUBMIT, "--master", "local-cluster[2,1,1024]"]
    command += [part for item in options.items() for part in ("--conf", "=".join(item))]
    command += [str(ROOT / "jobs/neighbors.py"), "--vectors", str(source), "--output", str(output)]
    job = start_job(command, "neighbors.exact_below=0", log=tmp_path / "log")
    # The first part of the cells is there: the others still need what both executors hold.
    wait_for(job, output, "work/*/items/*.keys.npy")
    min(executors(job), key=lambda process: process.pid).kill()
    assert job.wait(timeout=400) == 0, (tmp_path / "log").read_text()[-3000:]
    assert reasons(log) & {"FetchFailed", "Resubmitted"}, reasons(log)
    own = [f"output.root={tmp_path / 'local'}", "neighbors.exact_below=0", "neighbors.one_per_recording=false"]
    join_vectors(
        spark, load_config(overrides=own), VectorsInput(str(source), "id", "vector", "cosine"), overwrite=False
    )
    pd.testing.assert_frame_equal(neighbors_of(output), neighbors_of(tmp_path / "local"), check_exact=True)


@pytest.mark.realdata
def test_evaluation_beats_the_baseline(spark, tmp_path: Path) -> None:
    """One split, few epochs: far from the full figure, but no longer chance."""
    # A third of the songs: ranking all of them for each takes minutes. The other core has another test.
    settings = (
        "evaluate.n_splits=1",
        "evaluate.max_songs=10000",
        "model.n_epochs=20",
        "model.batch_size=256",
        "model.n_threads=1",
        "model.hidden_layers=[128]",
    )
    config = make_config(TIDYTUESDAY, tmp_path, f"input.playlists={TIDYTUESDAY}", *settings)
    result = evaluate(spark, config)
    methods = {method["method"]: method for method in result["methods"]}
    ratios = {name: method["ratio"]["mean"] for name, method in methods.items()}
    assert ratios["random"] < 0.3
    assert ratios["z-scored features"] == 1.0
    assert ratios["encoder"] > 1.15 * ratios["quantiles"]
    everything = "encoder + release date + popularity"
    assert ratios[everything] > 2.2
    assert ratios["z-scored features + release date + popularity"] < ratios[everything]
    for missing in ("half of the query's features missing", "half of all songs' features missing"):
        assert 0.2 * ratios[everything] < ratios[f"{everything}, {missing}"] < ratios[everything]
    for estimate in (methods[everything]["means"]["ndcg"], methods[everything]["ratio"]):
        assert estimate["lower"] < estimate["mean"] < estimate["upper"]
    assert methods["popularity"]["exposure"]["coverage"] < 0.05 < methods[everything]["exposure"]["coverage"]
    # Every line has the cells of its head.
    lines = [line for line in as_text(result).splitlines() if line.startswith("|")]
    n_lines = 2 + len(methods)
    for first, last in ((0, n_lines), (n_lines, 2 * n_lines), (2 * n_lines, -4)):
        assert len({line.count("|") for line in lines[first:last]}) == 1
    known = result["known_to_playlists"]["methods"]
    assert list(known) == ["playlist co-occurrence", "z-scored features", everything]
    assert known["playlist co-occurrence"][0]["mean"] > known["z-scored features"][0]["mean"]
    before, after = result["spreading"]["before"], result["spreading"]["after"]
    assert after["forgotten_share"] < 0.3 * before["forgotten_share"]
    assert after["precision"] > 0.98 * before["precision"]
