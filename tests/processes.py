"""Jobs as processes of their own: how tests start them, wait for what they write, and read what they publish."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyspark

from musicrec.storage import runs
from tests.conftest import ROOT

PYTHON_JOB = [sys.executable, str(ROOT / "jobs/refresh.py")]
SUBMIT = str(Path(pyspark.__file__).parent / "bin/spark-submit")
QUICK = ["model.n_epochs=2", "model.hidden_layers=[16]", "model.embedding_dim=8", "spark.driver_memory=1g"]


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


def recommendations(root: Path) -> pd.DataFrame:
    files = sorted((runs.current_snapshot(runs.open_root(str(root))) / "recommendations").glob("*.parquet"))
    return ds.dataset(files).to_table().to_pandas().sort_values(["track_id", "rank"]).reset_index(drop=True)
