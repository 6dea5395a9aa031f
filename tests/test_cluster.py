"""A cluster of real executors: one of them killed, shuffle files lost with it, and the packaged code.

At the top, because all rooms are in it.
"""

import contextlib
import json
import os
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
import pytest

from musicrec.config import load_config
from musicrec.storage.rows import RowFiles
from musicrec.storage.runs import open_root
from musicrec.storage.snapshots import open_snapshot
from musicrec.vectors.join import join_vectors
from musicrec.vectors.read import VectorsInput
from tests import servers
from tests.conftest import ROOT, make_config, make_songs, refresh
from tests.processes import SUBMIT, own_environment, recommendations, settings_of, start_job, wait_for

TODAY = date(2026, 5, 6)


def executors(job: "subprocess.Popen[bytes]") -> set[psutil.Process]:
    found = set()
    for child in psutil.Process(job.pid).children(recursive=True):
        # One that has just ended has no command line any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "CoarseGrainedExecutorBackend" in " ".join(child.cmdline()):
                found.add(child)
    return found


WHERE = """
import musicrec
from pyspark.sql import SparkSession
session = SparkSession.builder.getOrCreate()
def where(batches):
    import pyarrow
    import musicrec.neighbors.search.kernel as kernel
    for batch in batches:
        yield pyarrow.RecordBatch.from_pydict({"path": [kernel.__file__] * batch.num_rows})
for row in session.range(8, numPartitions=4).mapInArrow(where, "path string").distinct().collect():
    print("WORKER", row["path"])
print("DRIVER", musicrec.__file__)
"""


@pytest.mark.slow
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
    wait_for(job, tmp_path / "cluster", "work/*/embeddings/part-*")
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


@pytest.mark.slow
def test_a_standalone_cluster_shares_nothing_but_a_bucket_and_loses_a_worker(
    spark, s3: servers.Server, bucket: str, tmp_path: Path
) -> None:
    """Master, workers and driver see none of the others' directories; all that they share comes by the network."""
    subprocess.run(
        ["bash", str(ROOT / "scripts/package.sh")], check=True, env={**os.environ, "PYTHON": sys.executable}
    )
    songs = make_songs(2000)
    songs.to_parquet(tmp_path / "songs.parquet")
    root = open_root(bucket)
    root.store.put("in/songs.parquet", (tmp_path / "songs.parquet").read_bytes())
    environment = {**own_environment(), **s3.environment}
    same = ("neighbors.expert.exact_below=0", "model.expert.min_songs=100")
    with servers.standalone(tmp_path, environment) as cluster:
        driver = tmp_path / "driver"
        driver.mkdir()
        command = [
            SUBMIT, "--master", cluster.master, "--conf", "spark.executor.memory=1g", "--conf",
            "spark.sql.shuffle.partitions=8", "--conf", "spark.driver.host=127.0.0.1",
            # Executors of one address would look for each other's files on a disk that they do not share.
            "--conf", "spark.shuffle.readHostLocalDisk=false",
            "--py-files", str(ROOT / "dist/musicrec.zip"), str(ROOT / "jobs/refresh.py"),
            *settings_of(f"input.tracks={bucket}/in", f"output.root={bucket}/out", *same),
        ]  # fmt: skip
        with (tmp_path / "log").open("wb") as log:
            job = subprocess.Popen(
                servers.apart(command, tmp_path, driver), stdout=log, stderr=log, start_new_session=True,
                env={**environment, "PYSPARK_PYTHON": sys.executable, "HOME": str(driver)},
            )  # fmt: skip
        until = time.monotonic() + 200
        while not any("embeddings/part-" in entry.name for entry in root.store.entries("out/work")):
            assert job.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < until, "the job does not come so far"
            time.sleep(0.2)
        cluster.nodes[0].stop()
        assert job.wait(timeout=300) == 0, (tmp_path / "log").read_text()[-3000:]
    refresh(spark, make_config(tmp_path / "songs.parquet", tmp_path / "local", *same), run_date=TODAY)
    found = [
        RowFiles(open_snapshot(open_root(uri)).store.below("recommendations")).read()
        for uri in (f"{bucket}/out", str(tmp_path / "local"))
    ]
    assert found[0].equals(found[1])


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
    job = start_job(command, "neighbors.expert.exact_below=0", log=tmp_path / "log")
    # The first part of the cells is there: the others still need what both executors hold.
    wait_for(job, output, "work/*/items/*.keys.npy")
    min(executors(job), key=lambda process: process.pid).kill()
    assert job.wait(timeout=400) == 0, (tmp_path / "log").read_text()[-3000:]
    assert reasons(log) & {"FetchFailed", "Resubmitted"}, reasons(log)
    own = [
        f"output.root={tmp_path / 'local'}",
        "neighbors.expert.exact_below=0",
    ]
    join_vectors(
        spark, load_config(overrides=own), VectorsInput(str(source), "id", "vector", "cosine"), overwrite=False
    )
    pd.testing.assert_frame_equal(neighbors_of(output), neighbors_of(tmp_path / "local"), check_exact=True)
