"""Jobs as processes of their own: how tests start them, wait for what they write, and read what they publish."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyspark

from musicrec.storage import runs
from musicrec.storage.pointer import current_snapshot
from tests.conftest import ROOT

REFRESH = str(ROOT / "jobs/refresh.py")
PYTHON_JOB = [sys.executable, REFRESH]
SUBMIT = str(Path(pyspark.__file__).parent / "bin/spark-submit")
QUICK = ["model.n_epochs=2", "model.hidden_layers=[16]", "model.embedding_dim=8", "spark.driver_memory=1g"]

# Runs command lines of one job after each other in one process: Java starts once for all, sessions come and go.
IN_TURN = """
import json, os, runpy, sys
job, directory, lines = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
codes = []
for number, line in enumerate(lines):
    os.dup2(os.open(f"{directory}/{number}.stderr", os.O_CREAT | os.O_WRONLY, 0o600), 2)
    sys.argv = [job, *line]
    try:
        runpy.run_path(job, run_name="__main__")
        codes.append(0)
    except SystemExit as ended:
        codes.append(ended.code or 0)
with open(f"{directory}/codes", "w") as file:
    json.dump(codes, file)
sys.exit(codes[-1])
"""


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    code: int
    stderr: str


def settings_of(*overrides: str) -> list[str]:
    return [part for item in (*QUICK, *overrides) for part in ("--set", item)]


def run_job(command: list[str], *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *settings_of(*overrides)],
        capture_output=True,
        text=True,
        env={**own_environment(), **environment},
        timeout=400,
        check=False,
    )


def run_in_turn(
    lines: Mapping[str, Sequence[str]], directory: Path, environment: Mapping[str, str]
) -> dict[str, Ended]:
    """Run jobs/refresh.py once for each of the named command lines; the process ends as the last of them."""
    given = json.dumps([list(line) for line in lines.values()])
    finished = subprocess.run(
        [sys.executable, "-c", IN_TURN, REFRESH, str(directory), given],
        stdout=subprocess.DEVNULL,
        env={**own_environment(), **environment},
        timeout=400,
        check=False,
    )
    stderr = [(directory / f"{number}.stderr").read_text() for number in range(len(lines))]
    assert (directory / "codes").exists(), stderr[-1][-3000:]
    codes = json.loads((directory / "codes").read_text())
    assert finished.returncode == codes[-1]
    return {name: Ended(*ended) for name, *ended in zip(lines, codes, stderr, strict=True)}


def start_job(command: list[str], *overrides: str, log: Path) -> "subprocess.Popen[bytes]":
    environment = {**own_environment(), "PYSPARK_PYTHON": sys.executable}
    # Into a file: nobody reads a pipe while the job is watched.
    with log.open("w") as stderr:
        return subprocess.Popen(
            [*command, *settings_of(*overrides)],
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
    files = sorted(Path(current_snapshot(runs.open_root(str(root))), "recommendations").glob("*.parquet"))
    return ds.dataset(files).to_table().to_pandas().sort_values(["track_id", "rank"]).reset_index(drop=True)
